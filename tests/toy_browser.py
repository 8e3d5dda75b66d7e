"""Debian's Chromium, driven by Playwright: pages of desktop and phone size that note every host they ask."""

from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = Path("/usr/bin/chromium")
ALONE = (  # what keeps Chromium itself from calling home
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
PATIENCE = 240_000  # milliseconds, for machines that are busy


@contextmanager
def browser():
    """A browser for as long as the block lasts."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ALONE), timeout=PATIENCE)
        yield chromium
        chromium.close()


def visit(chromium, address: str, **device):
    """A visitor of their own, with the editor open, and the list of hosts that were asked."""
    page = chromium.new_context(accept_downloads=True, **device).new_page()
    page.set_default_timeout(PATIENCE)
    hosts = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).netloc))
    page.goto(address)
    page.wait_for_selector("#be-stage .be-board")
    return page, hosts
