"""The addresses of the app: the page, the study's pictures, and two that take JSON: who joins, and what was answered.

Nothing is kept in memory, so several processes may serve one study, and one may be started again at any time. Raters
never learn whose a picture is: neither systems nor cases nor attention checks are sent. Built on Starlette.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from byteedit.evaluation.human.raters import join, rater_key
from byteedit.evaluation.human.studies import Question, Study

__all__ = ["create_app"]

PAGE = Path(__file__).parent / "page"
LARGEST = 64 * 1024  # bytes of a request; an answer has some hundred
SECRET = ("case", "systems", "damaged")  # fields of a question that no rater may see
LONGEST = 24 * 3600  # seconds that a rater may say to have looked
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(study: Study, lifespan: Callable | None = None) -> Starlette:
    """The app that serves `study`; `lifespan` is Starlette's, for what runs beside it."""
    (study.folder / "answers").mkdir(exist_ok=True)  # git and the hub keep no empty folders
    return Starlette(
        routes=[
            Route("/", _index),
            Route("/api/study", _Endpoint(study).tell),
            Route("/api/join", _Endpoint(study).join, methods=["POST"]),
            Route("/api/answers", _Endpoint(study).answer, methods=["POST"]),
            Route("/pictures/{name}", _Pictures(study).send),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(GZipMiddleware), Middleware(_Headers)],
        exception_handlers={ValueError: _refuse, HTTPException: _refuse, OSError: _fail, Exception: _fail},
        lifespan=lifespan,
    )


async def _index(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


class _Endpoint:
    """What takes and gives JSON."""

    def __init__(self, study: Study):
        self.study = study
        self.token = study.token

    async def tell(self, request: Request) -> Response:
        """What anyone may know of the study; `study` tells it from others that were served at this address."""
        settings = self.study.settings
        return JSONResponse({"study": self.token, "kind": settings.kind, "instructions": settings.instructions})

    async def join(self, request: Request) -> Response:
        """`name`, `place` -> all that is asked of that rater, and what the rater thinks so far.

        A page tells the `place` that it was given: after a server that has lost its files it goes on as it was.
        """
        fields = await _read(request, name=str, place=int | None)
        return JSONResponse(await run_in_threadpool(self._joined, fields["name"], fields["place"]))

    def _joined(self, name: str, place: int | None) -> dict[str, Any]:
        rater = join(self.study, name, place)
        answers = {id: answer.value for id, answer in rater.answers().items()}
        return {
            "rater": rater.key,
            "place": rater.place,
            "questions": [self._shown(question) for question in rater.questions],
            "answers": {question.id: answers[question.id] for question in rater.questions if question.id in answers},
        }

    def _shown(self, question: Question) -> dict[str, Any]:
        known = {name: value for name, value in asdict(question).items() if name not in SECRET}
        return known | {"axes": self.study.axes(question)}

    async def answer(self, request: Request) -> Response:
        """An answer of a rater, as `Rater.record` takes it -> whether it was new, once it is on the disk.

        A refusal names the study: a page lets go of an answer by this server's own word on it, and by nothing else.
        """
        kinds = {"study": str, "rater": str, "id": str, "question": str, "value": dict, "seconds": float | int | None}
        fields = await _read(request, **kinds, waited=float | int | None, place=int | None)
        if fields["study"] != self.token:
            raise HTTPException(409, "This page belongs to another study. Reload it.")
        return await run_in_threadpool(self._record, fields)

    def _record(self, fields: dict[str, Any]) -> Response:
        rater_key(fields["rater"])  # a ValueError of what is no name; those of `join` are then of the rater's file
        try:
            rater = join(self.study, fields["rater"], fields["place"])
        except ValueError as error:
            raise HTTPException(409, str(error)) from error
        answer = [fields[name] for name in ("id", "question", "value", "seconds")]
        try:
            _check_seconds(fields["seconds"])
            return JSONResponse({"new": rater.record(*answer, waited=fields["waited"] or 0.0)})
        except ValueError as error:
            return JSONResponse({"error": str(error), "study": self.token}, 400)


def _check_seconds(seconds: float | None) -> None:
    if isinstance(seconds, bool) or (seconds is not None and not 0 <= seconds <= LONGEST):
        raise ValueError(f"seconds is {seconds}; expected a number from 0 to {LONGEST}.")


async def _read(request: Request, **kinds: Any) -> dict[str, Any]:
    """The fields of a JSON request. Only JSON by its type is read, which other sites' pages cannot send here."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "Expected a request of the type application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, f"The request has more than {LARGEST} bytes.")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("The request is no JSON.") from error
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), kind) for name, kind in kinds.items()):
        raise ValueError(f"Expected an object with {', '.join(kinds)}.")
    return {name: fields.get(name) for name in kinds}


class _Pictures:
    """The pictures that questions show, and no other file."""

    def __init__(self, study: Study):
        shown = [(*question.pictures, question.image, question.mask) for question in study.questions.values()]
        self.files = {Path(name).name: study.folder / name for names in shown for name in names if name is not None}

    async def send(self, request: Request) -> Response:
        """A picture under its name, which follows from its content, so that browsers may keep it.

        No FileResponse, which tells the file's time: that may tell which system's picture was written first.
        """
        name = request.path_params["name"]
        if name not in self.files or not self.files[name].is_file():
            raise HTTPException(404, f"The study has no picture {name!r}.")
        headers = {"Cache-Control": "private, max-age=604800, immutable", "ETag": f'"{name}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(await run_in_threadpool(self.files[name].read_bytes), 200, headers, "image/png")


class _Headers:
    """Middleware: a page that loads nothing from elsewhere, and is asked for anew whenever it is opened."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self.app(scope, receive, send_with_headers)


async def _refuse(request: Request, error: ValueError | HTTPException) -> Response:
    known = isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail if known else str(error)}, error.status_code if known else 400)


async def _fail(request: Request, error: Exception) -> Response:
    print(f"byteedit: {request.url.path}: {type(error).__name__}: {error}")
    return JSONResponse(
        {"error": "The server cannot keep answers at the moment. Yours are kept here and sent again."}, 500
    )
