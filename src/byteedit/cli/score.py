"""`byteedit score`: what the rewards think of pictures, as a table or JSON, with maps of what looks generated."""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from byteedit.commands.command import Command, UsageError, says

OTHERS = (("image",), ("prompt",))
"""Columns of the table that are no rewards'."""

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image


@dataclass(frozen=True, kw_only=True)
class Score(Command):
    """Say how beautiful pictures are, how well they fit their prompt, and which of their pixels look generated."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], says("", "IMAGE ...")] = ()
    """Pictures, of any size and mode."""

    prompt: Annotated[str | None, says("what the picture's own record says")] = None
    """What the pictures should show."""

    reward: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, says("the three that ship", "MODEL")] = ()
    """A folder or hub name of a reward or of a CLIP model, or aesthetic, alignment or coherence for one that ships; may
    be repeated."""

    json: bool = False
    """Print JSON instead of a table."""

    map: Annotated[Path | None, says("", "DIR")] = None
    """A folder for maps of what looks generated, in red, one PNG for each picture."""

    batch_size: int = 16
    """Pictures that go through a reward at once."""

    device: Annotated[str | None, says("the accelerator, if there is one")] = None
    """Such as cpu, cuda, cuda:1 or mps."""

    def run(self) -> None:
        """Score the pictures; what came out is printed, and the maps are written, batch by batch."""
        if not self.images:
            raise UsageError("no picture given; name one, as in `byteedit score edited.png --prompt 'a red boat'`.")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; it must be 1 or more.")
        from byteedit.commands.opening import default_device, quiet
        from byteedit.commands.work import check_files, open_picture
        from byteedit.rewards import CoherenceReward
        from byteedit.rewards.opening import open_reward

        places = self.places()
        check_files(self.images)
        pictures = [open_picture(path) for path in self.images]
        quiet()
        rewards = {name: open_reward(place) for name, place in places.items()}
        seeing = [name for name, reward in rewards.items() if isinstance(reward, CoherenceReward)]
        maps = self.name_maps(seeing) if self.map else {}
        prompts = [self.prompt_of(path, needed=len(seeing) < len(rewards)) for path in self.images]
        rows = [{"image": str(path), "prompt": prompt} for path, prompt in zip(self.images, prompts, strict=True)]
        widest = max(len("image"), *(len(row["image"]) for row in rows))
        widths = [widest, *(max(len(name), 8) for name in rewards)]
        if not self.json:
            print(line(["image", *rewards], widths))
        for reward in rewards.values():
            reward.to(self.device or default_device())
        for first in range(0, len(rows), self.batch_size):
            part = slice(first, first + self.batch_size)
            seen = self.rate(rewards, rows[part], pictures[part], maps)
            for row in [] if self.json else rows[part]:
                scores = line([row["image"], *(f"{row[name]:.3f}" for name in rewards)], widths)
                print(f"{scores}  {row['prompt'] or ''}".rstrip(), flush=True)
            for name, found in seen.items():
                for path, picture, real in zip(maps[name][part], pictures[part], found, strict=True):
                    write_map(path, picture, real)
        if self.json:
            print(json.dumps(rows, indent=2, ensure_ascii=False))

    def rate(self, rewards: dict, rows: list[dict], pictures: list, mapped: Collection[str]) -> dict[str, tuple]:
        """Add each reward's score to the rows; returns the maps (H, W) of the rewards that are `mapped`, by name."""
        seen = {}
        for name, reward in rewards.items():
            if name in mapped:
                scores, seen[name] = zip(*reward.score_and_map(pictures, self.batch_size), strict=True)
            else:
                scores = reward.score(pictures, [row["prompt"] for row in rows], self.batch_size)
            for row, score in zip(rows, scores, strict=True):
                row[name] = round(score, 4)
        return seen

    def places(self) -> dict[str, str]:
        """Where each reward is, by the name that it has in the table: the last parts of its place, as few as tell."""
        from byteedit.evaluation.naming import short_names
        from byteedit.rewards.opening import SHIPPED

        places = self.reward or SHIPPED
        folders = [place not in SHIPPED and Path(place).is_dir() for place in places]
        paths = [
            Path(os.path.abspath(place) if folder else place).parts
            for place, folder in zip(places, folders, strict=True)
        ]
        if len({*paths, *OTHERS}) < len(paths) + len(OTHERS):
            raise UsageError("two rewards have the same name, or one that of another column; name each once.")
        return dict(zip(short_names(paths, *OTHERS), places, strict=True))

    def name_maps(self, seeing: Sequence[str]) -> dict[str, list[Path]]:
        """Where each picture's map goes, by the name of the reward; none is another's place, or a picture's.

        Raises:
            UsageError: one is.
        """
        if not seeing:
            raise UsageError("--map needs a coherence reward among --reward.")
        if self.map.is_file():
            raise UsageError(f"--map is the file {self.map}; maps need a folder.")
        names = {name: name.replace("/", "-") for name in seeing}
        maps = {name: [self.map / f"{path.stem}-{end}.png" for path in self.images] for name, end in names.items()}
        every = [path for paths in maps.values() for path in paths]
        if len(set(every)) < len(every):
            raise UsageError("two maps have the same name and would overwrite each other; score the pictures apart.")
        sources = {path.resolve() for path in self.images}
        if overwritten := [path for path in every if path.resolve() in sources]:
            raise UsageError(f"--map would overwrite the input {overwritten[0]}; choose another folder.")
        return maps

    def prompt_of(self, path: Path, needed: bool) -> str | None:
        """`--prompt`, or what the picture was made for, if byteedit made it."""
        from byteedit.provenance import read_record

        if self.prompt is not None:
            return self.prompt
        try:
            return read_record(path).settings.get("prompt") or ""
        except ValueError:
            if needed:
                raise UsageError(f"{path} does not say what it should show; give --prompt.") from None
            return None


def write_map(path: Path, picture: "PIL.Image.Image", real: "np.ndarray") -> None:
    """The picture in grey, the redder where `real` (H, W) in [0, 1] is lower, as a PNG."""
    import numpy as np
    import PIL.Image

    from byteedit.files import png, write_atomically
    from byteedit.image import LUMA, unit
    from byteedit.reading import read_pictures

    grey = unit(read_pictures(picture)[0].pixels) @ LUMA  # (H, W) in [0, 1]
    red = (1 - real[..., None]) * np.float32([1.0, 0.15, 0.15]) + real[..., None]  # (H, W, 3)
    write_atomically(path, png(PIL.Image.fromarray(((grey[..., None] * 153 + 102) * red).astype(np.uint8))))


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of the table: the first cell begins its column, the others end theirs."""
    first, *others = zip(cells, widths, strict=True)
    return " ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])
