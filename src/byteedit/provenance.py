"""Provenance: how a picture was made, kept in the picture's own PNG.

A PNG from the command line carries one JSON record under the key `byteedit`, and the same for readers under plain
keys (Description, Seed, Model, Software). Input files are recorded by path and SHA-256, never by content, so the record
of a shared result gives no more away than the names typed to make it; a photo's own EXIF data, which may tell where it
was taken, are kept beside it. PIL and the standard library only.
"""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from byteedit.files import FORMATS, png, sha256

KEY = "byteedit"
PACKAGES = ("byteedit", "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What it takes to make a picture again."""

    command: str
    """"edit", "erase" or "outpaint"."""

    settings: dict[str, Any]
    """The command's settings by name, as JSON knows them."""

    inputs: dict[str, str]
    """Each input file's path, as it was typed, and the SHA-256 of its bytes in hexadecimal."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made it, byteedit's among them."""


def versions() -> dict[str, str]:
    """Installed versions of `PACKAGES`, without importing them; "not installed" where there is none."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def encode_png(
    image: Image.Image, record: Record, icc_profile: bytes | None = None, exif: bytes | None = None
) -> bytes:
    """The bytes of a PNG of `image` with `record` in its text chunks, and colour profile and EXIF where there are."""
    info = PngInfo()
    for key, value in _readable(record).items():
        info.add_itxt(key, value)
    info.add_itxt(KEY, json.dumps(asdict(record), ensure_ascii=False))
    return png(image, pnginfo=info, icc_profile=icc_profile, exif=exif)


def _readable(record: Record) -> dict[str, str]:
    """The record in the PNG standard's keywords and two of our own, for image viewers."""
    settings = record.settings
    return {
        "Description": settings.get("prompt") or record.command,
        "Software": f"byteedit {record.versions.get('byteedit', '')}".strip(),
        "Seed": str(settings.get("seed")),
        "Model": str(settings.get("model")),
    }


def read_record(path: Path) -> Record:
    """The record in a PNG that the command line wrote.

    Raises:
        ValueError: `path` is no picture, or carries no record that this version can read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()  # text after the pixels counts too
            text = image.info.get(KEY)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture; --replay needs a PNG that byteedit itself wrote.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}).") from error
    if text is None:
        raise ValueError(f"{path} carries no byteedit record; --replay needs a PNG that byteedit itself wrote.")
    try:
        record = Record(**json.loads(text))
        _check(record)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} carries a byteedit record that this version cannot read ({error}).") from error
    return record


def _check(record: Record) -> None:
    """Raise TypeError where a field is of another kind: a PNG may come from anyone."""
    words = [record.command, *record.inputs.values(), *record.versions.values()] if _has_names(record) else [None]
    if not all(isinstance(word, str) for word in words):
        raise TypeError("a command in words, and settings, inputs and versions by name, were expected")


def _has_names(record: Record) -> bool:
    return all(isinstance(names, dict) for names in (record.settings, record.inputs, record.versions))


def find_inputs(record: Record, result: Path) -> dict[str, Path]:
    """Where each recorded input lies now: as recorded, or else in the result's own folder; contents must match.

    Raises:
        ValueError: an input is missing, or its bytes are not those that made `result`.
    """
    return {name: _find(name, digest, result) for name, digest in record.inputs.items()}


def _find(name: str, digest: str, result: Path) -> Path:
    places = [Path(name), result.parent / name, result.parent / Path(name).name]
    found = [place for place in places if place.is_file()]
    if not found:
        raise ValueError(f"{result} was made from {name}, which is not there; put it back, or beside {result.name}.")
    for place in found:
        if sha256(place) == digest:
            return place
    raise ValueError(
        f"{result} was made from another {name}: its SHA-256 was {digest[:12]}, {found[0]} has another. "
        "Put the original file back."
    )
