"""The feedback app as a Space. README.md says which variables name the study and the data set of answers."""

import os
import sys
from pathlib import Path

from huggingface_hub import HfApi

from byteedit.feedback.demonstration import make_demonstration
from byteedit.feedback.remote import fetch_study
from byteedit.feedback.serving import serve

FOLDER = Path("study")


def number(name: str, default: float) -> float:
    """A variable of the Space, or the default where it is not set or empty. Raises ValueError where it is no number."""
    try:
        return float(os.environ.get(name) or default)
    except ValueError:
        raise ValueError(f"{name} is {os.environ[name]!r}; give a number, or leave it out for {default}.") from None


def run() -> None:
    """Get a study, and serve it. Raises ValueError in words."""
    port, minutes = int(number("PORT", 7860)), number("MINUTES", 5)
    if repository := os.environ.get("STUDY"):
        fetch_study(HfApi(), repository, FOLDER)
    elif not FOLDER.exists():
        make_demonstration(FOLDER, raters=6)
    serve(FOLDER, host="0.0.0.0", port=port, push=os.environ.get("ANSWERS", ""), every=minutes)


if __name__ == "__main__":
    try:
        run()
    except ValueError as error:
        sys.exit(f"byteedit: {error}")
