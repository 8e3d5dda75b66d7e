"""The editor's stage and fields in a real browser: what is shown meanwhile, what fits, what fingers do."""

import pytest
from PIL import Image

from toy_browser import DESKTOP, PHONE
from toy_visitor import STEP, WIDE, download, example, masked, run, setting, tab

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow


def test_sides_are_asked_for_where_they_count(open_page):
    page, _ = open_page()
    example(page)
    tab(page, "Outpaint")
    page.wait_for_function(WIDE)
    assert not page.get_by_label("Left", exact=True).is_visible()
    assert page.locator("#be-anchor").is_visible()
    page.locator("#be-shape input").click()
    page.get_by_role("option", name="by sides").click()
    page.get_by_label("Left", exact=True).fill("128")
    page.wait_for_function(WIDE)
    assert not page.locator("#be-anchor").is_visible()
    setting(page, "Steps", 2)
    run(page, "outpaint", 1)
    assert Image.open(download(page)).size == (256, 128)


def test_another_tab_shows_the_picture_whole_while_one_is_made(open_page):
    page, _ = open_page()
    example(page)
    look = "document.querySelector('#be-stage canvas').toDataURL()"
    tab(page, "Outpaint")
    page.wait_for_function(WIDE)
    outpaint = page.evaluate(look)
    tab(page, "Edit")
    edit = page.evaluate(look)
    setting(page, "Steps", 400)
    page.click("#be-edit")
    page.wait_for_function(f"{look} !== {edit!r} && parseInt({STEP}) > 0")  # it forms
    tab(page, "Outpaint")
    page.wait_for_function(WIDE)
    step = page.evaluate(f"parseInt({STEP})")
    page.wait_for_function(f"parseInt({STEP}) > {step + 40}")
    assert page.evaluate(look) == outpaint
    tab(page, "Edit")
    page.wait_for_function(f"{look} !== {edit!r}")
    page.click("#be-stop")
    page.wait_for_selector("#be-results .be-thumb")


def test_errors_speak_of_the_fields(open_page):
    page, _ = open_page()
    example(page)
    setting(page, "Steps", 0)
    page.click("#be-edit")
    page.wait_for_selector("text=Steps is '0'; give a whole number from 1 on")


CONTRAST = """query => {
  const paper = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const look = (element, what) => {
    paper.clearRect(0, 0, 1, 1); paper.fillStyle = getComputedStyle(element)[what]; paper.fillRect(0, 0, 1, 1);
    return [...paper.getImageData(0, 0, 1, 1).data]; };
  const light = rgb => rgb.slice(0, 3).map(v => v / 255).map(v => v <= 0.04 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0.05);
  const element = [...document.querySelectorAll(query)].at(-1);
  let behind = element;
  while (look(behind, 'backgroundColor')[3] < 255) behind = behind.parentElement;
  const pair = [light(look(element, 'color')), light(look(behind, 'backgroundColor'))];
  return Math.max(...pair) / Math.min(...pair); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_and_what_is_not_seen_is_no_tab_stop(open_page, scheme):
    page, _ = open_page(DESKTOP | {"color_scheme": scheme})
    example(page)
    words = ("#be-head p", "#be-examples span", "[role=tab][aria-selected=true]", "#be-edit", "#be-download")
    for query in words:
        assert page.evaluate(CONTRAST, query) >= 4.5, query
    assert not page.locator("#be-file button").first.is_visible()
    with page.expect_file_chooser():
        page.click("#be-open")


def test_the_ring_shows_the_brush_s_new_size_at_once(open_page):
    page, _ = open_page()
    example(page)
    page.locator("#be-stage canvas").hover()
    look = "document.querySelector('#be-stage canvas').toDataURL()"
    before = page.evaluate(look)
    page.keyboard.press("]")
    larger = page.evaluate(look)
    page.keyboard.press("[")
    assert larger != before
    assert page.evaluate(look) == before


def hold(page, address: str) -> list:
    """A list to which requests to an address come and wait for `release`."""
    held = []
    page.route(address, lambda route: held.append(route))
    return held


def release(page, held: list) -> None:
    """Let what is held go on."""
    while not held:
        page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    page.unroute_all()


def test_opening_and_sending_are_said_at_once(open_page, tmp_path):
    page, _ = open_page()
    Image.linear_gradient("L").save(tmp_path / "grey.png")
    held = hold(page, "**/upload*")
    page.set_input_files("#be-file input[type=file]", tmp_path / "grey.png")
    page.wait_for_selector(".be-progress >> text=Opening grey.png")
    release(page, held)
    page.wait_for_selector(".be-open:not(.be-opening)")
    held = hold(page, "**/queue/join*")
    page.click("#be-edit")
    page.wait_for_selector(".be-progress >> text=Sending")
    release(page, held)
    page.wait_for_selector("text=Nothing is painted yet")
    page.wait_for_function("!document.querySelector('.be-busy')")


def below(page, one: str, other: str) -> bool:
    """Whether one part of the page lies below another."""
    return page.locator(one).bounding_box()["y"] > page.locator(other).bounding_box()["y"]


def width(page) -> int:
    """Pixels that the page takes from left to right."""
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_phone(open_page):
    page, _ = open_page(PHONE)
    assert width(page) <= 390
    assert below(page, "#be-edit", "#be-examples")  # what can be opened comes first,
    example(page)
    assert below(page, "#be-examples", "#be-edit")  # then what can be done
    for narrow in (390, 360, 320):
        page.set_viewport_size({"width": narrow, "height": 844})
        assert width(page) <= narrow
    page.click("[data-do=clear]")
    page.locator("#be-stage canvas").scroll_into_view_if_needed()
    box = page.locator("#be-stage canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    painted = masked(page)
    assert painted > 0
    fingers = page.context.new_cdp_session(page)
    for apart in (0, 20, 40, 60, 80, 100):  # the first finger comes down alone, and moves with the second
        points = [{"x": box["x"] + 120 - apart, "y": box["y"] + 40, "id": 0}]
        points += [{"x": box["x"] + 120 + apart, "y": box["y"] + 40, "id": 1}] if apart else []
        kind = "touchMove" if apart > 20 else "touchStart"
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("visualViewport.scale") > 1.2
    assert masked(page) == painted  # two fingers zoom; they do not paint
