"""Batches of D_train, whatever it is read from: by number, or as shards that can only be read from their beginning.

Rows that cannot be used are counted, and others take their places; which ones is a function of seed, epoch, step and
process, like all else that a batch holds. Built on torch's DataLoader; `batches` is what does the reading by number.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.random import Generator
from pyarrow import ArrowException
from torch.utils.data import DataLoader, default_collate

from byteedit.data.edits import Edits
from byteedit.data.images import Unusable
from byteedit.data.skipped import Skipped
from byteedit.training.batches import Batch, Batches, Row, Stream
from byteedit.training.items import ItemSettings

__all__ = ["Counted", "Filled", "Shard", "StreamedBatches", "collate", "open_batches"]

Prepare = Callable[[Any, Generator], Row]
TRIES = 100  # rows that are tried for a place before the data are held to be broken
SPARE = 32  # the same of a stream, beside those of the batch
EMPTY = 20  # epochs in a row in which a process may find no rows, as where all shards dealt to it are broken
OPEN = 4  # shards that are read by turns, so that a broken one is not all there is for long


def open_batches(
    edits: Edits, prepare: Prepare, settings: ItemSettings, skipped: Skipped, accelerator: Accelerator
) -> "Counted":
    """This process's batches of D_train, for `loop.train`; what is left out is counted in `skipped`."""
    share = {
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "process": accelerator.process_index,
        "processes": accelerator.num_processes,
        "workers": settings.workers,
        "collate": collate,
    }
    if edits.rows is None:
        batches = StreamedBatches(shards=edits.shards, prepare=prepare, buffer=settings.buffer, **share)
    else:
        batches = Batches(dataset=edits.rows, prepare=Filled(prepare, edits.rows), **share)
    return Counted(batches, skipped)


def collate(rows: list[Row]) -> Batch:
    """A batch; the reasons that rows bring for what was `skipped` become one list."""
    skipped = [reason for row in rows for reason in row["skipped"]]
    return default_collate([{name: row[name] for name in row if name != "skipped"} for row in rows]) | {
        "skipped": skipped
    }


@dataclass(frozen=True)
class Counted:
    """A stream of batches that say what was `skipped` for them; counts it as they are taken, and takes it out."""

    batches: Stream
    skipped: Skipped

    def stream(self, first: int, last: int) -> Iterator[Batch]:
        """This process's batches number `first` up to, not including, `last`, counted from the start of the run."""
        for batch in self.batches.stream(first, last):
            for reason in batch.pop("skipped"):
                self.skipped.add(reason)
            yield batch


def first_usable(candidates: Iterable[Any], prepare: Prepare, rng: Generator) -> Row:
    """The first of `candidates` that can be used, prepared, and in `skipped` why those before it could not.

    Raises:
        ValueError: none can be used.
    """
    skipped: list[str] = []
    for row in candidates:
        try:
            return prepare(row, rng) | {"skipped": skipped}
        except Unusable as reason:
            skipped.append(str(reason))
    reasons = ", ".join(f"{reason}: {times}" for reason, times in Counter(skipped).items())
    raise ValueError(f"Of {len(skipped)} rows drawn for one place none can be used ({reasons}); look at the data.")


@dataclass(frozen=True)
class Filled:
    """`prepare` for rows by number: the place of one that cannot be used goes to others, drawn at random."""

    prepare: Prepare
    rows: Sequence[Any]

    def __call__(self, row: Any, rng: Generator) -> Row:
        others = (self.rows[int(rng.integers(len(self.rows)))] for _ in range(TRIES - 1))
        return first_usable(chain([row], others), self.prepare, rng)


@dataclass(frozen=True)
class Shard:
    """The rows of a shard, from its beginning; where it cannot be read any further they end, and it is counted."""

    rows: Iterable[Any]
    skipped: Skipped

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.rows
        except (ArrowException, OSError):
            self.skipped.add("broken shard")


