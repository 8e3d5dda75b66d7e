"""D_train, what an inpainting model is tuned on: pictures with captions and, where known, masks of their objects.

`open_edits` finds the rows wherever they are; a row is light (a number, a path, places in a file) until `Edits.read`
decodes it, so that millions can be shuffled. No masks are drawn here, and nothing becomes a tensor.
Source: the fine-tuning data of ByteEdit (arXiv 2404.04860).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
from datasets import IterableDataset, List

from byteedit.data.folders import METADATA, find_pictures, read_metadata, with_caption
from byteedit.data.images import Unusable, open_image, store
from byteedit.data.preferences import IMAGE, IMAGES, TEXT, Row, Schema, load
from byteedit.data.skipped import Skipped
from byteedit.data.sources import find_files, has_splits, is_saved
from byteedit.data.tars import Tar, unpack
from byteedit.picturebook import scene

__all__ = ["EDITS", "Edits", "decode_row", "draw_page", "files_of", "open_edits"]

EDITS = Schema({"image": IMAGE, "caption": TEXT}, {"mask": IMAGE, "instances": IMAGES, "phrases": List(TEXT)})
"""D_train: a picture and what it shows. An instance is the mask of one object, 255 = the object; a phrase names it. A
row with a `mask` of its own, 255 = generate here, is learnt from under that one, and its caption says what is there."""

PAGES = 1_000_000  # scenes of the picturebook that count as one epoch


@dataclass(frozen=True, kw_only=True)
class Edits:
    """Rows that can be asked for by number, or else shards of rows that can only be read from their beginning."""

    read: Callable[[Any], Row]
    """A row's columns, decoded: `image` (PIL, RGB), `caption`, `instances` (PIL, L, as large), `phrases`, none or as
    many. Raises `Unusable`."""
    rows: Sequence[Any] | None = None
    shards: Sequence[Iterable[Any]] = ()

    def extent(self) -> dict[str, int]:
        """How much there is, as far as is known without reading it."""
        return {"shards": len(self.shards)} if self.rows is None else {"rows": len(self.rows)}


def open_edits(
    source: str | Path,
    skipped: Skipped,
    *,
    caption: str = "caption",
    image: str = "image",
    config: str | None = None,
    streaming: bool = False,
) -> Edits:
    """The rows of a source, none of them decoded.

    Args:
        source: Where they are, with `:split` after it where that is not "train". A folder of pictures, with
            metadata.jsonl or metadata.csv, or with a .txt of the same name beside each; a WebDataset, that is a .tar or
            a folder of them; Parquet or JSONL, or a folder that `datasets` saved; a hub id; or "picturebook", which is
            drawn. Tars and the hub are read as streams, all others by number.
        skipped: Counts lines and shards that cannot be read.
        caption, image: The columns that hold caption and picture; the picture's of Parquet, JSONL and the hub alone.
        config: Which of several configurations of a data set on the hub.
        streaming: Read Parquet and JSONL as streams too, instead of a copy in the cache of `datasets` (Parquet) or in
            memory (JSONL).

    Raises:
        ValueError: there is nothing of the kind, or it lacks a column, or a split is named where there are none.
    """
    name, split = _split(str(source))
    if split != "train" and not has_splits(name):
        raise ValueError(f"{name} has no splits, so no {split!r}; name another file, or a folder with a file a split.")
    if name == "picturebook":
        return Edits(read=partial(draw_page, split=split), rows=range(PAGES))
    folder = _folder(Path(name), split)
    if folder and (files := [folder / file for file in METADATA if (folder / file).is_file()]):
        rows = read_metadata(files[0], caption, skipped)
        return Edits(read=partial(decode_row, root=folder), rows=rows)
    if name.endswith(".tar") and not Path(name).is_file():
        raise ValueError(f"there is no file {name}.")
    tars = sorted(folder.glob("*.tar")) if folder else [Path(name)] if name.endswith(".tar") else []
    if tars:
        read = partial(_decode, first=partial(unpack, caption=caption))
        return Edits(read=read, shards=[Tar(tar, skipped) for tar in tars])
    if folder and not find_files(name, split) and (pictures := find_pictures(folder)):
        return Edits(read=partial(_decode, first=with_caption), rows=pictures)
    if Path(name).is_dir() and not is_saved(Path(name)) and not find_files(name, split):
        raise ValueError(
            f"{name} holds no pictures, tars, Parquet or JSONL of the split {split!r}; name the folder that does, or "
            "another split."
        )
    columns = {"caption": caption, "image": image}
    return _open_table(name, split, skipped, columns, streaming, config)


def files_of(source: str) -> set[Path]:
    """The files on this machine that a source's rows are in, as far as they say themselves what split they are of."""
    name, split = _split(source)
    folder = _folder(Path(name), split)
    if name == "picturebook" or not Path(name).exists() or (folder and any((folder / f).is_file() for f in METADATA)):
        return set()
    tars = [Path(name)] if name.endswith(".tar") else sorted(folder.glob("*.tar")) if folder else []
    found = tars or find_files(name, split) or (find_pictures(folder) if folder else [])
    return {Path(file).resolve() for file in found}


