"""The editor in a real browser, on the shipped model: what a visitor does, from the first stroke to the download."""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from toy_browser import DESKTOP, PHONE, visit
from toy_editor import running

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def editor():
    """The address of an editor on the shipped model."""
    with running(megapixels=30, device="cpu") as address:
        yield address


@pytest.fixture
def open_page(editor, chromium):
    """Function that visits the editor: open_page(PHONE) gives the page and the hosts that it asked."""
    pages = []

    def open_page(device=DESKTOP):
        page, hosts = visit(chromium, editor, **device)
        pages.append(page)
        return page, hosts

    yield open_page
    for page in pages:
        page.context.close()


WIDE = "(() => { const c = document.querySelector('#be-stage canvas'); return c.width / c.height > 1.7; })()"
STEP = "document.querySelector('.be-words').textContent.slice(5)"  # a number, while one picture is made


def upload(page, path) -> None:
    """Open a picture of one's own."""
    page.set_input_files("#be-file input[type=file]", path)
    page.wait_for_selector("#be-stage .be-open")


def example(page, number=0) -> None:
    """Open one of the pictures to try."""
    page.click(f"#be-examples .be-thumb >> nth={number}")
    page.wait_for_selector("#be-stage .be-open")


def tab(page, name: str) -> None:
    """Go to a tab; gradio draws each twice, once to measure it."""
    page.get_by_role("tab", name=name).last.click()


