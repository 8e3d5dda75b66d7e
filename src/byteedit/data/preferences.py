"""The data sets of the three rewards: their columns, a loader for them whatever the source, and lazy, safe decoding.

`load` gives rows whose images are not decoded, `examples` decodes them one by one, `usable` finds the rows that can be
decoded. What cannot be used is counted in a `Skipped` and left out, never fatal. No tensors here, and no training.
Source of the data sets: ByteEdit (arXiv 2404.04860), its D_aes and D_align, and pairs of picture and mask for R_g.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import datasets
from datasets import Dataset, Features, Image, IterableDataset, Value

from byteedit.data.images import BROKEN, Unusable, open_image, store
from byteedit.data.pairs import to_pairs
from byteedit.data.public_sets import LAYOUTS
from byteedit.data.shards import to_dataset
from byteedit.data.skipped import Skipped
from byteedit.data.sources import find_files, open_rows, read_json_lines

__all__ = [
    "AESTHETIC",
    "ALIGNMENT",
    "CANDIDATES",
    "COHERENCE",
    "Layout",
    "Schema",
    "Skipped",
    "Unusable",
    "decode",
    "examples",
    "load",
    "to_pairs",
    "usable",
]

Row = dict[str, Any]
Layout = Literal["byteedit", "imagereward", "pickapic", "hpdv2", "hpdv3"]
TEXT, IMAGE, IMAGES = Value("string"), Image(), datasets.List(Image())


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of data set. A mask is an image of one channel, 255 = generated pixel."""

    required: dict[str, Any]
    optional: dict[str, Any] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    """Two columns that must differ, else the row is a tie."""

    @property
    def images(self) -> set[str]:
        """The columns that hold an image, or a list of images."""
        return {name for name, kind in (self.required | self.optional).items() if kind in (IMAGE, IMAGES)}

    def features(self, columns: Iterable[str], *, decoded: bool = False) -> Features:
        """`datasets` features of those of `columns` that are ours, in our order; images are `decoded` when read or not.

        Raises:
            ValueError: a required column is missing.
        """
        columns, known = set(columns), self.required | self.optional
        if missing := [name for name in self.required if name not in columns]:
            raise ValueError(
                f"column {', '.join(missing)} is missing; the columns are {', '.join(sorted(columns))}. Rename them; "
                "or name, of a public set of preferences, the layout, of D_train caption_column and image_column."
            )
        return Features({name: kind if decoded else _raw(kind) for name, kind in known.items() if name in columns})


def _raw(kind: Any) -> Any:
    if kind == IMAGES:
        return datasets.List(Image(decode=False))
    return Image(decode=False) if kind == IMAGE else kind


AESTHETIC = Schema(
    {"prompt": TEXT, "chosen": IMAGE, "rejected": IMAGE},
    {"image": IMAGE, "mask": IMAGE, "task": TEXT, "rater": TEXT},
    pair=("chosen", "rejected"),
)
"""D_aes: of two images for a prompt, the better. `image` and `mask` are what was edited, `rater` who judged."""

ALIGNMENT = Schema(
    {"image": IMAGE, "caption_chosen": TEXT, "caption_rejected": TEXT}, pair=("caption_chosen", "caption_rejected")
)
"""D_align: of two captions of an image, the one that fits better."""

COHERENCE = Schema({"image": IMAGE, "mask": IMAGE}, {"task": TEXT})
"""D_coh: an edited picture and which of its pixels are generated."""

CANDIDATES = Schema(
    {"prompt": TEXT, "candidates": IMAGES, "seeds": datasets.List(Value("int64"))},
    {"image": IMAGE, "mask": IMAGE, "task": TEXT},
)
"""What is to be judged: several images for a prompt. `to_pairs` makes D_aes of it."""


def load(
    source: str | Path,
    schema: Schema,
    skipped: Skipped,
    *,
    layout: Layout = "byteedit",
    split: str = "train",
    config: str | None = None,
    streaming: bool = False,
) -> Dataset | IterableDataset:
    """Rows in the schema's columns, other columns left out, images not decoded (`{"bytes": ..., "path": ...}`).

    Args:
        source: A Parquet or JSONL file, a folder of them, a folder that `datasets` saved, or a hub id. Images are
            files' bytes, or paths relative to the file; in JSONL bytes are `{"bytes": "base64"}`.
        schema: `AESTHETIC`, `ALIGNMENT`, `COHERENCE`, `CANDIDATES`, or one of your own.
        skipped: Counts what is left out here: ties and broken lines. A stream counts as it is read.
        layout: "byteedit" for our columns, or the public set that the source is, see `public_sets`.
        split: Name of the split.
        config: Name of the configuration, for hub ids that have several.
        streaming: Give an `IterableDataset`, which reads as it goes. Otherwise JSONL and public sets are held in
            memory, which is little for paths, but all the pictures for Pick-a-Pic.

    Raises:
        ValueError: the source does not exist, or lacks a column.
    """
    if layout != "byteedit":
        if layout not in LAYOUTS or schema is not AESTHETIC:
            raise ValueError(
                f"layout {layout!r} is none of byteedit, {', '.join(LAYOUTS)}, which hold aesthetic pairs."
            )
        return _hold(LAYOUTS[layout](source, split, skipped), streaming)
    files = find_files(source, split)
    if files and files[0].suffix == ".jsonl":
        return _hold(_stream_json(files, schema, skipped), streaming)
    rows = open_rows(source, split, config=config, streaming=streaming)
    root = files[0].parent if files else None
    return _stream_ours(rows, schema, root) if streaming else _ours(rows, schema, root)


