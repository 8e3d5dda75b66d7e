"""`byteedit score`: what the rewards think of pictures, as a table or JSON, with maps of what looks generated."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

import byteedit
from byteedit.cli.command import Command, UsageError
from byteedit.cli.pictures import says

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
    """A folder or hub name of a reward, or of a CLIP model; may be repeated."""

    json: bool = False
    """Print JSON instead of a table."""

    map: Annotated[Path | None, says("", "DIR")] = None
    """A folder for maps of what looks generated, in red, one PNG for each picture."""

    batch_size: int = 16
    """Pictures that go through a reward at once."""

    device: Annotated[str | None, says("the accelerator, if there is one")] = None
    """Such as cpu, cuda, cuda:1 or mps."""

    def run(self) -> None:
        """Score the pictures, print what came out, and write the maps."""
        if not self.images:
            raise UsageError("no picture given; name one, as in `byteedit score edited.png --prompt 'a red boat'`.")
        from byteedit.cli.work import default_device, open_picture, quiet
        from byteedit.rewards import CoherenceReward
        from byteedit.rewards.opening import open_reward

        pictures = [open_picture(path) for path in self.images]
        quiet()
        rewards = {name: open_reward(place) for name, place in self.places().items()}
        seeing = {name for name, reward in rewards.items() if isinstance(reward, CoherenceReward)}
        if self.map and not seeing:
            raise UsageError("--map needs a coherence reward among --reward.")
        prompts = [self.prompt_of(path, needed=len(seeing) < len(rewards)) for path in self.images]
        rows = [{"image": str(path), "prompt": prompt} for path, prompt in zip(self.images, prompts, strict=True)]
        for name, reward in rewards.items():
            reward.to(self.device or default_device())
            for row, score in zip(rows, reward.score(pictures, prompts, self.batch_size), strict=True):
                row[name] = round(score, 4)
        print(json.dumps(rows, indent=2, ensure_ascii=False) if self.json else table(rows, list(rewards)))
        for name in sorted(seeing) if self.map else ():
            for path, picture, real in zip(self.images, pictures, rewards[name].map(pictures), strict=True):
                self.write_map(f"{path.stem}-{name}.png", picture, real)

    def places(self) -> dict[str, str]:
        """Where each reward is, by the name that it has in the table."""
        from byteedit.rewards.opening import SHIPPED

        if not self.reward:
            return {name: str(Path(byteedit.REWARDS) / name) for name in SHIPPED}
        places = {Path(place).name: place for place in self.reward}
        if len(places) < len(self.reward):
            raise UsageError("two rewards have the same name; rename one's folder.")
        return places

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

    def write_map(self, name: str, picture: "PIL.Image.Image", real: "np.ndarray") -> None:
        """The picture in grey, the redder where `real` (H, W) in [0, 1] is lower, as a PNG in `--map`."""
        import io

        import numpy as np
        import PIL.Image

        from byteedit.image import read_pictures
        from byteedit.provenance import write_atomically

        shade = np.asarray(PIL.Image.fromarray(read_pictures(picture)[0].pixels).convert("L"))[..., None]  # (H, W, 1)
        red = (1 - real[..., None]) * np.array([1.0, 0.15, 0.15]) + real[..., None]  # (H, W, 3)
        buffer = io.BytesIO()
        PIL.Image.fromarray((shade * 0.6 * red + 102 * red).astype(np.uint8)).save(buffer, "PNG")
        write_atomically(self.map / name, buffer.getvalue())


def table(rows: list[dict], rewards: list[str]) -> str:
    """The rows as lines of text: picture, a column for each reward, prompt."""
    wide = max(len("image"), *(len(row["image"]) for row in rows))
    columns = [max(len(name), 8) for name in rewards]
    lines = [" ".join([f"{'image':<{wide}}", *(f"{name:>{w}}" for name, w in zip(rewards, columns, strict=True))])]
    for row in rows:
        scores = (f"{row[name]:>{w}.3f}" for name, w in zip(rewards, columns, strict=True))
        lines.append(" ".join([f"{row['image']:<{wide}}", *scores]) + (f"  {row['prompt']}" if row["prompt"] else ""))
    return "\n".join(lines)
