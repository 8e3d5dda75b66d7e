"""A report's page in a real browser, as wide as a phone: the slider moves, nothing sticks out, nothing is asked for."""

import pytest

from byteedit.evaluation.report.content import gather
from byteedit.evaluation.report.page import to_html
from byteedit.evaluation.report.reading import read_run
from toy_browser import PATIENCE, PHONE
from toy_reports import NAMES, marked, write_run

pytestmark = pytest.mark.slow


def test_a_report_on_a_phone(chromium, tmp_path):
    run = write_run(
        tmp_path / ("run" * 40), {"ours": [marked(4.0)] * 3, "a-system-with-a-long-name": [marked(3.0)] * 3}
    )
    (run / "ours" / f"{NAMES[0]}.png").unlink()  # the page names it, and its path, which is long
    file = tmp_path / "report.html"
    file.write_text(to_html(gather([read_run(run)], ablations=[("ours", "a-system-with-a-long-name")])))
    context, asked, errors = chromium.new_context(**PHONE), [], []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(file.as_uri(), timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    slider = page.locator(".slider").first
    slider.locator("input").focus()
    page.keyboard.press("End")
    assert slider.evaluate("element => element.style.getPropertyValue('--at')") == "100%"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert set(asked) <= {"file", "data"} and errors == []
    context.close()
