"""Files by strangers, on which a run, a command or a report rests: they write nowhere else, and errors name them."""

import shlex
import struct

import numpy as np
import pytest
from PIL import Image

from byteedit.app.photo import read_photo
from byteedit.cli import main
from byteedit.commands.work import as_edited, open_picture
from byteedit.evaluation.benchmarks import open_benchmark
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.files import FORMATS
from toy_benchmarks import write_brushbench, write_editbench


@pytest.mark.parametrize("name", ["/../../escaped", "\\..\\escaped", "a\0b"])
def test_a_case_s_id_leads_to_no_other_folder(tmp_path, name):
    (tmp_path / "bench").mkdir()
    file = write_editbench(tmp_path / "bench") / "annotations_natural.csv"
    file.write_text(file.read_text().replace("cat-material-indoor,", f"{name},"))
    bench = f"editbench:{tmp_path / 'bench'},white=generate"
    with pytest.raises(ValueError, match=r"has a case called 'natural-.*, no plain file name; give it one"):
        evaluate(RunSettings(benchmark=bench, systems=("telea",), output=tmp_path / "run"))
    assert not list(tmp_path.rglob("*escaped*")) and not list(tmp_path.glob("run/*/*"))


def test_other_benchmarks_ids_are_checked_too(tmp_path):
    mapping = write_brushbench(tmp_path) / "mapping_file.json"
    mapping.write_text(mapping.read_text().replace('"000000017": {', '"..": {'))
    with pytest.raises(ValueError, match=r"has a case called '\.\.', no plain file name"):
        open_benchmark(f"brushbench:{tmp_path}")


def test_an_id_may_begin_with_dots_and_hold_blanks(tmp_path):
    mapping = write_brushbench(tmp_path) / "mapping_file.json"
    mapping.write_text(mapping.read_text().replace('"000000017": {', '"..a boat/.": {'))
    assert [case.id for case in open_benchmark(f"brushbench:{tmp_path}")] == ["000000001", "..a boat-."]


@pytest.mark.parametrize(
    "line", ["erase photo.png --mask-from-alpha --output out.png", "edit --replay photo.png", "score photo.png"]
)
def test_no_other_program_is_started_for_a_picture(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save("photo.png", "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    assert main(shlex.split(line)) in (1, 2)
    err = capsys.readouterr().err
    assert "photo.png" in err and "Ghostscript" not in err


def test_the_kinds_of_pictures_that_are_opened_are_said(tmp_path):
    (tmp_path / "photo.png").write_text("%!PS-Adobe-3.0 EPSF-3.0")
    with pytest.raises(ValueError, match=r"photo\.png cannot be read as a picture; .* kinds: PNG, JPEG, WEBP, GIF"):
        open_picture(tmp_path / "photo.png")


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_what_a_phone_or_a_browser_saves_is_opened(tmp_path, kind):
    one, other = Image.new("RGB", (16, 8), (200, 30, 30)), Image.new("RGB", (16, 8))
    one.save(tmp_path / "photo.jpg", kind, **({"save_all": True, "append_images": [other]} if kind == "MPO" else {}))
    image = open_picture(tmp_path / "photo.jpg")
    assert (image.format, image.size) == (kind, (16, 8))
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - (200, 30, 30)).max() < 8


TURNED_BUT_UNWRITABLE = (  # an orientation, and a unit that is text in the place of a number
    b"II*\0" + struct.pack("<IHHHIIHHI4sI", 8, 2, 0x0112, 3, 1, 6, 0x0128, 2, 4, b"cm\0\0", 0)
)


@pytest.mark.parametrize(("exif", "size"), [(b"nothing of the kind", (16, 8)), (TURNED_BUT_UNWRITABLE, (8, 16))])
def test_a_photo_whose_exif_data_are_broken_can_be_edited(tmp_path, exif, size):
    path = tmp_path / "photo.png"
    Image.new("RGB", (16, 8)).save(path, exif=exif)
    with pytest.warns(UserWarning, match="EXIF data are broken; they are left out"):
        picture, tags = as_edited(open_picture(path))
    assert picture.size == size and not tags.get("exif")
    with pytest.warns(UserWarning, match="EXIF data are broken; they are left out"):
        assert read_photo(path.read_bytes(), "photo.png", megapixels=1, megabytes=1).image.size == size
