"""A report's three files: report.md, report.json and report.html, each written whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path

from byteedit.evaluation.report.content import Content, to_json
from byteedit.evaluation.report.markdown import to_markdown
from byteedit.evaluation.report.page import to_html
from byteedit.files import write_atomically

__all__ = ["write_report"]


def write_report(
    content: Content, folder: Path, pictures: int = 2, say: Callable[[str], None] = print
) -> dict[Path, str]:
    """Write a report into a folder, and return what each file says.

    Args:
        pictures: so many of the best and of the worst answers of each system and task are shown.
        say: is told which of them cannot be shown.

    Raises:
        ValueError: pictures are wanted, but a benchmark is no longer where it was.
    """
    pages = {
        folder / "report.md": to_markdown(content),
        folder / "report.json": json.dumps(to_json(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        folder / "report.html": to_html(content, pictures, say),
    }
    for path, page in pages.items():
        write_atomically(path, page.encode())
    return pages
