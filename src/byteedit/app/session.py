"""What one visitor has before them: the photo, the pictures made of it, and the PNGs that they take away.

All is held in memory, bounded in pictures and pixels. Each result can be encoded with the very record that the command
line writes, so that `byteedit edit --replay` makes it again beside the photo and the mask.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary, WeakValueDictionary

import PIL.Image

from byteedit.app.photo import Photo, browser_copy, data_address
from byteedit.commands.pictures import MaskedCommand, PictureCommand
from byteedit.commands.records import describe
from byteedit.commands.work import verify
from byteedit.files import png
from byteedit.image import levels
from byteedit.provenance import encode_png, versions
from byteedit.reading import read_pictures

KEPT, KEPT_PIXELS = 24, 250e6  # a visitor's results, and pixels of all of these
ALL_PIXELS = 600e6  # of all visitors' photos and results
THUMB = 160  # pixels a side


@dataclass(frozen=True, kw_only=True)
class Result:
    """One picture that was made, and all that made it."""

    image: PIL.Image.Image
    photo: Photo
    command: PictureCommand  # that makes this one alone
    mask: PIL.Image.Image | None = None
    stopped_after: int | None = None  # steps
    before: str = field(default="", repr=False)  # the photo's copy for the browser
    after: str = field(default="", repr=False)
    thumb: str = field(default="", repr=False)

    @property
    def verb(self) -> str:
        """edit, erase or outpaint."""
        return type(self.command).__name__.lower()

    @property
    def name(self) -> str:
        """The file's name, by which no two results of a photo with different seeds meet."""
        stopped = "" if self.stopped_after is None else f"-stopped-{self.stopped_after}"
        return f"{self.photo.stem}-{self.verb}-{self.command.seed}{stopped}.png"

    @property
    def mask_name(self) -> str:
        """The mask's file name: masks with different content have different names."""
        return f"{self.photo.stem}-mask-{hashlib.sha256(self.mask_png()).hexdigest()[:8]}.png"

    @property
    def caption(self) -> str:
        """What the list of results says of it."""
        stopped = "" if self.stopped_after is None else ", stopped"
        return f"{self.verb.capitalize()} · seed {self.command.seed}{stopped}"

    def corner(self) -> tuple[int, int]:
        """Where the photo's upper left pixel lies in the result."""
        return self.command.corner(self.photo.image.size)

    def mask_png(self) -> bytes:
        """The mask's file."""
        return png(self.mask)

    def png(self) -> bytes:
        """The result's file at full resolution, verified: outside the mask, it has the photo's very pixels.

        It carries the command line's record, in which photo and mask go by their names without folders. One that was
        stopped cannot be made again; its record says after how many steps that was.
        """
        files = {self.photo.name: self.photo.sha256}
        command, mask = self.command, None
        if isinstance(command, MaskedCommand):
            mask = Path(self.mask_name)
            files[self.mask_name] = hashlib.sha256(self.mask_png()).hexdigest()
        record = describe(command, Path(self.photo.name), mask, command.seed)
        if self.stopped_after is not None:
            record = replace(record, settings=record.settings | {"stopped": self.stopped_after})
        record = replace(record, inputs=record.inputs | files, versions=versions())
        content = encode_png(self.image, record, **self.photo.tags)
        verify(self.photo.image, self.mask, content, self.corner())
        return content

    def drawn(self) -> "Result":
        """The same with its copies for the browser."""
        thumb = PIL.Image.fromarray(levels(read_pictures(self.image)[0].pixels))  # grey of 16 bits, too
        thumb.thumbnail((THUMB, THUMB))
        return replace(self, after=browser_copy(self.image, self.photo.tags), thumb=data_address(thumb))


@dataclass(eq=False)
class Session:
    """One visitor's photo and results, newest first.

    Where all visitors' together are too many, those who were here longest ago lose theirs.
    """

    photo: Photo | None = None
    copy: str = field(default="", repr=False)  # the photo's, for the browser
    results: list[Result] = field(default_factory=list)
    chosen: int = 0  # index of the result that is shown
    token: str = field(default="", repr=False)  # what its visitor's page shows after a reload to have it again
    from_alpha: bool = False  # whether a mask was taken from the photo's alpha
    stop: Path | None = None  # the file that ends what is being made

    def open(self, photo: Photo) -> None:
        """Work on a photo."""
        self.photo, self.copy, self.from_alpha = photo, browser_copy(photo.image, photo.tags), False
        make_room(self)

    def keep(self, result: Result, before: str) -> Result:
        """Put a result before the others; the oldest are dropped where they are too many. before: the photo's copy."""
        result = replace(result, before=before).drawn()
        self.results.insert(0, result)
        while len(self.results) > KEPT or (len(self.results) > 1 and self._pixels() > KEPT_PIXELS):
            self.results.pop()
        self.chosen = 0
        make_room(self)
        return result

    def _pixels(self) -> int:
        return sum(result.image.width * result.image.height for result in self.results)

    def pixels(self) -> int:
        """Of the photo and the results."""
        return self._pixels() + (self.photo.image.width * self.photo.image.height if self.photo else 0)

    def clear(self) -> None:
        """Hold nothing any longer."""
        self.photo, self.copy, self.results, self.chosen = None, "", [], 0

    def chosen_result(self) -> Result:
        """The result that is shown. Raises ValueError where there is none."""
        if not self.results:
            raise ValueError("There is no result yet; edit, erase or outpaint first.")
        return self.results[self.chosen]


_seen: WeakKeyDictionary[Session, float] = WeakKeyDictionary()  # when each visitor's pictures came last
_by_token: WeakValueDictionary[str, Session] = WeakValueDictionary()
_lock = Lock()


def resumed(token: str | None, fresh: Session) -> Session:
    """The session of a token, as long as it is held; else the fresh one, with a token that nobody can guess."""
    with _lock:
        if token and token in _by_token:
            return _by_token[token]
        fresh.token = secrets.token_urlsafe(32)
        return _by_token.setdefault(fresh.token, fresh)


def make_room(session: Session) -> None:
    """Note that a visitor's pictures have come, and clear sessions until all hold `ALL_PIXELS`, the oldest first."""
    with _lock:
        _seen[session] = time.monotonic()
        others = sorted((other for other in _seen if other is not session), key=_seen.get)
        held = sum(one.pixels() for one in (session, *others))
        for other in others:
            if held <= ALL_PIXELS:
                return
            held -= other.pixels()
            other.clear()