def _split(source: str) -> tuple[str, str]:
    """ "photos:test" is the split test of photos."""
    name, colon, split = source.rpartition(":")
    return (name, split) if colon and not Path(source).exists() else (source, "train")


def _folder(path: Path, split: str) -> Path | None:
    """The folder in `path` that is named for the split, or for "train" `path` itself."""
    if (path / split).is_dir():
        return path / split
    return path if path.is_dir() and split == "train" else None


def _open_table(
    name: str, split: str, skipped: Skipped, columns: dict[str, str], streaming: bool, config: str | None
) -> Edits:
    schema = Schema({columns["image"]: IMAGE, columns["caption"]: TEXT}, EDITS.optional)
    rows = load(name, schema, skipped, split=split, config=config, streaming=streaming or not Path(name).exists())
    read = partial(decode_row, **columns)
    if not isinstance(rows, IterableDataset):
        return Edits(read=read, rows=rows)
    count = rows.num_shards
    return Edits(read=read, shards=[rows.shard(num_shards=count, index=number) for number in range(count)])


def decode_row(row: Row, *, root: Path | None = None, caption: str = "caption", image: str = "image") -> Row:
    """The columns of EDITS, decoded, of a row whose images are stored; paths are relative to `root`.

    Raises:
        Unusable: picture or caption is missing or broken, or masks do not fit the picture, or instances their phrases.
    """
    mask = open_image(store(row["mask"], root), "L") if row.get("mask") else None
    instances = [open_image(store(one, root), "L") for one in row.get("instances") or []]
    return _fitting(open_image(store(row[image], root)), row[caption], instances, row.get("phrases") or [], mask)


def _decode(row: Any, first: Callable[[Any], Row]) -> Row:
    return decode_row(first(row))


def draw_page(seed: int, *, split: str = "train") -> Row:
    """A row of D_train from the picturebook: scene number `seed` of a split, its things as instances.

    Raises:
        ValueError: the picturebook has no such split.
    """
    page = scene(seed, split)
    instances = [PIL.Image.fromarray(page.mask(number)) for number in range(len(page.things))]
    return _fitting(PIL.Image.fromarray(page.render()), page.caption, instances, [one.phrase for one in page.things])


def _fitting(
    image: PIL.Image.Image,
    caption: Any,
    instances: list[PIL.Image.Image],
    phrases: list[str],
    mask: PIL.Image.Image | None = None,
) -> Row:
    if not isinstance(caption, str):
        raise Unusable("missing caption")
    if mask and mask.size != image.size:
        raise Unusable("mask of another size")
    if any(one.size != image.size for one in instances):
        raise Unusable("instance of another size")
    if phrases and (len(phrases) != len(instances) or not all(isinstance(phrase, str) for phrase in phrases)):
        raise Unusable("phrases that do not match the instances")
    return {"image": image, "caption": caption, "mask": mask, "instances": instances, "phrases": phrases}
