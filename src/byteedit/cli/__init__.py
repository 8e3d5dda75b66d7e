"""The command line: `byteedit edit|erase|outpaint|app|demo|score|evaluate|report|study|train|convert|env`.

Glue only. Each command is a dataclass whose fields are its options and whose `run` does the work and imports what it
needs, so that `byteedit --help` loads no torch. Exit codes: 0 done, 1 failed, 2 wrong usage; an error is one line on
stderr, with the traceback only under --debug.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from typing import Annotated

import tyro

import byteedit
from byteedit.cli.app import App
from byteedit.cli.convert import Convert
from byteedit.cli.demo import Demo
from byteedit.cli.env import Env
from byteedit.cli.evaluate import Evaluate
from byteedit.cli.mistakes import before_help, explain
from byteedit.cli.report import Report
from byteedit.cli.score import Score
from byteedit.cli.study import Study
from byteedit.cli.train import Train
from byteedit.commands.command import Command, UsageError
from byteedit.commands.pictures import Edit, Erase, Outpaint

__all__ = ["main"]

Commands = (
    Annotated[Edit, tyro.conf.subcommand("edit")]
    | Annotated[Erase, tyro.conf.subcommand("erase")]
    | Annotated[Outpaint, tyro.conf.subcommand("outpaint")]
    | Annotated[App, tyro.conf.subcommand("app")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Study, tyro.conf.subcommand("study")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Env, tyro.conf.subcommand("env")]
)

DESCRIPTION = (
    "Edit, erase and outpaint pictures. `byteedit COMMAND --help` lists a command's options, --version the version."
)


EXTRAS = {
    "train": ("datasets", "yaml", "sklearn"),
    "eval": ("scipy", "torchmetrics", "cv2"),
    "app": ("gradio", "starlette", "uvicorn"),
    "docs": ("matplotlib",),
}
"""Packages that some commands need, by the extra that installs them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `arguments` default to the process's own. Returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"byteedit {byteedit.__version__}")
        return 0
    try:
        command = parse(arguments or ["--help"])
    except UsageError as error:
        return _complain(error, 2)
    return execute(command)


def parse(arguments: Sequence[str]) -> Command:
    """The command that the arguments ask for. `--help` prints help and raises SystemExit.

    Raises:
        UsageError: the arguments make no command; one line says why.
    """
    printed = StringIO()
    try:
        with redirect_stderr(printed):
            return _read(before_help(arguments, _help))
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(explain(arguments, printed.getvalue(), _help)) from None
    except ValueError as error:  # options that contradict one another
        raise UsageError(str(error)) from error


def _read(arguments: Sequence[str]) -> Command:
    return tyro.cli(
        Commands,
        prog="byteedit",
        description=DESCRIPTION,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
    )


def _help(*names: str) -> str:
    """What --help prints after these names."""
    with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
        _read([*names, "--help"])
    return printed.getvalue()


def execute(command: Command) -> int:
    """Run a command and turn what it raises into an exit code and one line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its remarks are for developers
    try:
        command.run()
    except KeyboardInterrupt:
        return _complain("stopped; what was finished is kept, nothing is half-written", 1)
    except Exception as error:  # the last stop of every error there is
        if command.debug:
            raise
        return _complain(_with_extra(error), 2 if isinstance(error, UsageError) else 1)
    return 0


def _with_extra(error: Exception) -> object:
    """The error; of a package that is missing, with the extra of byteedit that installs it."""
    package = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    return f"{error}; install what this needs: pip install 'byteedit[{extra}]'." if extra else error


def _complain(error: object, code: int) -> int:
    """Print an error in one line, and return the exit code."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"byteedit: {text}", file=sys.stderr)
    return code
