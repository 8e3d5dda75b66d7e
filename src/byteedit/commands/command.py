"""What every command has: a --debug switch, and a `run` that does the work."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import tyro


class UsageError(ValueError):
    """The command line itself is wrong: exit code 2."""


def says(default: str, metavar: str | None = None):
    """How the help names an option's default, where it is not one value."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {default})" if default else "", metavar=metavar)


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """One command of `byteedit`; its fields are its options."""

    debug: bool = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> None:
        """Do it. Raises ValueError or OSError in words for people; UsageError where the options contradict."""
