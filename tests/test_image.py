"""Pictures and masks on their way to the model and back, without a model."""

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.image import Picture, Window, paste, resize, to_pil, to_tensor, window
from byteedit.pipeline.canvas import lay_out, see_mask
from byteedit.reading import picture_from_pil, read_pictures


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


@pytest.mark.parametrize("view", [Window(3, -7, 64, 64), Window(-10, -200, 90, 450)])
def test_a_window_s_content_at_another_size_is_made_large_as_far_as_it_lies_in_the_picture(view):
    content = np.random.default_rng(0).random((32, 32, 3), np.float32)
    whole = view.uncrop(resize(content, (view.width, view.height)), (70, 50))
    np.testing.assert_allclose(view.uncrop(content, (70, 50)), whole, atol=1e-5)


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


@pytest.mark.parametrize("across", [False, True])
def test_a_thin_stroke_is_not_lost_where_the_model_works_at_a_smaller_size(across):
    mask = np.zeros((256, 256), np.uint8)
    mask[101] = 255
    mask = mask.T if across else mask
    seen = see_mask(mask, Window(0, 0, 256, 256), (64, 64), composite=True)[0, 0]
    assert seen.sum() == 64 and (seen[:, 25] if across else seen[25]).all()