@dataclass(frozen=True)
class Maker:
    """Makes a batch of a block of a stream: its number, its rows, and the rows that may take their places."""

    prepare: Prepare
    collate: Callable[[list[Row]], Batch]
    seed: tuple[int, ...]

    def __getitem__(self, block: tuple[int, list, list]) -> Batch:
        number, rows, spare = block
        return self.collate([self._fill(row, spare, (*self.seed, number, place)) for place, row in enumerate(rows)])

    def _fill(self, row: Any, spare: list, seed: tuple[int, ...]) -> Row:
        rng = np.random.default_rng(seed)
        others = (spare[place] for place in rng.permutation(len(spare)))
        return first_usable(chain([row], others), self.prepare, rng)


@dataclass(frozen=True, kw_only=True)
class StreamedBatches:
    """Batches of shards, each of which gives its rows in an order of its own, from the beginning.

    An epoch's shards are shuffled and dealt out to the processes; where there are fewer shards than processes, all read
    all of them, and each takes its share of the rows. A process reads `OPEN` shards by turns and draws from a buffer of
    rows. It begins its next epoch when its own rows are at an end. Rows are read in the training process, prepared in
    the workers. To begin at batch n, the rows before it are read again, though not prepared.
    """

    shards: Sequence[Iterable[Any]]
    prepare: Prepare
    batch_size: int
    collate: Callable[[list[Row]], Batch] = collate
    buffer: int = 1000
    seed: int = 0
    process: int = 0
    processes: int = 1
    workers: int = 0

    def __post_init__(self):
        if self.buffer < 1:
            raise ValueError(f"buffer is {self.buffer}; give 1 or more, 1 to take rows as they come.")

    def stream(self, first: int, last: int) -> Iterator[Batch]:
        """This process's batches number `first` up to, not including, `last`, counted from the start of the run."""
        return iter(
            DataLoader(
                Maker(self.prepare, self.collate, (self.seed, self.process)),
                batch_size=None,
                sampler=islice(self._blocks(), first, last),
                num_workers=self.workers,
                generator=torch.Generator(),
            )
        )

    def _blocks(self) -> Iterator[tuple[int, list, list]]:
        """What batches are made of. Rows before them may take a place; to begin with, the first rows of all."""
        rows = self._rows()
        first = list(islice(rows, SPARE))
        rows, recent = chain(first, rows), deque(first, maxlen=self.batch_size + SPARE)
        for number in count():
            block = list(islice(rows, self.batch_size))
            recent.extend(block)
            yield number, block, list(recent)

    def _rows(self) -> Iterator[Any]:
        """This process's rows, shuffled, of one epoch after the other; those in which it has none are passed over."""
        empty = 0
        for epoch in count():
            rng, empty = np.random.default_rng((self.seed, epoch, self.process)), empty + 1
            for row in shuffled(self.rows(epoch), self.buffer, rng):
                empty = 0
                yield row
            if empty == EMPTY:
                raise ValueError(
                    f"Process {self.process} finds no rows in {len(self.shards)} shards, {EMPTY} epochs in a row; look "
                    "at the data."
                )

    def rows(self, epoch: int) -> Iterator[Any]:
        """This process's rows of an epoch, as they are read."""
        places = np.random.default_rng((self.seed, epoch)).permutation(len(self.shards))
        shards = [self.shards[place] for place in places]
        if len(shards) < self.processes:
            return islice(by_turns(shards), self.process, None, self.processes)
        return by_turns(shards[self.process :: self.processes])


def by_turns(shards: Iterable[Iterable[Any]]) -> Iterator[Any]:
    """The rows of all shards, of up to `OPEN` of them by turns."""
    waiting = map(iter, shards)
    reading = deque(islice(waiting, OPEN))
    while reading:
        shard = reading.popleft()
        try:
            row = next(shard)
        except StopIteration:
            reading.extend(islice(waiting, 1))
        else:
            reading.append(shard)
            yield row


def shuffled(rows: Iterator[Any], size: int, rng: Generator) -> Iterator[Any]:
    """Rows in a random order, each drawn from the `size` that are next."""
    buffer = list(islice(rows, size))
    for row in rows:
        place = int(rng.integers(len(buffer)))
        yield buffer[place]
        buffer[place] = row
    rng.shuffle(buffer)
    yield from buffer
