"""The feedback app for those who use no mouse or do not see well: focus, names of buttons, contrast."""

import pytest

from toy_browser import DESKTOP
from toy_raters import people
from toy_studies import make_study

sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
pytestmark = pytest.mark.slow

FOUR = ("ours", "good", "fair", "poor")
# The least contrast of all words that are seen, by WCAG 2.2, where a disabled button is free; and how many there are.
FAINTEST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const above = (one) => (one ? [one, ...above(one.parentElement)] : []);
  const contrast = (one) => {
    const grounds = above(one).map((each) => numbers(getComputedStyle(each).backgroundColor));
    const ground = grounds.find(([, , , alpha = 1]) => alpha === 1);
    const seen = above(one).reduce((all, each) => all * getComputedStyle(each).opacity, 1);
    const ink = numbers(getComputedStyle(one).color).map((value, at) => seen * value + (1 - seen) * ground[at]);
    const [low, high] = [light(ink), light(ground)].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
  };
  const says = (one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const all = [...document.querySelectorAll("body *:not(:disabled, :disabled *)")];
  const words = all.filter((one) => one.checkVisibility() && says(one));
  return [Math.min(...words.map(contrast)), words.length];
}"""


def test_the_focus_stays_on_the_choice_that_enter_made(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", FOUR, count=2)
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        page = ann.page
        best = page.get_by_role("button", name="Picture 2: best", exact=True)
        ann.press("Tab")
        while not best.evaluate("one => one === document.activeElement"):
            page.keyboard.press("Tab")
        ann.press("Enter")
        sync_api.expect(best).to_have_attribute("aria-pressed", "true")
        sync_api.expect(best).to_be_focused()
        ann.press("4")
        page.wait_for_selector("text=Last: best 2, worst 4")
        ann.ready()
        sync_api.expect(best).to_be_focused()  # in the next question, of which nothing is said
        sync_api.expect(best).to_have_attribute("aria-pressed", "false")


def test_a_held_enter_answers_one_question(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        ann.press("Tab")
        ann.page.get_by_role("button", name="The same").focus()
        for _ in range(3):
            ann.ready()
            ann.page.keyboard.down("Enter")
        ann.page.keyboard.up("Enter")
        ann.ready()
        assert ann.count() == "1 of 4"


def test_space_after_a_click_still_looks_closer(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", FOUR, count=2)
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        ann.page.click("figure:nth-child(2) >> text=Best")
        ann.press("Space")
        ann.page.wait_for_selector("#closer[open] >> text=Picture 1 of 4")
        assert ann.page.locator("figure:nth-child(2) .choice.best").get_attribute("aria-pressed") == "true"


def test_buttons_have_names_of_their_own(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", FOUR, count=2)
    with people(chromium, study, "Ann", **DESKTOP) as [ann]:
        for position in range(1, 5):
            for end in ("best", "worst"):
                name = f"Picture {position}: {end}"
                sync_api.expect(ann.page.get_by_role("button", name=name, exact=True)).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["gsb", "scores", "best-worst"])
def test_all_words_stand_out_from_their_ground(chromium, tmp_path, kind, scheme):
    study = make_study(tmp_path, kind, FOUR, count=2, instructions="Look.")
    with people(chromium, study, "Ann", color_scheme=scheme, **DESKTOP) as [ann]:
        page, seen = ann.page, []
        seen.append(page.evaluate(FAINTEST))
        for end in ("first", "last"):  # the last of best-worst is the worst
            getattr(page.locator(".choice"), end).click()
            ann.press("Backspace")
            ann.ready()
            seen.append(page.evaluate(FAINTEST))
        page.click("#help")
        seen.append(page.evaluate(FAINTEST))
        page.keyboard.press("Escape")
        page.click("#pause")
        seen.append(page.evaluate(FAINTEST))
        page.click("#leave")
        page.wait_for_selector("#welcome:not([hidden])")
        page.fill("#name", "/")
        page.keyboard.press("Enter")
        page.wait_for_selector("#join-error:not(:empty)")
        seen.append(page.evaluate(FAINTEST))
    assert min(count for _, count in seen) >= 4 and min(contrast for contrast, _ in seen) >= 4.5
