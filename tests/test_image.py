"""Pictures and masks on their way to the model and back, without a model."""

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.image import Picture, Window, paste, resize, to_pil, to_tensor, window
from byteedit.pipeline.canvas import lay_out
from byteedit.reading import picture_from_pil, read_masks, read_pictures


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


MODES = {
    "RGB": Image.fromarray(noise(9, 12, 3)),
    "RGBA": Image.fromarray(noise(9, 12, 4)),
    "L": Image.fromarray(noise(9, 12)),
    "LA": Image.fromarray(noise(9, 12, 2)),
    "CMYK": Image.frombytes("CMYK", (12, 9), noise(9, 12, 4).tobytes()),
    "I;16": Image.fromarray(noise(9, 12).astype(np.uint16) * 257 + 3),
}


@pytest.mark.parametrize("mode", MODES)
def test_mode_and_unmasked_values_are_kept(mode):
    image = MODES[mode]
    assert image.mode == mode
    picture = picture_from_pil(image)
    mask = np.zeros((9, 12), np.uint8)
    mask[2:5, 3:7] = 255
    edited = paste(picture, mask, np.full((9, 12, 3), 0.5, np.float32), Window(0, 0, 12, 9))
    result = to_pil(edited, picture, mask)
    assert result.mode == mode
    before, after = np.asarray(image), np.asarray(result)
    assert np.array_equal(after[mask == 0], before[mask == 0])
    assert (after[mask > 0] != before[mask > 0]).any()
    if mode in ("RGBA", "LA"):
        assert np.array_equal(after[..., -1], before[..., -1])


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


def test_to_tensor_ranges():
    pixels = np.array([[[[0, 128, 255]]]], np.uint8)
    assert to_tensor(pixels).flatten().tolist() == pytest.approx([-1, 0.00392, 1], abs=1e-4)
    assert to_tensor(np.array([[[0, 255]]], np.uint8)).flatten().tolist() == [0, 1]


def test_resize_is_antialiased():
    """Fine stripes become grey; nearest neighbour would keep one of the two colours."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    for pixels in (stripes, stripes / np.float32(255)):
        small = resize(pixels, (16, 16))
        assert small.dtype == pixels.dtype
        assert abs(float(small[4:-4, 4:-4].mean()) / float(pixels.max()) - 0.5) < 0.02
        assert small[4:-4, 4:-4].std() / pixels.max() < 0.02


# The window


def box_mask(width, height, left, top, right, bottom):
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def test_window_has_the_model_size_in_a_large_picture():
    view = window(box_mask(4000, 3000, 3900, 100, 3990, 150), (512, 512), "auto")
    assert (view.width, view.height) == (512, 512)
    assert (view.left, view.top) == (4000 - 512, 0)


def test_window_grows_with_the_mask():
    view = window(box_mask(4000, 3000, 1000, 1000, 2000, 1500), (512, 512), "auto")
    assert (view.width, view.height) == (1500, 1500)
    assert (view.left, view.top) == (1500 - 750, 1250 - 750)


@pytest.mark.parametrize("size", [(64, 64), (50, 70), (30, 20), (128, 40)])
def test_window_holds_the_mask_and_no_more_than_the_picture_needs(size):
    mask = box_mask(*size, 5, 5, 15, 12)
    view = window(mask, (64, 64), "auto")
    assert view.width == view.height <= max(*size)
    rows, columns = view.inside(size)
    assert rows.start <= 5
    assert rows.stop >= 12
    assert columns.start <= 5
    assert columns.stop >= 15


def test_window_of_a_small_picture_is_the_whole():
    assert window(box_mask(64, 64, 10, 10, 20, 20), (64, 64), "auto") == Window(0, 0, 64, 64)
    assert window(box_mask(32, 32, 10, 10, 20, 20), (64, 64), "auto") == Window(0, 0, 32, 32)


def test_window_with_a_margin_in_pixels():
    assert window(box_mask(200, 200, 90, 90, 110, 110), (64, 64), 6) == Window(84, 84, 32, 32)


def test_crop_mirrors_what_overhangs_and_uncrop_takes_it_off():
    pixels = noise(50, 70, 3)
    view = Window(3, -7, 64, 64)
    content = view.crop(pixels)
    assert content.shape == (64, 64, 3)
    assert np.array_equal(content[7:57], pixels[:, 3:67])
    assert np.array_equal(content[6], content[7])
    assert np.array_equal(view.uncrop(content, (70, 50)), pixels[:, 3:67])


# The seam


def test_paste_blends_by_the_mask():
    picture = Picture(np.full((8, 8, 3), 100, np.uint8))
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 2:4], mask[:, 4:] = 51, 255  # a fifth, and all
    pixels = paste(picture, mask, np.full((8, 8, 3), 200 / 255, np.float32), Window(0, 0, 8, 8))
    assert [int(pixels[0, x, 0]) for x in (0, 2, 4)] == [100, 120, 200]


@pytest.mark.parametrize("covered", ["all of it", "all but a corner"])
def test_a_decode_in_half_precision_is_pasted_as_well(covered):
    picture, mask = Image.fromarray(noise(64, 64, 3)), np.full((64, 64), 255, np.uint8)
    if covered != "all of it":
        mask[:8, :8] = 0
    canvas = lay_out(read_pictures(picture), [mask], (64, 64), None, composite=True)
    decoded = torch.linspace(-0.9, 0.9, 64).expand(1, 3, 64, 64)
    whole, half = (
        np.asarray(canvas.finish(made, True, 8, rounded=True)[0]).astype(int) for made in (decoded, decoded.half())
    )
    assert np.abs(whole - half).max() <= 1


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


@pytest.mark.parametrize(("mode", "becomes"), [("RGB", "RGBA"), ("L", "LA")])
def test_a_colour_that_is_transparent_becomes_alpha(mode, becomes, tmp_path):
    colour = MODES[mode].getpixel((0, 0))
    MODES[mode].save(tmp_path / "a.png", transparency=colour)
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
