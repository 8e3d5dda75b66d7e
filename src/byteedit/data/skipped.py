"""How many rows were left out, and why: one counter, shared by all that may leave rows out, reported at the end.

Rows are counted in the process that reads them: workers of a DataLoader each have a counter of their own.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Skipped"]

logger = logging.getLogger(__name__)


@dataclass
class Skipped:
    """Rows left out, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, rows: int = 1) -> None:
        """Count `rows` more that were left out."""
        if rows:
            self.reasons[reason] += rows

    def __str__(self) -> str:
        """One line: "3 rows skipped (tie: 2, broken image: 1)"."""
        if not self.reasons:
            return "no rows skipped"
        listed = ", ".join(f"{reason}: {rows}" for reason, rows in self.reasons.most_common())
        return f"{self.reasons.total()} rows skipped ({listed})"

    def report(self) -> None:
        """Log that line once, as a warning, if anything was left out."""
        if self.reasons:
            logger.warning("%s", self)
