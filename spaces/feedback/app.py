"""The feedback app as a Space. README.md says which variables name the study and the data set of answers."""

import os
from pathlib import Path

from huggingface_hub import HfApi

from byteedit.feedback.demonstration import make_demonstration
from byteedit.feedback.remote import fetch_study
from byteedit.feedback.serving import serve

FOLDER = Path("study")

if __name__ == "__main__":
    if repository := os.environ.get("STUDY"):
        fetch_study(HfApi(), repository, FOLDER)
    elif not FOLDER.exists():
        make_demonstration(FOLDER, raters=6)
    port, minutes = int(os.environ.get("PORT", "7860")), float(os.environ.get("MINUTES", "5"))
    serve(FOLDER, host="0.0.0.0", port=port, push=os.environ.get("ANSWERS", ""), every=minutes)
