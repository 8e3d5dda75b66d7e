"""Files by strangers, on which a run, a command or a report rests: they write nowhere else, and errors name them."""

import json
import shlex
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from byteedit.app.photo import read_photo
from byteedit.cli import main
from byteedit.commands.records import restore
from byteedit.commands.work import as_edited, open_picture
from byteedit.evaluation.benchmarks import open_benchmark
from byteedit.evaluation.human.studies import open_study
from byteedit.evaluation.report.reading import read_run
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.files import FORMATS, sha256
from byteedit.provenance import read_record
from toy_benchmarks import write_brushbench, write_editbench
from toy_reports import marked, write_run
from toy_studies import make_study


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


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Function that writes out.png with a record of an erasure in which something differs: recorded(settings=...)."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("photo.png", 0), ("mask.png", 255)):
        Image.new("L", (9, 9), value).save(name)

    def write(settings=None, **changes):
        whole = {"images": ["photo.png"], "mask": ["mask.png"], "lora": [], "seed": 3, "model": "model"}
        inputs = {name: sha256(tmp_path / name) for name in ("photo.png", "mask.png")}
        record = {"command": "erase", "inputs": inputs, "versions": {"byteedit": "0.1.0"}}
        info = PngInfo()
        info.add_itxt("byteedit", json.dumps(record | {"settings": whole if settings is None else settings} | changes))
        Image.new("L", (9, 9)).save("out.png", pnginfo=info)
        return whole

    return write


def test_a_record_makes_one_picture(recorded, tmp_path):
    recorded(recorded() | {"num_images": 10**9})
    command = restore(read_record(tmp_path / "out.png"), tmp_path / "out.png")
    assert (command.num_images, command.seed) == (1, 3)
    assert [path.name for path in (*command.images, *command.mask)] == ["photo.png", "mask.png"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"settings": {}}, "out.png: its record does not name the one picture"),
        ({"settings": []}, "out.png carries a byteedit record that this version cannot read"),
        ({"inputs": {}}, "out.png: its record does not name the one picture"),
        ({"inputs": {"photo.png": 5}}, "out.png carries a byteedit record that this version cannot read"),
        ({"versions": "0.1.0"}, "out.png carries a byteedit record that this version cannot read"),
        ({"command": ["edit"]}, "out.png carries a byteedit record that this version cannot read"),
        ({"command": "paint"}, "out.png was made by byteedit 0.1.0, which knew other options"),
        ({"command": "outpaint"}, "out.png was made by byteedit 0.1.0, which knew other options"),
        ({"settings": {"output": "photo.png"}}, "out.png was made by byteedit 0.1.0, which knew other options"),
        ({"images": ["other.png"]}, "out.png: its record does not name the one picture"),
        ({"images": ["photo.png", "photo.png"]}, "out.png: its record does not name the one picture"),
        ({"images": "photo.png"}, "out.png: its record's images is 'photo.png', which is not as byteedit writes it"),
        ({"seed": "many" * 99}, "out.png: its record's seed is 'manymany"),
        ({"seed": True}, "out.png: its record's seed is True"),
        ({"dtype": "float8"}, "out.png: its record's dtype is 'float8'"),
        ({"mask": []}, "out.png: its record makes no command (where to generate?"),
        ({"lora": ["a:inf"]}, "out.png: its record makes no command (--lora is 'a:inf'"),
    ],
)
def test_a_record_by_a_stranger_is_checked(recorded, capsys, record, words):
    changes = {name: value for name, value in record.items() if name in ("settings", "inputs", "versions", "command")}
    recorded(**changes) if changes else recorded(recorded() | record)
    assert main(["edit", "--replay", "out.png"]) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and len(err) < 250


def test_a_record_that_is_a_bomb_is_said(tmp_path, capsys):
    info = PngInfo()
    info.add_itxt("byteedit", " " * 3_000_000, zip=True)
    Image.new("L", (9, 9)).save(tmp_path / "out.png", pnginfo=info)
    assert main(["edit", "--replay", str(tmp_path / "out.png")]) == 1
    assert "out.png cannot be read as a picture (Decompressed data too large" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{}", "[]", "5", "", '{"format": 1}', "HALF", "[" * 100_000, "\udcff"])
@pytest.mark.parametrize("name", ["study.json", "questions.jsonl"])
def test_a_study_that_is_cut_off_names_its_file(tmp_path, name, text):
    file = make_study(tmp_path, "gsb", count=2).folder / name
    content = file.read_text()[: len(file.read_text()) // 2] if text == "HALF" else text
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=rf"{name} is not as byteedit writes it \(\w+: .*\); copy it again, whole"):
        open_study(file.parent)


@pytest.mark.parametrize(
    ("name", "value"), [("settings", {"kind": "gsb", "votes": "2"}), ("systems", []), ("places", [["q9"]])]
)
def test_what_a_study_lacks_is_not_found_out_by_a_rater(tmp_path, name, value):
    file = make_study(tmp_path, "gsb", count=2).folder / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=r"study\.json is not as byteedit writes it"):
        open_study(file.parent)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("run.json", ["{}", "[]", "", '{"benchmark": 5', '{"benchmark": "picturebench", "prompt": null}']),
        ("figures.json", ["5", "", '{"ours": {']),
        ("ours/system.json", ["[]", "", '{"system": "ours"']),
        ("ours/scores.jsonl", ['{"id": "a"', "\udcff"]),
    ],
)
def test_a_run_that_is_cut_off_names_its_file(tmp_path, name, texts):
    folder = write_run(tmp_path / "run", {"ours": [marked(3.0)] * 3})
    for text in texts:
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(ValueError, match=rf"{name} is not as byteedit writes it \(\w+: .*\); copy it again, whole"):
            read_run(folder)
