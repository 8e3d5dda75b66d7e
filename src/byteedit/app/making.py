"""From a filled-in form to pictures: the same commands as the shell's, watched while they are carried out.

One model is held at a time, and one thing is made at a time (`line`). On a ZeroGPU Space of
Hugging Face's, `render` runs on the accelerator that the Space is lent. Left out: pages and buttons (`page`).
"""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import Any

import PIL.Image
import torch

from byteedit.app.line import Line
from byteedit.app.watching import Forming, Watch
from byteedit.commands import work
from byteedit.commands.pictures import Edit, Outpaint, PictureCommand, parse_lora
from byteedit.image import Window, window
from byteedit.pipeline.outpaint import views
from byteedit.reading import read_masks


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How many are before this one; 0 while the model is being opened."""

    before: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """A picture, the command that makes it alone, and the step after which it was stopped, if it was."""

    image: PIL.Image.Image
    command: PictureCommand
    stopped_after: int | None = None


def on_lent_accelerator(function: Callable) -> Callable:
    """The function, lent an accelerator for each call on a ZeroGPU Space; elsewhere as it is."""
    return importlib.import_module("spaces").GPU(function) if os.environ.get("SPACES_ZERO_GPU") else function


def make(
    line: Line,
    command: PictureCommand,
    image: PIL.Image.Image,
    mask: PIL.Image.Image | None,
    stop: Path,
    minutes: float | None = None,
) -> Iterator[Waiting | Forming | Made]:
    """Wait in line, then make a command's variations, which are stopped after so many minutes, if any are given.

    Raises ValueError where the line is full or the call is wrong.
    """
    with line.place() as ticket:
        while before := line.before(ticket, patience=1.0):
            if stop.exists():
                return
            yield Waiting(before=before)
        yield Waiting(before=0)
        open_model(command)  # here, so that a process with a lent accelerator finds it open
        with limited(minutes, stop) if minutes else nullcontext():
            yield from render(command, image, mask, stop)


@contextmanager
def limited(minutes: float, stop: Path) -> Iterator[None]:
    """Make the file `stop` after so many minutes, unless the block has ended before."""
    timer = Timer(60 * minutes, stop.touch)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@on_lent_accelerator
def render(
    command: PictureCommand, image: PIL.Image.Image, mask: PIL.Image.Image | None, stop: Path
) -> Iterator[Forming | Made]:
    """Make a command's variations one by one; the file `stop` ends them, keeping what there is."""
    for k in range(command.num_images):
        alone = replace(command, seed=command.seed + k, num_images=1)
        yield from tellings(lambda tell, alone=alone: one(alone, image, mask, stop, tell), stop)
        if stop.exists():
            return


def one(command: PictureCommand, image, mask, stop: Path, tell: Callable[[Forming], None]) -> Made:
    """One picture."""
    pipe = open_model(command)
    pipe.set_progress_bar_config(disable=True)
    with Watch(pipe, windows(command, image, mask, pipe.native_size()), tell, stop) as watch:
        generator = torch.Generator().manual_seed(command.seed)
        result = command.call(pipe, image, mask, generator, callback_on_step_end=watch)
    return Made(image=result, command=command, stopped_after=watch.stopped_after)


def windows(command: PictureCommand, image, mask, native: tuple[int, int]) -> list[Window]:
    """What of the result goes through the model, round by round."""
    if not isinstance(command, Outpaint):
        return [window(read_masks(mask)[0], native, "auto")]
    sides = tuple(command.sides(image.size).values())
    rounds = [(view, window(unknown, native, "auto")) for view, unknown in views(image.size, sides, native)]
    return [Window(view.left + w.left, view.top + w.top, w.width, w.height) for view, w in rounds]


def open_model(command: PictureCommand):
    """The pipeline of a command, as the command line opens it. What is not there is a ValueError."""
    lora = tuple(f"{name}:{weight:g}" for name, weight in map(parse_lora, command.lora))
    return opened(command.model, lora, command.device, command.dtype)


_held: dict[tuple, Any] = {}


def opened(model: str, lora: tuple[str, ...], device: str | None, dtype: str):
    """A pipeline, kept until another one is asked for. A LoRA's weight is part of it, since LoRAs are merged in."""
    key = (model, lora, device, dtype)
    if key not in _held:
        _held.clear()  # before the next one is opened: there may be room for one
        gc.collect()
        try:
            _held[key] = work.load(Edit(model=model, lora=lora, device=device, dtype=dtype))
        except OSError as error:
            raise ValueError(f"The model {', '.join([model, *lora])} could not be opened: {error}") from error
    return _held[key]


def tellings(work: Callable[[Callable[[Any], None]], Any], stop: Path) -> Iterator[Any]:
    """What `work(tell)` tells while it runs in a thread of its own, then what it returns. What it raises is raised.

    Where nobody listens any longer, the file `stop` is made and the end of the work awaited.
    """
    told: SimpleQueue = SimpleQueue()
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work, told.put)
        future.add_done_callback(lambda _: told.put(None))
        try:
            yield from iter(told.get, None)
        except GeneratorExit:
            stop.touch()
            raise
        yield future.result()
