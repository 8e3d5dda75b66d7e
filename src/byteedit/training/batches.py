"""Which rows a step sees: a pure function of (seed, epoch, step, process), so a resumed run sees what it would have.

For data with a length and rows by number, such as a map-style `datasets.Dataset`. A stream that cannot be asked for
row n needs a class of its own with the same `stream`. Augmentation draws from a generator of its row and epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

__all__ = ["Batch", "Batches", "Stream", "order", "together"]

Batch = dict[str, Any]
Row = dict[str, Any]


class Stream(Protocol):
    """What the loop reads."""

    def stream(self, first: int, last: int) -> Iterator[Batch]:
        """This process's batches number `first` up to, not including, `last`, counted from the start of the run."""


@lru_cache(maxsize=2)
def order(seed: int, epoch: int, rows: int) -> np.ndarray:  # (rows,) int
    """The order in which an epoch sees its rows."""
    return np.random.default_rng((seed, epoch)).permutation(rows)


def together(rows: list[Row]) -> Batch:
    """Rows as one batch.

    Raises:
        ValueError: tensors of one name are of several shapes.
    """
    for name in rows[0]:
        shapes = {tuple(row[name].shape) for row in rows if isinstance(row[name], Tensor)}
        if len(shapes) > 1:
            one, other = sorted(shapes)[:2]
            raise ValueError(
                f"{name} is {one} in one row and {other} in another; make them of one size (of R_g: crop)."
            )
    return default_collate(rows)


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Batches of a data set, shuffled each epoch; rows that do not fill a batch of all processes are left out.

    With P processes, batch n of process p holds the rows p * batch_size on of the n-th P * batch_size rows of the
    order: two processes with batches of b see together what one sees with batches of 2b.
    """

    dataset: Sequence[Row]
    prepare: Callable[[Row, Generator], Row]  # reads and augments a row, with random numbers from the generator only
    batch_size: int
    collate: Callable[[list[Row]], Batch] = together
    seed: int = 0
    process: int = 0
    processes: int = 1
    workers: int = 0

    def __post_init__(self):
        if not self.per_epoch:
            raise ValueError(
                f"{len(self.dataset)} rows do not fill one batch of {self.batch_size} on each of {self.processes} "
                "processes; take more data or a smaller batch_size."
            )

    @property
    def per_epoch(self) -> int:
        """Batches of a process in an epoch."""
        return len(self.dataset) // (self.batch_size * self.processes)

    def __getitem__(self, number: int) -> Batch:
        epoch, place = divmod(number, self.per_epoch)
        first = (place * self.processes + self.process) * self.batch_size
        rows = order(self.seed, epoch, len(self.dataset))[first : first + self.batch_size].tolist()
        draw = np.random.default_rng
        return self.collate([self.prepare(self.dataset[row], draw((self.seed, epoch, row))) for row in rows])

    def stream(self, first: int, last: int) -> Iterator[Batch]:
        """This process's batches number `first` up to, not including, `last`, counted from the start of the run."""
        generator = torch.Generator()  # workers are seeded from it, and not from the random numbers of the training
        return iter(
            DataLoader(
                self,
                batch_size=None,
                sampler=range(first, last),
                num_workers=self.workers,
                generator=generator,
            )
        )
