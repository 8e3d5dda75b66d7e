"""Files that come and go: an upload is taken off the disk at once, a result lies in its visitor's own folder.

gradio names an upload after its content, so what two send alike is one file; it is remembered for a while after one
of them has taken it.
"""

import shutil
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

KEPT = 15 * 60  # seconds for which what was taken is remembered, and a result lies there at least
ROOM = 256 * 2**20  # bytes of what is remembered, together

_remembered: dict[str, tuple[float, bytes]] = {}  # by the upload's path: when it was taken, and it; the oldest first
_turn = threading.Lock()


def taken(path: str | None, what: str) -> tuple[bytes, str]:
    """Content and name of an uploaded file, which is then removed from the disk."""
    if path is None:
        raise ValueError(f"The {what} is missing; give a picture file.")
    with _turn:
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            _, content = _remembered.get(path, (0, None))
        if content is None:
            raise ValueError("The upload is gone; please send it again.")
        Path(path).unlink(missing_ok=True)
        _remembered.pop(path, None)
        _remembered[path] = time.monotonic(), content
        _forget()
    return content, Path(path).name


def _forget() -> None:
    """Let go of what was taken long ago, and of the oldest where all together is too much."""
    while _remembered:
        oldest, (then, _) = next(iter(_remembered.items()))
        if then > time.monotonic() - KEPT and sum(len(content) for _, content in _remembered.values()) <= ROOM:
            break
        del _remembered[oldest]


def own_folder(request: gr.Request) -> Path:
    """Where a visitor's results lie until the visitor leaves."""
    return Path(get_upload_folder()) / f"byteedit-{sha256(request.session_hash.encode()).hexdigest()}"


def put(request: gr.Request, name: str, content: bytes) -> str:
    """A file of its own in the visitor's folder; what has lain there for long is removed."""
    own = own_folder(request)
    with _turn:
        own.mkdir(parents=True, exist_ok=True)
        for old in own.iterdir():
            if old.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(old)
        folder = Path(tempfile.mkdtemp(dir=own))
        (folder / name).write_bytes(content)
    return str(folder / name)


def remove_all(request: gr.Request) -> None:
    """Take a visitor's results off the disk."""
    with _turn:
        shutil.rmtree(own_folder(request), ignore_errors=True)
