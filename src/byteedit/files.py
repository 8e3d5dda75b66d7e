"""Files: which are opened, how they are written, whole and by one at a time, and told apart by their bytes; and folders
that are made over several calls, with the same settings in all of them."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from PIL import Image, UnidentifiedImageError
from PIL.features import get_supported_modules

__all__ = [
    "FORMATS",
    "alone",
    "claim",
    "is_file_name",
    "make_writable",
    "png",
    "reading_ours",
    "reading_picture",
    "sha256",
    "weights_sha256",
    "write_atomically",
    "write_json",
]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", *(["AVIF"] if "avif" in get_supported_modules() else []))
"""Of pictures by strangers, those that PIL decodes by itself; EPS, for one, would start another program. A phone's MPO
is a JPEG with more behind it."""

WEIGHTS = ("*.safetensors", "*.bin", "*.json")


def is_file_name(name: str) -> bool:
    """Whether a name from data is one of a file in a folder, and leads to no other place."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


@contextmanager
def reading_ours(file: Path) -> Iterator[None]:
    """Say of a file of ours which one it is where reading it shows that it is cut off, or holds something else."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, RecursionError, JSONDecodeError, UnicodeDecodeError, OSError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{file} is not as byteedit writes it ({why}); copy it again, whole.") from error


@contextmanager
def reading_picture(name: str | Path) -> Iterator[None]:
    """Say of a stranger's file which one it is where PIL shows that it is no picture of `FORMATS`, or a broken one."""
    try:
        yield
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ValueError(f"{name} cannot be read as a picture; give a file of one of these kinds: {known}.") from error
    except (Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"{name} cannot be read as a picture ({error}).") from error


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Keep others of a kind out of a folder for as long as it lasts. Raises ValueError where one is at work there."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another {what} is at work in {folder}; wait for it, or take another folder.") from None
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, settings: dict[str, Any], file: str = "settings.json", notes: Collection[str] = ()) -> None:
    """Note in `file` with what settings a folder is made, or make sure that it was begun with the same.

    What the file holds under the names in `notes` is no setting.

    Raises:
        ValueError: it was begun with other settings.
    """
    path, now = folder / file, json.loads(json.dumps(settings, default=str))  # tuples are lists there
    if not path.is_file():
        write_json(path, now)
        return
    earlier = json.loads(path.read_text(encoding="utf-8"))
    before = {name: value for name, value in earlier.items() if name not in notes}
    if other := [name for name in now | before if now.get(name) != before.get(name)]:
        changes = ", ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in other)
        raise ValueError(f"{folder} was begun with other settings: {changes}. Take another output, or delete it.")


def make_writable(folder: Path) -> None:
    """Make a folder where it is missing. Raises ValueError where files cannot be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"nothing can be written to {folder} ({error.strerror or error}).") from error


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to be filled, which appears at `output` whole or not at all, and so do the folders above it.

    Raises ValueError where `output` exists.
    """
    if output.exists():
        raise ValueError(f"{output} exists already; name a new folder.")
    beside = next(folder for folder in output.parents if folder.exists())
    with tempfile.TemporaryDirectory(dir=beside, prefix=f".{output.name}.") as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        yield folder
        output.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(output)


def write_json(file: Path, content: Any) -> None:
    """A JSON file for readers, written whole or not at all."""
    write_atomically(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then one rename, when it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:20]}.")  # the name may be a long one
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def png(image: Image.Image, **options: Any) -> bytes:
    """The bytes of a PNG; `options` go to PIL."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(place: str | Path) -> str | None:
    """One SHA-256 of the weights and configs in a local folder, or of a file; None where neither is, as of a hub name.

    It tells a model that was trained again in its place from what it was.
    """
    root = Path(place)
    if root.is_file():
        return sha256(root)
    files = sorted(file for kind in WEIGHTS for file in root.rglob(kind))
    told = "".join(f"{file.relative_to(root).as_posix()} {sha256(file)}\n" for file in files)
    return hashlib.sha256(told.encode()).hexdigest() if files else None
