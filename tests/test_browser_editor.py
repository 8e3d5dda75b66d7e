"""The editor in a real browser, on the shipped model: what a visitor does, from the first stroke to the download."""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from toy_visitor import WIDE, download, erase_example, example, masked, run, setting, stroke, tab, upload

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow


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
    erase_example(page, 3, steps=4)
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
    assert "Traceback" not in page.content()


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


def test_a_reload_finds_picture_mask_words_and_results_again(open_page):
    page, _ = open_page()
    erase_example(page, 2, steps=2)
    tab(page, "Edit")
    page.click("[data-do=clear]")
    stroke(page, (0.2, 0.2), (0.4, 0.3))
    painted = masked(page)
    words = page.get_by_label("What should be there?", exact=True)
    words.fill("a red boat")
    page.reload()
    page.wait_for_selector("#be-stage .be-open")
    page.wait_for_selector("#be-results .be-thumb")
    page.wait_for_function("document.querySelector('#be-side textarea').value === 'a red boat'")
    assert masked(page) == pytest.approx(painted) and painted > 0
    setting(page, "Steps", 2)
    run(page, "edit", 2)  # one more than before
    other, _ = open_page()
    other.wait_for_function("sessionStorage.getItem('byteedit/visit')")
    assert other.locator("#be-results .be-thumb").count() == 0
    assert other.locator("#be-stage .be-open").count() == 0


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
