"""Model cards and the hub: what a trained thing is made from and how good it is, beside its weights, and the upload.

A card says the base, the data, the settings, the held-out numbers and shows pictures. Nothing is trained or measured
here. Built on huggingface_hub, which keeps the token.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HTTPError
from PIL import Image

__all__ = ["UNREACHABLE", "asked_for", "first_line", "nowhere", "push", "write_card"]

HUB_NAME = re.compile(r"([\w-]+/)?[\w.-]+")  # name or owner/name

UNREACHABLE = (HTTPError, OSError)
"""What is raised where the hub cannot be asked, or does not give what it is asked for."""


def nowhere(name: str) -> bool:
    """Whether there is nothing of that name on this machine, and it cannot be a model's name on the hub either."""
    return not Path(name).exists() and not HUB_NAME.fullmatch(name)


@contextmanager
def asked_for(what: str, name: str) -> Iterator[None]:
    """Say in one sentence that a model, a LoRA or a reward is neither here nor on the hub.

    Raises:
        ValueError: the hub was asked in vain.
    """
    try:
        yield
    except UNREACHABLE as error:
        if Path(name).exists():
            raise
        why = re.split(r"\. | \(|\n", str(error), maxsplit=1)[0] or type(error).__name__  # its first sentence
        raise ValueError(f"there is no {what} {name} here, and the hub does not give it ({why}).") from error


def first_line(error: Exception) -> str:
    """What the hub, or a library that asks it, says first; advice for developers follows. An error without words: its
    kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


CARD = """---
{metadata}
---

# {title}

{summary}

{usage}

| | |
|---|---|
| started from | {base} |
| data | {data} |

## Held-out numbers

{measures}

## Samples

{samples}

## Settings

{settings}
"""


def write_card(
    folder: Path,
    *,
    title: str,
    summary: str,
    base: str,
    data: str,
    settings: Mapping[str, Any],
    measures: Mapping[str, float],
    samples: Mapping[str, Image.Image],
    usage: str = "",
    tags: Sequence[str] = ("reward-model",),
    base_model: str | None = None,
) -> Path:
    """Write README.md into `folder`, and the sample pictures beside it; returns the card's path.

    Args:
        folder: Where the weights are.
        title, summary: What this is, in a line and in a paragraph.
        base: What training started from.
        data: What it was trained on.
        settings: Settings of the training, by name.
        measures: Numbers on data that it was not trained on, by name.
        samples: Pictures by what they show.
        usage: How it is opened, in Markdown.
        tags: What the hub files it under, beside byteedit.
        base_model: The hub's name of what training started from, where it is there.
    """
    shown = []
    for number, (what, picture) in enumerate(samples.items(), 1):
        picture.save(folder / f"sample-{number}.png")
        shown.append(f"{what}\n\n![{what}](sample-{number}.png)")
    text = CARD.format(
        metadata=ModelCardData(library_name="byteedit", tags=["byteedit", *tags], base_model=base_model).to_yaml(),
        title=title,
        summary=summary,
        usage=usage,
        base=base,
        data=data,
        measures=_table({name: f"{value:.4g}" for name, value in measures.items()}),
        samples="\n\n".join(shown) or "None.",
        settings=_table(settings),
    )
    ModelCard(text).save(folder / "README.md")
    return folder / "README.md"


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def push(folder: Path, repository: str) -> str:
    """Upload a folder to the hub as a model, and return its address. Makes the repository where it is missing.

    Needs a token: `hf auth login`, or HF_TOKEN. Raises what huggingface_hub raises where it has none.
    """
    hub = HfApi()
    hub.create_repo(repository, exist_ok=True)
    hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload with byteedit")
    return f"https://huggingface.co/{repository}"
