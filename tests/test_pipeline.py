"""What our pipeline does better than diffusers' own: a test for every complaint of its users."""

import numpy as np
import pytest
import torch
from PIL import Image


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Size


@pytest.mark.parametrize("size", [(70, 50), (64, 64), (33, 97), (9, 8), (200, 40), (500, 401)])
def test_the_output_has_the_input_size(pipe, scene, size):
    image, mask = scene(*size)
    for options in ({}, {"padding_mask_crop": None}, {"padding_mask_crop": 4}, {"composite": False}):
        assert pipe("a red boat", image, mask, **options).images[0].size == size


def test_explicit_height_and_width_are_the_output_size(pipe, scene):
    assert pipe("a red boat", *scene(70, 50), height=48, width=96).images[0].size == (96, 48)
    assert pipe("a red boat", *scene(70, 50), height=48, width=96, composite=False).images[0].size == (96, 48)


def test_a_large_picture_costs_what_a_small_one_does(pipe, scene, unet_calls):
    pipe.erase(*scene())
    small = list(unet_calls)
    unet_calls.clear()
    image, mask = Image.new("RGB", (4000, 3000), "green"), Image.new("L", (4000, 3000))
    mask.paste(255, (1000, 1200, 1030, 1220))
    result = pipe.erase(image, mask).images[0]
    assert unet_calls == small
    changed = np.argwhere((np.asarray(result) != np.asarray(image)).any(axis=-1))
    assert changed.min(axis=0).tolist() == [1200, 1000]
    assert changed.max(axis=0).tolist() == [1219, 1029]


# Unmasked pixels


@pytest.mark.parametrize("options", [{}, {"padding_mask_crop": None}, {"padding_mask_crop": 3}])
@pytest.mark.parametrize("size", [(64, 64), (70, 50), (300, 180)])
def test_unmasked_pixels_are_bit_identical(pipe, scene, size, options):
    image, mask = scene(*size)
    result = np.asarray(pipe("a red boat", image, mask, **options).images[0])
    kept = np.asarray(mask) == 0
    assert np.array_equal(result[kept], np.asarray(image)[kept])
    assert (result[~kept] != np.asarray(image)[~kept]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize("output_type", ["np", "pt"])
def test_unmasked_values_are_identical_in_arrays(pipe, scene, output_type):
    image, mask = scene(70, 50)
    result = pipe("a red boat", image, mask, output_type=output_type).images
    result = result[0] if output_type == "np" else result[0].permute(1, 2, 0).numpy()
    kept = np.asarray(mask) == 0
    assert result.shape == (50, 70, 3)
    assert np.array_equal(result[kept], (np.asarray(image) / np.float32(255))[kept])


# Soft masks


def test_soft_masks_blend(pipe, scene):
    """The further a mask is from white, the nearer the result is to the picture; black leaves it alone."""
    image, _ = scene()
    values = np.zeros((64, 64), np.uint8)
    for step, value in enumerate((0, 64, 128, 192, 255)):
        values[16:48, 12 + 8 * step : 20 + 8 * step] = value
    result = np.asarray(pipe("a red boat", image, Image.fromarray(values), generator=generator()).images[0])
    hard = Image.fromarray(np.where(values > 0, 255, 0).astype(np.uint8))
    full = np.asarray(pipe("a red boat", image, hard, generator=generator()).images[0]).astype(float)
    expected = np.asarray(image) + values[..., None] / 255 * (full - np.asarray(image))
    assert np.abs(result - expected).max() <= 1
    changed = np.abs(full - np.asarray(image))[16:48, 20:52].reshape(32, 4, 8, 3).mean((0, 2, 3))
    assert changed.min() > 10  # under each grey there is something to blend
    assert len(np.unique(np.abs(result - np.asarray(image, float)).mean(axis=-1)[20, 12:52:8])) == 5


# Modes and orientation


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "CMYK", "I;16"])
def test_modes_come_back(pipe, scene, mode):
    image, mask = scene(40, 30)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256 + 7)
    else:
        image = image.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray((np.arange(1200).reshape(30, 40) % 256).astype(np.uint8)))
    result = pipe.erase(image, mask).images[0]
    assert result.mode == mode
    kept = np.asarray(mask) == 0
    before, after = np.asarray(image), np.asarray(result)
    assert np.array_equal(after[kept], before[kept])
    assert not np.array_equal(after[~kept], before[~kept])
    if mode in ("RGBA", "LA"):
        assert np.array_equal(after[..., -1], before[..., -1])


@pytest.mark.parametrize(("mode", "becomes"), [("P", "RGB"), ("1", "L")])
def test_modes_too_small_for_an_edit_grow(pipe, scene, mode, becomes):
    image, mask = scene(40, 30)
    image = image.convert(mode)
    result = pipe.erase(image, mask).images[0]
    kept = np.asarray(mask) == 0
    assert result.mode == becomes
    assert np.array_equal(np.asarray(result)[kept], np.asarray(image.convert(becomes))[kept])


def test_rotated_photos_come_back_upright(pipe, scene):
    image, mask = scene(70, 50)
    upright = image.copy()
    sideways = image.rotate(90, expand=True)
    sideways.getexif()[0x0112] = 6
    result = pipe.erase(sideways, mask).images[0]
    kept = np.asarray(mask) == 0
    assert result.size == (70, 50)
    assert np.array_equal(np.asarray(result)[kept], np.asarray(upright)[kept])
    assert 0x0112 not in result.getexif()


