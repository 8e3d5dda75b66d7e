"""What a rater can read again in the feedback app: instructions, what the axes mean, keys; on a desktop and a phone."""

import pytest

from toy_browser import DESKTOP, PHONE
from toy_raters import people
from toy_studies import make_study

sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
pytestmark = pytest.mark.slow

COHERENCE = "Does it fit what is around it: colours, light, edges?"
STRUCTURE = "Is everything formed as it should be?"
AESTHETICS = "Is it pleasing to look at?"
LONG = "Look at the edges.\n" * 60


def pairs(page):
    """What the criteria say, name by meaning."""
    names, meanings = (page.locator(f"#criteria {tag}").all_text_contents() for tag in ("dt", "dd"))
    return dict(zip(names, meanings, strict=True))


def test_instructions_and_axes_can_be_read_again_after_a_reload(chromium, tmp_path):
    axes = ("structure & aesthetics", "coherence", "wit")
    study = make_study(tmp_path, "gsb", count=1, axes=axes, instructions=LONG)  # of an edit: all axes
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        ann.page.reload()
        ann.press("?")
        assert ann.page.inner_text("#keys .instructions") == LONG
        assert pairs(ann.page) == {"structure & aesthetics": f"{STRUCTURE} {AESTHETICS}", "coherence": COHERENCE}
        sync_api.expect(ann.page.locator("#keys h1")).to_be_in_viewport(ratio=1)
        sync_api.expect(ann.page.locator("#keys button")).to_be_in_viewport(ratio=1)
        ann.page.keyboard.press("Enter")
        sync_api.expect(ann.page.locator("#keys")).to_be_hidden()
        ann.press("ArrowLeft")
        assert ann.page.locator(".choosing:first-child [aria-pressed=true]").count() == 1


def test_a_study_without_instructions_and_axes_tells_the_keys(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), count=2)
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        ann.page.get_by_role("button", name="Instructions and keys").click()
        sync_api.expect(ann.page.locator("#all-keys dt").first).to_be_visible()
        assert not ann.page.locator("#keys .instructions").is_visible() and pairs(ann.page) == {}


def test_a_phone_says_what_the_axis_means_that_is_next(chromium, tmp_path):
    study = make_study(tmp_path, "scores", ("ours",), count=2, instructions="Look.")
    with people(chromium, study, "Ann", **PHONE) as [ann]:
        meanings = ann.page.locator("#controls small").filter(visible=True)
        sync_api.expect(meanings).to_have_text([COHERENCE])
        ann.page.tap(".choosing:first-child .choice:last-child")
        sync_api.expect(meanings).to_have_text([STRUCTURE])
        ann.page.tap("#help")
        assert ann.page.inner_text("#keys .instructions") == "Look."
        assert pairs(ann.page) == {"coherence": COHERENCE, "structure": STRUCTURE, "aesthetics": AESTHETICS}
        sync_api.expect(ann.page.locator("#criteria dd").last).to_be_in_viewport(ratio=1)


def test_a_phone_says_what_the_only_axis_means(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=2, axes=("coherence",))
    with people(chromium, study, "Ann", **PHONE) as [ann]:
        sync_api.expect(ann.page.locator("#controls small").filter(visible=True)).to_have_text([COHERENCE])