def _hold(stream: IterableDataset, streaming: bool) -> Dataset | IterableDataset:
    return stream if streaming else to_dataset(list(stream), stream.features)


def _stream_json(files: list[Path], schema: Schema, skipped: Skipped) -> IterableDataset:
    """Rows in the columns of all lines together, for which the files are read once more."""
    columns = set().union(*(row.keys() for _, row in read_json_lines(files, Skipped())))
    if not columns:
        raise ValueError(f"{files[0]} holds no rows; expected one JSON object on a line.")
    features = schema.features(columns)

    def read(files: list[Path]) -> Iterator[Row]:
        for file, row in read_json_lines(files, skipped):
            yield {name: _stored(row, name, schema, file.parent) for name in features}

    return IterableDataset.from_generator(read, features=features, gen_kwargs={"files": files})


def _stream_ours(rows: IterableDataset, schema: Schema, root: Path | None) -> IterableDataset:
    if rows.features:
        rows = rows.decode(False)
    features = schema.features(rows.column_names or next(iter(rows)))
    convert = partial(_convert, schema=schema, root=root)
    return rows.select_columns(list(features)).map(convert, features=features)


def _ours(rows: Dataset, schema: Schema, root: Path | None) -> Dataset:
    features = schema.features(rows.column_names)
    rows = rows.select_columns(list(features))
    if any(_holds_paths(rows.features[name]) for name in schema.images & set(features)):  # relative to the file
        convert = partial(_convert, schema=schema, root=root)
        return rows.map(convert, features=features, keep_in_memory=True, load_from_cache_file=False)
    for name in schema.images & set(features):
        rows = rows.cast_column(name, features[name])
    return rows


def _holds_paths(kind: Any) -> bool:
    if isinstance(kind, datasets.List | datasets.LargeList):
        return _holds_paths(kind.feature)
    return kind in (TEXT, Value("large_string"))


def _convert(row: Row, schema: Schema, root: Path | None) -> Row:
    return {name: _stored(row, name, schema, root) for name in row}


def _stored(row: Row, name: str, schema: Schema, root: Path | None) -> Any:
    if name not in schema.images:
        return row.get(name)
    stored, several = store(row.get(name), root), (schema.required | schema.optional)[name] == IMAGES
    if stored is None or isinstance(stored, list) == several:
        return stored
    return [BROKEN] if several else BROKEN


def examples(dataset: Iterable[Row], schema: Schema, skipped: Skipped) -> Iterator[Row]:
    """The rows of `load` with PIL images: RGB, and L for masks. Those that cannot be used are counted and left out."""
    for row in dataset:
        try:
            yield decode(row, schema)
        except Unusable as reason:
            skipped.add(str(reason))


def usable(
    dataset: Dataset,
    schema: Schema,
    skipped: Skipped,
    *,
    check: Callable[[Row], Any] | None = None,
    process: int = 0,
    processes: int = 1,
    gather: Callable[[list], list] = list,
) -> Dataset:
    """The rows that can be decoded, as `datasets.Dataset`: for readers that ask for rows by number.

    Decodes every image once to find out, so it takes as long as one pass over the data.

    Args:
        check: Raises `Unusable` for what shall be left out; without, `decode` does.
        process, processes: Of several processes each checks every `processes`-th row.
        gather: Gives every process the lists of all as one list, such as `accelerate.utils.gather_object`; all then
            come to the same rows and the same counts.
    """
    own, check = range(process, len(dataset), processes), check or partial(decode, schema=schema)
    reasons = (_find_fault(row, check) for row in dataset.select(own))
    left_out = dict(sorted(gather([(number, reason) for number, reason in zip(own, reasons, strict=True) if reason])))
    for reason in left_out.values():
        skipped.add(reason)
    return dataset.select([number for number in range(len(dataset)) if number not in left_out])


def _find_fault(row: Row, check: Callable[[Row], Any]) -> str | None:
    try:
        check(row)
    except Unusable as reason:
        return str(reason)
    return None


def decode(row: Row, schema: Schema) -> Row:
    """A row of `load` with PIL images: RGB, and L for masks; what is optional may be None.

    Raises:
        Unusable: a required image or text is missing, an image is broken, the mask is not of the size of `image`, or
            the row is a tie.
    """
    decoded = {name: _decode(name, value, schema) for name, value in row.items()}
    if schema.pair and row[schema.pair[0]] == row[schema.pair[1]]:
        raise Unusable("tie")
    image, mask = decoded.get("image"), decoded.get("mask")
    if image and mask and image.size != mask.size:
        raise Unusable("mask of another size")
    return decoded


def _decode(name: str, value: Any, schema: Schema) -> Any:
    if value is None and name in schema.optional:
        return None
    if name not in schema.images:
        if value is None:
            raise Unusable(f"missing {name}")
        if schema.required.get(name) == TEXT and not isinstance(value, str):
            raise Unusable(f"{name} that is no text")
        return value
    mode = "L" if name == "mask" else "RGB"
    return [open_image(one, mode) for one in value] if isinstance(value, list) else open_image(value, mode)
