"""Raters before the feedback app's page, in a real browser; nobody asks another host or meets an error."""

from contextlib import contextmanager
from urllib.parse import urlsplit

from byteedit.feedback.app import create_app
from toy_browser import PATIENCE
from toy_feedback import serving


class Rater:
    """A person before the page, who acts when it is ready."""

    def __init__(self, page, address, name):
        self.page = page
        page.goto(address)
        page.fill("#name", name)
        page.keyboard.press("Enter")
        self.ready()

    def ready(self):
        self.page.wait_for_selector("#stage:not(.loading, .settling) .picture img, #pausing:not([hidden])")

    def press(self, *keys):
        for key in keys:
            self.ready()
            self.page.keyboard.press(key)

    def count(self):
        return self.page.inner_text("#count")

    def status(self, words):
        from playwright.sync_api import expect

        expect(self.page.locator("#status")).to_contain_text(words)


@contextmanager
def people(chromium, study, *names, **device):
    """Raters, each in a browser of their own; at the end, nobody asked another host or met an error."""
    hosts, errors, contexts = set(), [], []
    with serving(create_app(study)) as address:
        raters = []
        for name in names:
            contexts.append(chromium.new_context(**device))
            contexts[-1].set_default_timeout(PATIENCE)
            contexts[-1].on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page = contexts[-1].new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            raters.append(Rater(page, address, name))
        yield raters
        for context in contexts:
            context.close()
    assert hosts == {urlsplit(address).netloc} and not errors