def stroke(page, *points) -> None:
    """Paint along points, which are shares of the canvas's width and height."""
    box = page.locator("#be-stage canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def masked(page) -> float:
    """Share of the picture that the mask covers."""
    return page.evaluate(
        """async () => {
          const image = new Image(); image.src = byteedit.mask(); await image.decode();
          const paper = document.createElement('canvas').getContext('2d');
          paper.canvas.width = image.width; paper.canvas.height = image.height; paper.drawImage(image, 0, 0);
          const data = paper.getImageData(0, 0, image.width, image.height).data;
          let sum = 0; for (let i = 0; i < data.length; i += 4) sum += data[i] / 255;
          return sum / (image.width * image.height); }"""
    )


def setting(page, label: str, value) -> None:
    """Fill in one of the settings."""
    if not page.get_by_label(label, exact=True).first.is_visible():
        page.click("#be-settings button >> nth=0")
    page.get_by_label(label, exact=True).first.fill(str(value))
    page.keyboard.press("Tab")


def run(page, task: str, results: int) -> None:
    """Press a task's button, and wait until there are that many results and nothing is going on."""
    page.click(f"#be-{task}")
    page.wait_for_function(f"document.querySelectorAll('#be-results .be-thumb').length === {results}")
    page.wait_for_function("!document.querySelector('.be-busy')")


def download(page, button="#be-download") -> Path:
    """The file that a button gives."""
    with page.expect_download() as waiting:
        page.click(button)
    return Path(waiting.value.path()).rename(Path(waiting.value.path()).with_name(waiting.value.suggested_filename))


def test_paint_edit_compare_vary_reuse_and_download(open_page, tmp_path, capsys):
    from byteedit.cli import main

    page, hosts = open_page()
    example(page)
    page.click("[data-do=clear]")
    assert masked(page) == 0
    stroke(page, (0.6, 0.5), (0.85, 0.5), (0.85, 0.85), (0.6, 0.85), (0.72, 0.68))
    painted = masked(page)
    assert 0.05 < painted < 0.3
    page.keyboard.press("Control+z")
    assert masked(page) == 0
    page.keyboard.press("Control+Shift+z")
    assert masked(page) == pytest.approx(painted)
    setting(page, "Steps", 4)
    setting(page, "Seed", 7)
    assert page.get_by_label("Guidance", exact=True).first.input_value() == ""  # the model's own
    page.get_by_label("Variations").first.fill("2")
    page.keyboard.press("Tab")
    run(page, "edit", 2)
    page.wait_for_selector("#be-stage [data-view=compare]")
    page.click("#be-results .be-thumb >> nth=1")
    result, mask = download(page), download(page, "#be-download-mask")
    assert result.name == "beach-edit-7.png"
    picture, photo = Image.open(result), Path(__file__).parents[1] / "src/byteedit/assets/examples/beach.png"
    for file in (result, mask, photo):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert picture.size == (128, 128)
    assert main(["edit", "--replay", str(tmp_path / result.name)]) == 0
    assert "identical" in capsys.readouterr().out.splitlines()[-1]
    page.click("#be-reuse")
    page.wait_for_selector("#be-stage [data-view=paint]")
    assert set(hosts) - {""} == {urlsplit(page.url).netloc}  # data in a page has no host


def test_erase(open_page):
    page, _ = open_page()
    example(page, 3)
    tab(page, "Erase")
    setting(page, "Steps", 4)
    run(page, "erase", 1)
    assert "Erase" in page.inner_text("#be-results")


def test_outpaint_shows_the_new_canvas_first(open_page):
    page, _ = open_page()
    example(page, 1)
    square = page.locator("#be-stage canvas").bounding_box()
    tab(page, "Outpaint")
    page.wait_for_function(WIDE)
    assert square["width"] == pytest.approx(square["height"], abs=2)
    setting(page, "Steps", 4)
    run(page, "outpaint", 1)
    assert Image.open(download(page)).size == (228, 128)
    example(page, 1)  # square again: its canvas comes without another look at the tab
    page.wait_for_function(WIDE + " && document.querySelector('.be-stage').dataset.view === 'paint'")


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


def test_stop_midway_keeps_what_there_is(open_page):
    page, _ = open_page()
    example(page)
    setting(page, "Steps", 200)
    page.click("#be-edit")
    page.wait_for_function("document.querySelector('.be-words').textContent.startsWith('Step')")
    assert page.inner_text(".be-words").endswith("of 200")
    page.click("#be-stop")
    page.wait_for_selector("#be-results .be-thumb")
    assert "stopped" in page.inner_text("#be-results")
    page.wait_for_function("!document.querySelector('.be-busy')")


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


def test_wrong_files_and_missing_masks_are_sentences(open_page, tmp_path):
    page, _ = open_page()
    (tmp_path / "no.png").write_text("no picture")
    page.set_input_files("#be-file input[type=file]", tmp_path / "no.png")
    page.wait_for_selector("text=no.png cannot be read as a picture")
    Image.new("L", (7000, 7000)).save(tmp_path / "large.png")
    page.set_input_files("#be-file input[type=file]", tmp_path / "large.png")
    page.wait_for_selector("text=large.png is 7000 x 7000 pixels")
    page.wait_for_function("!document.querySelector('.be-opening')")
    example(page)
    page.click("[data-do=clear]")
    page.click("#be-edit")
    page.wait_for_selector("text=Nothing is painted yet")
    assert page.locator(".toast-body").last.bounding_box()["y"] > 600  # below, where no tabs are
    setting(page, "Steps", 0)
    page.click("#be-edit")
    page.wait_for_selector("text=Steps is '0'; give a whole number from 1 on")
    assert "Traceback" not in page.content()


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


def test_a_large_photo_is_edited_at_full_resolution(open_page, tmp_path):
    large = Image.linear_gradient("L").resize((6000, 4000)).convert("RGB")
    large.save(tmp_path / "large.jpg")
    page, _ = open_page()
    upload(page, tmp_path / "large.jpg")
    stroke(page, (0.4, 0.4), (0.5, 0.5))
    tab(page, "Erase")
    setting(page, "Steps", 2)
    run(page, "erase", 1)
    result, before = Image.open(download(page)), np.asarray(Image.open(tmp_path / "large.jpg"))
    assert result.size == (6000, 4000)
    assert np.array_equal(np.asarray(result)[:400], before[:400])


def test_two_visitors_never_see_each_other_s_pictures(open_page):
    first, _ = open_page()
    second, _ = open_page()
    example(first)
    tab(first, "Erase")
    setting(first, "Steps", 2)
    run(first, "erase", 1)
    assert second.locator("#be-results .be-thumb").count() == 0
    assert second.locator("#be-stage .be-open").count() == 0
    example(second)
    tab(second, "Erase")
    setting(second, "Steps", 2)
    run(second, "erase", 1)  # what comes draws the second's results anew: of a shared list there would be two


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
