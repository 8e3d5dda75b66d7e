"""Pictures and masks as they come in: every mode, arrays, tensors; what cannot be meant is a ValueError in words."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.ImageOps import exif_transpose

from byteedit.reading import picture_from_pil, read_exif, read_masks, read_pictures
from test_image import MODES, noise


@pytest.mark.parametrize(
    ("mode", "becomes"), [("1", "L"), ("P", "RGB"), ("I", "I;16"), ("HSV", "RGB"), ("YCbCr", "RGB")]
)
def test_modes_that_cannot_hold_an_edit_are_converted(mode, becomes):
    source = MODES["L"] if mode in ("1", "I") else MODES["RGB"]
    picture = picture_from_pil(source.convert(mode))
    assert picture.source.mode == becomes
    assert picture.pixels.shape == (9, 12, 3)


def test_palette_with_transparency_keeps_it():
    image = MODES["RGB"].convert("P")
    image.info["transparency"] = 0
    assert picture_from_pil(image).source.mode == "RGBA"


def test_floating_point_image_has_no_range():
    with pytest.raises(ValueError, match="mode F"):
        picture_from_pil(Image.fromarray(np.zeros((9, 12), np.float32)))


def test_exif_orientation_is_applied():
    image = MODES["RGB"].copy()
    exif = image.getexif()
    exif[0x0112] = 6  # turn right by 90 degrees
    assert picture_from_pil(image).size == (9, 12)
    assert np.array_equal(picture_from_pil(image).pixels, np.rot90(np.asarray(image), -1))
    mask = Image.fromarray(noise(9, 12))
    mask.getexif()[0x0112] = 6
    assert read_masks(mask)[0].shape == (12, 9)


def file_of(exif: bytes) -> Image.Image:
    """A PNG with these EXIF data, opened."""
    buffer = io.BytesIO()
    MODES["RGB"].save(buffer, "PNG", exif=exif, icc_profile=b"a profile")
    return Image.open(buffer)


@pytest.mark.parametrize("orientation", range(10))
def test_pictures_are_turned_as_pil_turns_them_and_not_twice(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a boat"
    source = picture_from_pil(file_of(exif.tobytes())).source
    assert np.array_equal(np.asarray(source), np.asarray(exif_transpose(file_of(exif.tobytes()))))
    assert source.info["icc_profile"] == b"a profile"
    assert np.array_equal(picture_from_pil(source).pixels, np.asarray(source))


@pytest.mark.parametrize("exif", [b"nothing of the kind", b"II*\0\xff\xff\xff\xff", b"MM\0*" + b"\xff" * 40])
def test_pictures_whose_exif_data_are_broken_lie_as_they_are(exif):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert np.array_equal(picture_from_pil(file_of(exif)).pixels, np.asarray(MODES["RGB"]))
        assert read_masks(file_of(exif))[0].shape == (9, 12)
    with pytest.warns(UserWarning, match="EXIF data are broken; they are left out"):
        read_exif(file_of(b"nothing of the kind"))


@pytest.mark.parametrize(
    ("image", "count"),
    [
        (noise(9, 12, 3), 1),
        (noise(2, 9, 12, 3), 2),
        (noise(9, 12, 3) / np.float32(255), 1),
        (torch.rand(3, 9, 12), 1),
        (torch.rand(2, 3, 9, 12), 2),
        ([torch.rand(1, 3, 9, 12), torch.rand(3, 9, 12)], 2),
        ([MODES["RGB"], MODES["LA"], noise(9, 12, 3)], 3),
        (noise(9, 12), 1),
        (torch.rand(1, 9, 12), 1),
    ],
)
def test_read_pictures(image, count):
    pictures = read_pictures(image)
    assert [picture.size for picture in pictures] == [(12, 9)] * count
    assert all(picture.pixels.shape == (9, 12, 3) for picture in pictures)


@pytest.mark.parametrize("shape", [(9, 12), (1, 9, 12), (2, 9, 12), (1, 1, 9, 12), (2, 1, 9, 12)])
def test_read_masks_from_tensors(shape):
    mask = torch.rand(shape)
    masks = read_masks(mask)
    assert len(masks) == (2 if shape[0] == 2 else 1)
    assert np.array_equal(np.stack(masks), mask.reshape(-1, 9, 12).numpy())


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 1), (2, 9, 12), (2, 9, 12, 1)])
def test_read_masks_from_arrays(shape):
    mask = noise(*shape)
    assert np.array_equal(np.stack(read_masks(mask)), mask.reshape(-1, 9, 12))


def test_negative_floats_mean_minus_one_to_one():
    assert read_pictures(torch.full((3, 9, 12), -1.0))[0].pixels.max() == 0.0
    assert read_pictures(torch.zeros(3, 9, 12))[0].pixels.max() == 0.0
    pixels = torch.tensor([-1.0, 0.0, 1.0]).repeat(3, 9, 4)
    assert np.allclose(np.unique(read_pictures(pixels)[0].pixels), [0, 0.5, 1])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.full((3, 9, 12), float("nan")), "NaN"),
        (np.full((9, 12, 3), 200.0), "divide by 255"),
        (noise(9, 12, 2), "2 channels"),
        (np.zeros(5), "shape"),
        ("picture.png", "str is not a picture"),
        ([], "empty list"),
    ],
)
def test_bad_pictures(image, words):
    with pytest.raises(ValueError, match=words):
        read_pictures(image)


def test_a_coloured_array_is_one_mask():
    colours = noise(9, 12, 3)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    for mask in (colours, colours[None], np.dstack([colours, np.full((9, 12), 255, np.uint8)])):
        assert [each.shape for each in read_masks(mask)] == [(9, 12)]
        assert np.array_equal(read_masks(mask)[0], expected)
    floats = read_masks(colours / 255)[0]
    assert floats.shape == (9, 12) and np.abs(floats * 255 - expected).max() < 1
    assert len(read_masks(torch.zeros(3, 9, 12))) == 3


def test_bfloat16_is_read():
    picture = torch.rand(3, 9, 12).bfloat16()
    assert np.array_equal(read_pictures(picture)[0].pixels, picture.float().movedim(0, -1).numpy())


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.eye(12, dtype=np.uint8), "0 and 1 as uint8, where white is 255; multiply it by 255, or give bool"),
        (Image.fromarray(np.eye(12, dtype=np.float32)), "has mode F, which has no white"),
        (Image.fromarray(np.eye(12, dtype=np.int32) * 255), "has mode I, where white is 65535"),
        (Image.fromarray(np.eye(12, dtype=np.uint16) * 255), "has mode I;16, where white is 65535"),
        (Image.fromarray(np.eye(12, dtype=np.uint8)), "0 and 1 in mode L, where white is 255"),
        (np.zeros((0, 5)), "there is nothing in it"),
        (np.eye(12, dtype=np.int64) * 255, "as int64; floats must be in"),
    ],
)
def test_a_mask_whose_white_is_none_is_refused(mask, words):
    with pytest.raises(ValueError, match=words):
        read_masks(mask)
    assert read_masks(np.eye(12, dtype=bool))[0].max() == 1


def test_what_resizing_overshoots_is_cut():
    for overshoot in (-0.02, 1.02):
        mask = np.eye(12, dtype=np.float32)
        mask[0, 1] = overshoot
        assert np.array_equal(read_masks(mask)[0], mask.clip(0, 1))
        image = np.repeat(mask[..., None], 3, -1)
        assert np.array_equal(read_pictures(image)[0].pixels, image.clip(0, 1))
    assert np.array_equal(read_masks(2 * np.eye(12) - 1)[0], np.eye(12))


def test_a_batch_has_one_range():
    dark, bright = torch.full((3, 9, 12), -0.5), torch.full((3, 9, 12), 0.5)
    values = [picture.pixels.flat[0] for picture in read_pictures(torch.stack([dark, bright]))]
    assert values == [0.25, 0.75]


@pytest.mark.parametrize(("mode", "becomes"), [("RGB", "RGBA"), ("L", "LA"), ("1", "LA")])
def test_a_colour_that_is_transparent_becomes_alpha(mode, becomes, tmp_path):
    image = MODES["L"].convert("1") if mode == "1" else MODES[mode]
    colour = image.getpixel((0, 0))
    image.save(tmp_path / "a.png", transparency=colour)
    source = picture_from_pil(Image.open(tmp_path / "a.png")).source
    assert source.mode == becomes
    assert source.getchannel("A").getpixel((0, 0)) == 0 and source.getchannel("A").getextrema() == (0, 255)


def test_a_mask_whose_black_is_transparent_in_a_palette_keeps_that(tmp_path):
    mask = Image.fromarray(np.eye(12, dtype=np.uint8)).convert("P")
    mask.putpalette([255] * 6)
    mask.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_masks(Image.open(tmp_path / "a.png"))[0], np.eye(12, dtype=np.uint8) * 255)
    Image.fromarray(np.eye(12, dtype=np.uint8) + 254).save(tmp_path / "b.png", transparency=254)
    assert np.array_equal(read_masks(Image.open(tmp_path / "b.png"))[0], np.eye(12, dtype=np.uint8) * 255)


def with_palette(image):
    """White with the image's alpha, in mode PA."""
    made = Image.new("PA", image.size)
    made.putpalette([255] * 3)
    made.putalpha(image.getchannel("A"))
    return made


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La", "PA"])
def test_a_mask_counts_as_far_as_it_is_opaque(mode):
    mask = Image.new("RGBA", (3, 1), (255, 255, 255, 0))
    mask.putpixel((1, 0), (255, 255, 255, 255))
    mask.putpixel((2, 0), (255, 255, 255, 128))
    mask = mask.convert("LA" if mode == "La" else mode) if mode != "PA" else with_palette(mask)
    mask = mask.convert("La") if mode == "La" else mask
    for given in (mask, np.asarray(mask)[None] if mode == "RGBA" else mask):
        assert read_masks(given)[0].tolist() == [[0, 255, 128]]
