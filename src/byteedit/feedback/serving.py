"""Starting the app: an address to open, answers pushed to the hub where asked, and a quiet end.

The study lies in a folder here, or in a data set of the hub. No pages and no answers are made here. Built on uvicorn
and huggingface_hub's CommitScheduler.
"""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from huggingface_hub import HfApi

from byteedit.evaluation.human.studies import Study, open_study
from byteedit.feedback.app import create_app
from byteedit.feedback.remote import push_answers

__all__ = ["serve"]


def serve(folder: str | Path, *, host: str = "127.0.0.1", port: int = 7860, push: str = "", every: float = 5.0) -> None:
    """Serve the study in a folder until the process is told to stop, and print where.

    Args:
        folder: The study.
        host: 127.0.0.1 for this machine only, 0.0.0.0 for all who reach it.
        port: 0 takes a free one.
        push: Data set of the hub, OWNER/NAME, that answers are pushed to, and taken up from at the start.
        every: Minutes between two pushes.

    Raises:
        ValueError: there is no study, the address cannot be had, or the data set cannot be read and written.
    """
    study = open_study(folder)
    listening = listen(host, port)
    app = create_app(study, lifespan=_pushing(study, push, every) if push else None)
    address = f"http://{host}:{listening.getsockname()[1]}"
    print(f"{folder}: {len(study.questions)} questions at {address} (Ctrl+C stops)", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False)).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket of that address. Raises ValueError where it cannot be had."""
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "it is taken; name another with --port" if taken else error
        raise ValueError(f"cannot listen on port {port} of {host}: {reason}.") from error


def _pushing(study: Study, repository: str, every: float) -> Callable:
    """What runs beside the app: answers are taken up before it starts, and pushed once more when it has ended."""
    pushing = push_answers(study, HfApi(), repository, every)

    @asynccontextmanager
    async def lifespan(app) -> AsyncIterator[None]:
        yield
        pushing.finish()

    return lifespan
