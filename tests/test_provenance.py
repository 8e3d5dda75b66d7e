"""PNG records: written, read, and held against the files that they name."""

import json

import pytest
from PIL import Image

from byteedit.files import sha256
from byteedit.provenance import Record, encode_png, find_inputs, read_record


@pytest.fixture
def record(tmp_path):
    """A record of one input that exists."""
    Image.new("RGB", (4, 3), "red").save(tmp_path / "in.png")
    settings = {"prompt": "a rød båt", "seed": 7, "model": "picturebook"}
    inputs = {str(tmp_path / "in.png"): sha256(tmp_path / "in.png")}
    return Record(command="edit", settings=settings, inputs=inputs, versions={"byteedit": "0.1.0"})


def test_a_record_survives_the_png(tmp_path, record):
    (tmp_path / "out.png").write_bytes(encode_png(Image.new("RGB", (4, 3)), record))
    assert read_record(tmp_path / "out.png") == record


def test_viewers_can_read_it_too(tmp_path, record):
    (tmp_path / "out.png").write_bytes(encode_png(Image.new("RGB", (4, 3)), record, icc_profile=b"profile"))
    info = Image.open(tmp_path / "out.png").info
    assert (info["Description"], info["Seed"], info["Model"]) == ("a rød båt", "7", "picturebook")
    assert info["Software"] == "byteedit 0.1.0"
    assert info["icc_profile"] == b"profile"
    assert json.loads(info["byteedit"])["inputs"] == record.inputs


def test_a_plain_png_has_no_record(tmp_path, record):
    with pytest.raises(ValueError, match="carries no byteedit record; --replay needs a PNG that byteedit itself wrote"):
        read_record(tmp_path / "in.png")


def test_a_foreign_record_is_told_from_ours(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("byteedit", '{"other": 1}')
    Image.new("L", (2, 2)).save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(ValueError, match="this version cannot read"):
        read_record(tmp_path / "x.png")


def test_inputs_are_found_where_they_were(tmp_path, record):
    [(name, path)] = find_inputs(record, tmp_path / "out.png").items()
    assert str(path) == name


def test_inputs_are_found_beside_the_result(tmp_path, record):
    (tmp_path / "moved").mkdir()
    (tmp_path / "in.png").rename(tmp_path / "moved" / "in.png")
    assert list(find_inputs(record, tmp_path / "moved" / "out.png").values()) == [tmp_path / "moved" / "in.png"]


def test_a_changed_input_is_refused(tmp_path, record):
    Image.new("RGB", (4, 3), "blue").save(tmp_path / "in.png")
    with pytest.raises(ValueError, match=r"made from another .*in\.png: its SHA-256 was"):
        find_inputs(record, tmp_path / "out.png")


def test_a_missing_input_is_named(tmp_path, record):
    (tmp_path / "in.png").unlink()
    with pytest.raises(ValueError, match=r"was made from .*in\.png, which is not there"):
        find_inputs(record, tmp_path / "out.png")
