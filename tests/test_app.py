"""The editor without its page: files that come in, what a session keeps, and PNGs that go out."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.ImageChops
import PIL.ImageOps
import pytest
from PIL import Image

from byteedit.app.answering import answer, command_for, extension, result_of
from byteedit.app.events import Events
from byteedit.app.examples import EXAMPLES
from byteedit.app.line import Line
from byteedit.app.making import Made, make
from byteedit.app.photo import (
    alpha_mask,
    browser_copy,
    copy_size,
    data_address,
    mask_copy,
    painted_mask,
    read_photo,
)
from byteedit.app.session import Session
from byteedit.app.settings import Settings
from byteedit.cli import main
from byteedit.commands.pictures import Edit, Erase, Outpaint
from byteedit.commands.work import as_edited
from byteedit.provenance import read_record


def file_of(image, kind="PNG", **options) -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo_of(image, name="photo.png", **options):
    """A picture as an upload."""
    return read_photo(file_of(image, **options), name, megapixels=1, megabytes=1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "photo.png cannot be read as a picture; give a file of one of these kinds: PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n broken", "cannot be read"),
        (file_of(Image.effect_noise((90, 90), 9))[:2000], r"photo.png cannot be read as a picture \(.*truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
        (file_of(Image.new("1", (2000, 600))), "photo.png is 2000 x 600 pixels, 1 megapixels; 1 are the most"),
        (bytes(1_100_000), "photo.png has 1 MB; 1 MB are the most"),
    ],
)
def test_what_is_no_picture_or_too_large_is_a_sentence(content, words):
    with pytest.raises(ValueError, match=words):
        read_photo(content, "photo.png", megapixels=1, megabytes=1)


def test_a_turned_photo_is_upright_and_keeps_its_other_exif(scene):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    photo = photo_of(scene(70, 50)[0], kind="JPEG", exif=exif, icc_profile=b"a profile")
    assert photo.image.size == (50, 70)
    assert photo.tags["icc_profile"] == b"a profile"
    kept = Image.Exif()
    kept.load(photo.tags["exif"])
    assert dict(kept) == {0x010F: "a camera"}


def test_words_reach_the_command():
    words = {"prompt": "a red boat", "negative_prompt": "a fish"}
    for task, extent in ("edit", {}), ("outpaint", {"left": 8}):
        command = command_for(task, words, {}, extent)
        assert (command.prompt, command.negative_prompt) == ("a red boat", "a fish")


def test_exif_that_cannot_be_written_again_is_left_out(scene):
    exif = Image.Exif()
    exif[0x0128] = 2  # a unit, a number
    content = file_of(scene(70, 50)[0], kind="TIFF")
    image = Image.open(io.BytesIO(content))
    image.getexif()[0x0128] = "inches"
    with pytest.warns(UserWarning, match="EXIF data are broken; they are left out"):
        assert not as_edited(image)[1].get("exif")


def test_a_large_picture_is_painted_on_a_small_copy():
    assert copy_size((6000, 4000)) == (1600, 1067)
    assert copy_size((70, 50)) == (70, 50)
    mask = Image.new("L", (1600, 1067))
    mask.paste(255, (400, 300, 800, 600))
    full = painted_mask(data_address(mask, "PNG"), (6000, 4000))
    left, top, right, bottom = full.getbbox()
    assert full.size == (6000, 4000)
    assert np.allclose((left, top, right, bottom), (1500, 1125, 3000, 2249), atol=4)


def test_a_mask_of_the_picture_s_size_arrives_as_it_was_painted(scene):
    mask = scene(70, 50)[1]
    assert np.array_equal(np.asarray(painted_mask(data_address(mask, "PNG"), (70, 50))), np.asarray(mask))
    assert mask_copy(mask, (70, 50)) == data_address(mask, "PNG")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (None, "There is no mask yet"),
        ("/etc/passwd", "There is no mask yet"),
        ("data:image/png;base64,###", "arrived broken"),
        (data_address(Image.new("L", (70, 50)), "PNG"), "Nothing is painted yet"),
        (data_address(Image.new("L", (7, 5), 255), "PNG"), "reload the page"),
    ],
)
def test_a_mask_that_is_none_is_a_sentence(address, words):
    with pytest.raises(ValueError, match=words):
        painted_mask(address, (70, 50))


def test_transparent_parts_can_be_the_mask(scene):
    photo, mask = scene(70, 50)
    with pytest.raises(ValueError, match="no transparent parts"):
        alpha_mask(photo)
    photo.putalpha(PIL.ImageOps.invert(mask))
    assert np.array_equal(np.asarray(alpha_mask(photo)), np.asarray(mask))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16"])
def test_every_mode_has_a_copy_for_the_browser(scene, mode):
    image = scene(70, 50)[0].convert("L" if mode == "I;16" else mode)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    photo = photo_of(image)
    assert browser_copy(photo.image, {}).startswith("data:image/png;base64,")
    thumb = result_of(Made(image=photo.image, command=Erase(seed=0)), photo, None).drawn().thumb
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(thumb.partition(",")[2]))).convert("L"), np.float32)
    assert np.abs(shown - np.asarray(scene(70, 50)[0].convert("L"), np.float32)).mean() < 4


def session_with(photo, made, mask) -> Session:
    """A session with one result."""
    session = Session()
    session.open(photo)
    session.keep(result_of(made, photo, mask), session.copy)
    return session


@pytest.mark.parametrize("command", [Edit(prompt="a red boat"), Erase(), Outpaint(left=6, top=4, prompt="a tree")])
def test_the_download_is_replayed_by_the_command_line(model, scene, tmp_path, capsys, command):
    image, mask = scene(70, 50)
    mask = None if isinstance(command, Outpaint) else mask
    photo = photo_of(image)
    command = replace(command, model=model, seed=3, steps=2, device="cpu")
    *_, made = make(Line(0), command, photo.image, mask, tmp_path / "stop")
    result = session_with(photo, made, mask).chosen_result()
    Path(result.name).write_bytes(result.png())
    Path("photo.png").write_bytes(photo.content)
    if mask is not None:
        Path(result.mask_name).write_bytes(result.mask_png())
    assert main(["edit", "--replay", result.name]) == 0
    assert f"identical to {result.name}" in capsys.readouterr().out
    assert set(read_record(Path(result.name)).inputs) == {"photo.png", *([result.mask_name] if mask else [])}


@pytest.mark.parametrize("more", [False, True])
def test_a_mask_from_transparency_gives_a_picture_that_is_seen_and_replayed(model, scene, capsys, more):
    image, mask = scene(70, 50)
    clear = Image.new("L", (70, 50))
    clear.paste(255, (10, 10, 40, 30))
    image.putalpha(PIL.ImageOps.invert(clear))
    session, events = Session(), Events(Settings(model=model, device="cpu"))
    session.open(photo_of(image))
    address = events.mask_from_alpha(session)["src"]
    if more:  # is painted
        address = data_address(PIL.ImageChops.lighter(clear, mask), "PNG")
    command = Edit(prompt="a red boat", model=model, seed=3, steps=2, device="cpu")
    list(events._run(session, command, address))
    result = session.chosen_result()
    assert result.image.mode == "RGB"
    Path(result.name).write_bytes(result.png())
    Path("photo.png").write_bytes(session.photo.content)
    Path(result.mask_name).write_bytes(result.mask_png())
    assert main(["edit", "--replay", result.name]) == 0
    assert f"identical to {result.name}" in capsys.readouterr().out
    elsewhere = Image.new("L", (70, 50))
    elsewhere.paste(255, (50, 30, 60, 40))
    list(events._run(session, command, data_address(elsewhere, "PNG")))
    assert session.chosen_result().image.mode == "RGBA"  # nothing was made where it is transparent


def test_a_stopped_picture_says_that_it_cannot_be_made_again(model, scene, tmp_path, capsys):
    image, mask = scene(70, 50)
    photo = photo_of(image)
    command = Erase(model=model, seed=3, steps=2, device="cpu")
    *_, made = make(Line(0), command, image, mask, tmp_path / "stop")
    result = session_with(photo, replace(made, stopped_after=1), mask).chosen_result()
    assert result.name == "photo-erase-3-stopped-1.png"
    Path(result.name).write_bytes(result.png())
    Path("photo.png").write_bytes(photo.content)
    Path(result.mask_name).write_bytes(result.mask_png())
    assert main(["edit", "--replay", result.name]) == 1
    assert "was stopped before it was finished" in capsys.readouterr().err


def test_a_session_keeps_a_bounded_number_of_results(scene):
    image, mask = scene(70, 50)
    session, photo = Session(), photo_of(image)
    session.open(photo)
    for seed in range(30):
        made = Made(image=image, command=Erase(seed=seed))
        session.keep(result_of(made, photo, mask), session.copy)
    assert len(session.results) == 24
    assert session.results[0].command.seed == 29


def test_programs_get_what_the_page_gets(model, scene):
    image, mask = scene(70, 50)
    settings = Settings(model=model, device="cpu")
    result = answer(settings, file_of(image), file_of(mask), "a red boat", seed=5, steps=2)
    assert result.image.size == (70, 50)
    assert result.name == "image-edit-5.png"
    wider = answer(settings, file_of(image), task="outpaint", shape="2:1", anchor="left", seed=5, steps=1)
    assert wider.image.size == (100, 50)
    with pytest.raises(ValueError, match="The mask is missing"):
        answer(settings, file_of(image))
    with pytest.raises(ValueError, match="would have 70 x 90050 pixels, 6 megapixels; 1 are the most"):
        answer(replace(settings, megapixels=1), file_of(image), task="outpaint", bottom=90_000)
    with pytest.raises(ValueError, match="task is 'draw'; give edit, erase or outpaint"):
        answer(settings, file_of(image), task="draw")


def test_how_far_to_outpaint():
    assert extension(left=8, right=None) == {"left": 8, "right": 0, "top": 0, "bottom": 0}
    assert extension("1024x768") == {"size": "1024x768", "anchor": "center"}
    assert extension("16:9", "left", left=8) == {"aspect_ratio": "16:9", "anchor": "left"}
    assert extension("2")["aspect_ratio"] == "2"
    for shape in ("foo", "axb", "16:9:3", ""):
        with pytest.raises(ValueError, match=f"The new shape is '{shape}'; give a ratio such as 16:9"):
            extension(shape)
    with pytest.raises(ValueError, match="give pixels for left, right, top or bottom, or a shape"):
        extension(left=0, right=None)


def test_the_pictures_to_try_have_masks_of_their_size():
    assert len(EXAMPLES) == 4
    assert all(example.photo().image.size == example.mask.size == (128, 128) for example in EXAMPLES)
    assert all(example.mask.getbbox() for example in EXAMPLES)
