"""The waiting line before the model, which does one thing at a time: who comes first is served first.

No threads of its own: those who wait ask how many are before them. Left out: priorities, several machines.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Line:
    """A line in which `limit` may wait while one is served."""

    def __init__(self, limit: int):
        self.limit = limit
        self._tickets: list[object] = []
        self._moved = Condition()

    def __len__(self) -> int:
        """How many there are, the one that is served among them."""
        return len(self._tickets)

    def __bool__(self) -> bool:
        """A line is one, though nobody stands in it."""
        return True

    @contextmanager
    def place(self) -> Iterator[object]:
        """A ticket, for as long as the block lasts. Raises ValueError where the line is full."""
        ticket = object()
        with self._moved:
            if len(self._tickets) > self.limit:
                raise ValueError(
                    f"{self.limit} others are waiting already, which is as many as may; please try again in a minute."
                )
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._moved:
                self._tickets.remove(ticket)
                self._moved.notify_all()

    def before(self, ticket: object, patience: float = 0.0) -> int:
        """How many are before a ticket; where there are any, after at most `patience` seconds of waiting for a move."""
        with self._moved:
            if self._tickets[0] is not ticket:
                self._moved.wait(patience)
            return self._tickets.index(ticket)
