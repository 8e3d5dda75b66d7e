"""Pictures of the editor for docs/images, taken in a real browser: each tab with a result, on a desktop and on a phone.

    python benchmarks/screens.py

Serves the shipped model and drives Debian's Chromium by Playwright, as `make test-browser` does.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from toy_browser import DESKTOP, PHONE, browser, visit
from toy_editor import running

IMAGES = Path(__file__).parents[1] / "docs" / "images"

EXAMPLES = {"edit": 0, "erase": 3, "outpaint": 1}  # by task, the picture to try that it is shown with
MADE = "document.querySelectorAll('#be-results .be-thumb').length > 0 && !document.querySelector('.be-busy')"


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=IMAGES, help="their folder")
    options = parser.parse_args()
    with running() as address, browser() as chromium:
        for name, device in (("", DESKTOP), ("phone-", PHONE)):
            for task, example in EXAMPLES.items():
                page, _ = visit(chromium, address, **device)
                show(page, task, example)
                path = options.output / f"app-{name}{task}.png"
                page.screenshot(path=path, full_page=True, scale="css")
                page.context.close()
                print(path, flush=True)


def show(page, task: str, example: int) -> None:
    """Open a picture to try, do the task on it, and wait for the result."""
    page.click(f"#be-examples .be-thumb >> nth={example}")
    page.wait_for_selector("#be-stage .be-open")
    page.get_by_role("tab", name=task.title()).last.click()
    page.wait_for_selector(f"#be-{task} >> visible=true")
    page.click(f"#be-{task}")
    page.wait_for_function(MADE)
    page.wait_for_timeout(500)  # what slides in has come to rest


if __name__ == "__main__":
    main()
