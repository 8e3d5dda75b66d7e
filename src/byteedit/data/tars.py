"""WebDataset: tar files in which the files of one sample share a name and follow one another.

A sample is where its files lie in the tar; their bytes are read when it is decoded, so reading on and shuffling move
no pictures. `000017.jpg` is a picture, `000017.txt` its caption, or else `000017.json` holds it by name, `phrases` too;
`000017.instances.0.png` on are masks of its objects. Only tars that are not compressed, on a local disk.
Source: the layout of the webdataset library.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, groupby, takewhile
from pathlib import Path
from typing import Any

from byteedit.data.folders import PICTURES
from byteedit.data.images import Unusable, store
from byteedit.data.skipped import Skipped
from byteedit.data.sources import parse_object

__all__ = ["Part", "Sample", "Tar", "unpack"]


@dataclass(frozen=True)
class Part:
    """A file in a tar."""

    tar: Path
    offset: int  # bytes
    size: int  # bytes

    def read(self) -> bytes:
        """Its bytes; fewer where the tar ends before. Raises `Unusable` if the tar cannot be read."""
        try:
            with open(self.tar, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise Unusable("broken shard") from error


Sample = dict[str, Part]
"""The files of a sample by their endings, all that comes after the first dot, such as "jpg"."""


@dataclass(frozen=True)
class Tar:
    """A tar's samples, in its order; where it breaks off they end, and it is counted."""

    path: Path
    skipped: Skipped

    def __iter__(self) -> Iterator[Sample]:
        samples = self._samples()
        while sample := self._next(samples):
            yield sample

    def _next(self, samples: Iterator[Sample]) -> Sample | None:
        try:
            return next(samples, None)
        except Exception:  # tarfile raises of whatever kind where a header holds nonsense
            self.skipped.add("broken shard")
            return None

    def _samples(self) -> Iterator[Sample]:
        with tarfile.open(self.path, "r:") as tar:
            for _, files in groupby(self._files(tar), key=lambda file: file[0]):
                yield {ending: part for _, ending, part in files}

    def _files(self, tar: tarfile.TarFile) -> Iterator[tuple[str, str, Part]]:
        last = -1
        for member in tar:
            if member.size < 0 or member.offset <= last:
                raise tarfile.ReadError(f"{self.path} leads back to what was read, and so without end.")
            last = member.offset
            if member.isreg() and not member.issparse():
                folder, slash, file = member.name.rpartition("/")
                name, _, ending = file.partition(".")
                yield folder + slash + name, ending.lower(), Part(self.path, member.offset_data, member.size)


def unpack(sample: Sample, *, caption: str = "caption") -> dict[str, Any]:
    """A row of `image`, `caption`, `instances` and `phrases`, images as bytes; None or empty if missing."""
    fields = (parse_object(sample["json"].read()) or {}) if "json" in sample else {}
    words = sample["txt"].read().decode("utf-8", "replace").strip() if "txt" in sample else fields.get(caption)
    phrases = fields.get("phrases")
    masks = takewhile(sample.__contains__, (f"instances.{number}.png" for number in count()))
    return {
        "image": next((store(sample[ending].read()) for ending in PICTURES if ending in sample), None),
        "caption": words,
        "instances": [store(sample[ending].read()) for ending in masks],
        "phrases": phrases if isinstance(phrases, list) else [],
    }
