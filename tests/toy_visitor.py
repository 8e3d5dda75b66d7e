"""What a visitor of the editor does: opens pictures, goes to a tab, paints, runs, downloads."""

from pathlib import Path

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


def erase_example(page, number: int, steps: int) -> None:
    """Open one of the pictures to try and erase what its mask covers."""
    example(page, number)
    tab(page, "Erase")
    setting(page, "Steps", steps)
    run(page, "erase", 1)


def download(page, button="#be-download") -> Path:
    """The file that a button gives."""
    with page.expect_download() as waiting:
        page.click(button)
    return Path(waiting.value.path()).rename(Path(waiting.value.path()).with_name(waiting.value.suggested_filename))
