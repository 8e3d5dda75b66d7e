"""The editor's times in a real browser, on this machine: first paint, first preview, picture.

    python benchmarks/app.py --rounds 10 --record

Serves the shipped model, drives Debian's Chromium by Playwright, and prints medians with bootstrap intervals of 95 %.
Each round is a visitor of their own, who opens a picture to try and presses Edit. Also counts requests to other hosts.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from results import filing, median

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from toy_browser import browser, visit
from toy_editor import running

PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
STEP = "() => document.querySelector('.be-words').textContent.startsWith('Step')"
MADE = "() => document.querySelector('#be-results .be-thumb')"


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="visitors")
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results.json")
    options = parser.parse_args()
    file = filing(options.record, f"python benchmarks/app.py --rounds {options.rounds} --record")
    with running() as address, browser() as chromium:
        one_visit(chromium, address)  # opens the model
        rounds = [one_visit(chromium, address) for _ in range(options.rounds)]
    for key in rounds[0]:
        values = [figures[key] for figures in rounds]
        file(f"app.{key}", *median(np.array(values)), len(values))


def one_visit(chromium, address: str) -> dict[str, float]:
    """Seconds until the page paints, and from the press on Edit until preview and picture; requests elsewhere."""
    page, hosts = visit(chromium, address)
    painted = page.evaluate(PAINT) / 1000
    page.click("#be-examples .be-thumb >> nth=0")
    page.wait_for_selector("#be-stage .be-open")
    began = page.evaluate("document.querySelector('#be-edit').click() ?? performance.now()")
    times = []
    for sight in (STEP, MADE):
        page.wait_for_function(sight, polling=20)
        times.append((page.evaluate("performance.now()") - began) / 1000)
    elsewhere = sum(host not in (urlsplit(address).netloc, "") for host in hosts)
    page.context.close()
    return {"first_paint": painted, "first_preview": times[0], "picture": times[1], "requests_elsewhere": elsewhere}


if __name__ == "__main__":
    main()
