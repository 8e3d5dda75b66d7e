"""An editor that runs: the page on tiny weights or the shipped model, on a free port of this machine."""

import socket
from contextlib import contextmanager


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running(**settings):
    """The address of an editor with these settings, for as long as the block lasts."""
    from byteedit.app import Settings
    from byteedit.app.page import serve

    app, url, _ = serve(Settings(port=free_port(), **settings), prevent_thread_lock=True, quiet=True)
    try:
        yield url
    finally:
        app.get_blocks().close(verbose=False)