# Broadcasting and pairing


def test_two_pictures_one_prompt(pipe, scene):
    pairs = [scene(seed=1), scene(70, 50, seed=2)]
    images, masks = map(list, zip(*pairs, strict=True))
    results = pipe("a red boat", images, masks).images
    assert [result.size for result in results] == [(64, 64), (70, 50)]


def test_one_picture_two_prompts(pipe, scene):
    results = pipe(["a red boat", "a green tree"], *scene(), output_type="np", negative_prompt="sky").images
    assert results.shape == (2, 64, 64, 3)
    assert not np.array_equal(results[0], results[1])


def test_one_picture_two_masks(pipe, scene):
    image, mask = scene()
    other = scene(box=(40, 40, 60, 60))[1]
    results = pipe("a red boat", image, [mask, other]).images
    for result, own in zip(results, (mask, other), strict=True):
        changed = (np.asarray(result) != np.asarray(image)).any(axis=-1)
        assert not changed[np.asarray(own) == 0].any()
        assert changed[np.asarray(own) > 0].mean() > 0.9


def test_pictures_keep_their_prompts_with_several_images_each(pipe, scene):
    """Two pictures, two each: the outputs are picture 1 twice, then picture 2 twice."""
    pairs = [scene(seed=1), scene(seed=2)]
    images, masks = map(list, zip(*pairs, strict=True))
    results = pipe(["a red boat", "a green tree"], images, masks, num_images_per_prompt=2).images
    kept = np.asarray(masks[0]) == 0
    for result, image in zip(results, [images[0], images[0], images[1], images[1]], strict=True):
        assert np.array_equal(np.asarray(result)[kept], np.asarray(image)[kept])


def test_a_batch_makes_what_its_rows_make_alone(pipe, scene):
    pairs = [scene(seed=1), scene(70, 50, seed=2, box=(3, 3, 30, 20))]
    images, masks = map(list, zip(*pairs, strict=True))
    prompts = ["a red boat", "a green tree"]
    together = pipe(prompts, images, masks, generator=[generator(1), generator(2)]).images
    for i, result in enumerate(together):
        alone = pipe(prompts[i], images[i], masks[i], generator=[generator(i + 1)]).images[0]
        assert np.abs(np.asarray(alone).astype(int) - np.asarray(result)).max() <= 1


# padding_mask_crop


def test_crop_takes_lists(pipe, scene):
    pairs = [scene(200, 150, seed=1), scene(70, 50, seed=2)]
    images, masks = map(list, zip(*pairs, strict=True))
    assert [r.size for r in pipe("a red boat", images, masks, padding_mask_crop=8).images] == [(200, 150), (70, 50)]


def test_crop_zero_is_off(pipe, scene):
    results = [
        np.asarray(pipe("a red boat", *scene(200, 150), padding_mask_crop=crop, generator=generator()).images[0])
        for crop in (0, None, 8)
    ]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_crop_with_an_empty_mask_says_so(pipe, scene):
    image, mask = scene()
    with pytest.raises(ValueError, match="all black"):
        pipe("a red boat", image, mask.point(lambda v: 0), padding_mask_crop=8)


# Arrays and tensors


@pytest.mark.parametrize("form", ["np", "pt"])
def test_arrays_are_resized_with_antialias(pipe, scene, form):
    """Through the whole-picture path, an array gives what the PIL image gives, up to rounding."""
    image, mask = scene(150, 110)
    stripes = np.asarray(image).copy()
    stripes[:, ::2] = 0
    image = Image.fromarray(stripes)
    unit = stripes / np.float32(255)
    array = unit if form == "np" else torch.from_numpy(unit).permute(2, 0, 1)
    grey = np.asarray(mask) / np.float32(255)
    seen = []
    pipe.vae.encoder.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    for picture, hole in ((image, mask), (array, grey)):
        pipe(None, picture, hole, padding_mask_crop=None, generator=generator())
    assert (seen[0] - seen[1]).abs().max() < 0.02


def test_arrays_come_back_in_their_range(pipe, scene):
    image, mask = scene(70, 50)
    unit = np.asarray(image) / np.float32(255)
    result = pipe(None, unit, np.asarray(mask) / 255.0, output_type="np").images
    kept = np.asarray(mask) == 0
    assert result.dtype == np.float32
    assert np.array_equal(result[0][kept], unit[kept])
    assert 0 <= result.min() <= result.max() <= 1


# No seam


def test_a_colour_shift_of_the_decoder_does_not_show(pipe, scene):
    """A decoder that paints everything in the picture's one colour, a little off: the patch has the very colour."""
    colour = torch.tensor([0.2, -0.4, 0.6])
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.zero_()
        pipe.vae.decoder.conv_out.bias.copy_(colour + torch.tensor([0.05, -0.03, 0.02]))
    image = np.broadcast_to((colour / 2 + 0.5).numpy(), (64, 64, 3))
    mask = np.asarray(scene()[1]) / 255
    assert np.abs(pipe.erase(image, mask, output_type="np").images[0] - image).max() < 1e-6
    raw = pipe.erase(image, mask, output_type="np", composite=False).images[0]
    assert np.abs(raw - image).max() == pytest.approx(0.025, abs=1e-6)
