"""Images of strangers: decoded upright and whole, or refused with a reason that is counted."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from byteedit.data.images import Unusable, is_blank, open_image, store
from byteedit.reading import read_pictures


def bomb(width, height) -> bytes:
    """A PNG of a few bytes that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(b""), b"IEND": b""}
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks.items():
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9_000), (200_000, 200_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(Unusable, match=r"^broken image$"):
        open_image(store(bomb(*size)))


def test_a_picture_with_broken_exif_data_is_used_as_it_lies():
    buffer = io.BytesIO()
    Pictures.new("RGB", (8, 6), "red").save(buffer, "PNG", exif=b"nothing of the kind")
    opened = open_image(store(buffer.getvalue()))
    assert opened.size == (8, 6) and opened.getpixel((0, 0)) == (255, 0, 0)


def test_a_format_that_needs_another_program_is_not_opened(monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("a program was started"))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(Unusable, match=r"^broken image$"):
        open_image(store(program))


@pytest.mark.parametrize(
    "path", ["/dev/zero", "https://example.com/a.png", "no\0path", ".", "data:image/png;base64," + "iVBOR" * 999]
)
def test_a_path_that_is_no_file_is_a_missing_image(path):
    with pytest.raises(Unusable, match=r"^missing image$"):
        open_image(store(path))


def test_a_file_that_must_not_be_read_is_a_broken_image(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "closed.png").write_bytes(b"")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Unusable, match=r"^broken image$"):
        open_image(store("closed.png", tmp_path))
    monkeypatch.setattr(Path, "is_file", refuse)  # as of a folder that is closed to us
    with pytest.raises(Unusable, match=r"^missing image$"):
        open_image(store("closed.png", tmp_path))


@pytest.mark.parametrize("value", [5, 0.5, True, {"path": 5}, {"bytes": 5}, {"bytes": [1, 2]}, {"bytes": "Zoë"}])
def test_what_is_no_image_at_all_is_a_broken_one(value, tmp_path):
    for root in (None, tmp_path):
        with pytest.raises(Unusable, match=r"^broken image$"):
            open_image(store(value, root))
    good, inner = store(["a.png", [value]], tmp_path)
    assert good == {"bytes": None, "path": str(tmp_path / "a.png")}
    with pytest.raises(Unusable, match=r"^broken image$"):
        open_image(inner)


def tiff(pixels) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, "TIFF")
    return buffer.getvalue()


def test_deep_pictures_are_read_by_the_rules_of_the_editor():
    deep = np.array([[-5, 0, 257 * 7, 257 * 200, 65535, 10**6]], np.int32)
    assert Pictures.open(io.BytesIO(tiff(deep))).mode == "I"
    for mode in ("RGB", "L"):
        read = np.asarray(open_image(store(tiff(deep)), mode)).reshape(6, -1)
        assert read[:, 0].tolist() == [0, 0, 7, 200, 255, 255]
    [editor] = read_pictures(Pictures.open(io.BytesIO(tiff(deep))))
    np.testing.assert_allclose(editor.pixels[0, :, 0] * 255, read[:, 0], atol=1e-4)
    for floats in (np.full((4, 4), 0.5, np.float32), np.full((4, 4), 200, np.float32)):
        with pytest.raises(ValueError, match="mode F has no known range"):
            read_pictures(Pictures.open(io.BytesIO(tiff(floats))))
        with pytest.raises(Unusable, match=r"^broken image$"):
            open_image(store(tiff(floats)))


def test_images_come_upright_and_16_bits_keep_their_range(tmp_path):
    turned = Pictures.new("RGB", (8, 6), (255, 0, 0))
    exif = Pictures.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(store("turned.jpg", tmp_path)).size == (6, 8)
    Pictures.fromarray(np.full((4, 4), 257 * 100, np.uint16)).save(tmp_path / "deep.png")
    assert open_image(store("deep.png", tmp_path)).getpixel((0, 0)) == (100, 100, 100)


def test_blank_pictures_are_told_from_plain_ones():
    picture = np.random.default_rng(0).uniform(0, 1, (8, 8, 3))
    assert not is_blank(picture)
    assert is_blank(np.zeros((8, 8, 3)))
    assert is_blank(np.where(picture > 0.99, np.nan, picture))
    gradient = np.zeros((8, 8, 3))
    gradient[..., 2] = np.linspace(0, 0.1, 8)
    assert not is_blank(gradient)
