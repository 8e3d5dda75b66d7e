"""What edit, erase and outpaint refuse in one line, before a model is opened."""

import shlex

import pytest
from PIL import Image

from byteedit.cli import main
from test_cli_pictures import EDIT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("out.png", "photo.png/within/out.png"), "nothing can be written to photo.png/within"),
        (("mask.png", "black.png"), "black.png is all black, so nothing is to be generated"),
        (("mask.png", "clear.png"), "clear.png is all black"),
        (("--mask mask.png", "--mask-from-alpha"), "photo.png is opaque everywhere"),
        (("photo.png", "float.tif"), "float.tif: A PIL image of mode F"),
        (("--prompt", "--seed 99999999999999999999 --prompt"), "--seed is 99999999999999999999; give a whole number"),
    ],
)
def test_what_cannot_come_out_is_said_before_a_model_is_opened(folder, capsys, monkeypatch, change, words):
    Image.open("photo.png").convert("RGBA").save("photo.png")
    Image.new("L", (70, 50)).save("black.png")
    Image.new("RGBA", (70, 50), (255, 255, 255, 0)).save("clear.png")  # nothing is painted there
    Image.new("F", (70, 50)).save("float.tif")
    monkeypatch.setattr("byteedit.commands.work.load", None)
    assert main(shlex.split(EDIT.replace(*change))) in (1, 2)
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_a_picture_that_is_a_bomb_is_named(folder, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert main(shlex.split(EDIT)) == 1
    assert "photo.png cannot be read as a picture (Image size (3500 pixels) exceeds" in capsys.readouterr().err
