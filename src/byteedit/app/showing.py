"""What the stage and the list of results are told, as plain data that stage.js and the page's templates understand."""

import itertools

from byteedit.app.making import Forming, Waiting
from byteedit.app.photo import data_address
from byteedit.app.session import Result, Session

serial = itertools.count()


def told(kind: str, **what) -> dict:
    """Something for the stage to show; numbered, so that it is news even if it was said before."""
    return {"kind": kind, "serial": next(serial), **what}


def copy_of(session: Session) -> dict:
    """The photo as the stage opens it."""
    width, height = session.photo.image.size
    return {"src": session.copy, "width": width, "height": height}


def progress(event: Waiting | Forming, made: int, of: int) -> dict:
    """How far a picture is, for the stage."""
    which = f"Picture {made + 1} of {of}: " if of > 1 else ""
    if isinstance(event, Waiting):
        return told("busy", words=f"Waiting; {event.before} before you" if event.before else "Getting ready")
    words = f"{which}step {event.step} of {event.steps}"
    patch = None
    if event.patch is not None:
        box = event.window
        place = {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
        patch = {"src": data_address(event.patch), "fresh": event.step == 1, **place}
    return told("busy", words=words[0].upper() + words[1:], share=(made + event.step / event.steps) / of, patch=patch)


def compared(result: Result) -> dict:
    """A result beside the photo, for the stage."""
    left, top = result.corner()
    sizes = {"width": result.image.width, "height": result.image.height}
    before = {"beforeWidth": result.photo.image.width, "beforeHeight": result.photo.image.height}
    return told("compare", before=result.before, after=result.after, left=left, top=top, **sizes, **before)


def thumbs(session: Session) -> list[dict]:
    """The results, for the list of them."""
    return [
        {"src": result.thumb, "words": result.caption, "chosen": i == session.chosen}
        for i, result in enumerate(session.results)
    ]
