"""Errors as sentences in the page: a visitor's mistake says what to do, one of ours goes to the log."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

from byteedit.app.showing import told

log = logging.getLogger(__name__)
SECONDS = 6  # that a sentence stands in the page


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what goes wrong into a sentence in the page."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), SECONDS, title="That did not work", print_exception=False) from error
    except gr.Error:
        raise
    except Exception as error:
        log.exception("an event failed")
        raise gr.Error(
            "Something went wrong on our side; the log says what.", SECONDS, title="Sorry", print_exception=False
        ) from error


def said(function: Callable) -> Callable:
    """An event whose errors are sentences; a generator also tells the stage that nothing is going on any more."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def event(*args):
            try:
                with in_words():
                    yield from function(*args)
            except gr.Error:
                yield told("idle"), gr.skip()
                raise
    else:

        @functools.wraps(function)
        def event(*args):
            with in_words():
                return function(*args)

    return event
