"""Outpainting: how far each side goes, in which rounds, and that the picture itself stays."""

from io import StringIO

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.pipeline.outpaint import fit_aspect, rounds, sides_of


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sides": (1, 2, 3, 4)}, (1, 2, 3, 4)),
        ({"target": (100, 60)}, (18, 18, 6, 6)),
        ({"target": (100, 60), "anchor": "left"}, (0, 36, 6, 6)),
        ({"target": (100, 60), "anchor": "top right"}, (36, 0, 0, 12)),
        ({"aspect_ratio": "16:9"}, (10, 11, 0, 0)),
        ({"aspect_ratio": 1.0, "anchor": "bottom"}, (0, 0, 16, 0)),
    ],
)
def test_sides(options, expected):
    arguments = {"sides": (0, 0, 0, 0), "target": None, "aspect_ratio": None, "anchor": "center", **options}
    assert sides_of((64, 48), **arguments) == expected


@pytest.mark.parametrize(
    ("ratio", "size"), [("16:9", (228, 128)), (16 / 9, (228, 128)), ("1:2", (128, 256)), (0.5, (128, 256))]
)
def test_fit_aspect(ratio, size):
    assert fit_aspect((128, 128), ratio) == size


@pytest.mark.parametrize("size", [(64, 64), (50, 70), (200, 64), (20, 300)])
@pytest.mark.parametrize("sides", [(10, 0, 0, 0), (200, 0, 0, 0), (40, 50, 60, 70), (0, 0, 0, 333)])
def test_rounds_cover_everything_and_keep_half_as_context(size, sides):
    left, right, top, bottom = sides
    unknown = np.ones((size[1] + top + bottom, size[0] + left + right), bool)
    unknown[top : top + size[1], left : left + size[0]] = False
    for view in rounds(size, sides, max(64, min(size))):
        part = unknown[view.inside(unknown.shape[::-1])]
        assert part.shape == (view.height, view.width)
        assert max(part.shape) <= max(64, *size)
        assert 0 < part.mean() <= 0.51
        part[:] = False
    assert not unknown.any()


def test_one_round_where_one_is_enough():
    assert len(list(rounds((128, 128), (50, 0, 0, 0), 128))) == 1
    assert len(list(rounds((128, 128), (50, 50, 0, 0), 128))) == 2
    assert [(w.width, w.height) for w in rounds((80, 80), (48, 0, 0, 48), 128)] == [(128, 128)], "an L fits one window"
    assert len(list(rounds((40, 40), (88, 0, 0, 88), 128))) > 1, "too little of the window is known"


def test_the_progress_bar_names_the_window(pipe, scene):
    pipe.set_progress_bar_config(desc="wider.png", file=(said := StringIO()))
    pipe.outpaint(scene(70, 50)[0], left=8, num_inference_steps=1)
    assert "wider.png: " in said.getvalue() and "window" not in said.getvalue()
    pipe.outpaint(scene(70, 50)[0], left=80, num_inference_steps=1)
    total = len(list(rounds((70, 50), (80, 0, 0, 0), 64)))
    assert all(f"wider.png, window {number} of {total}: " in said.getvalue() for number in range(1, total + 1))
    assert pipe._progress_bar_config["desc"] == "wider.png"


@pytest.mark.parametrize("prompt", [None, "a green tree"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_picture_stays_and_the_rest_is_new(pipe, scene, prompt, mode):
    image = scene(70, 50)[0].convert(mode)
    result = pipe.outpaint(image, left=80, bottom=9, prompt=prompt).images[0]
    assert result.size == (150, 59)
    assert result.mode == mode
    assert np.array_equal(np.asarray(result)[:50, 80:], np.asarray(image))
    mirrored = np.pad(np.asarray(image), [(0, 9), (80, 0)] + [(0, 0)] * (np.asarray(image).ndim - 2), mode="symmetric")
    new = np.ones((59, 150), bool)
    new[:50, 80:] = False
    assert (np.asarray(result)[new] != mirrored[new]).mean() > 0.5


def test_every_round_has_the_prompt(pipe, scene):
    batches = []
    pipe.unet.register_forward_hook(lambda module, args, output: batches.append(args[0].shape[0]))
    pipe.outpaint(scene()[0], left=96, prompt="a green tree")
    assert batches == [2] * 6  # three rounds of two steps, guided
    batches.clear()
    pipe.outpaint(scene()[0], left=96)
    assert batches == [1] * 6


def test_several_pictures_prompts_and_images(pipe, scene):
    images = [scene(seed=1)[0], scene(seed=2)[0]]
    options = {"prompt": ["a boat", "a tree"], "num_images_per_prompt": 2, "negative_prompt": "sky"}
    results = pipe.outpaint(images, right=8, generator=[torch.Generator().manual_seed(s) for s in range(4)], **options)
    assert len(results.images) == 4
    for result, image in zip(results.images, [images[0]] * 2 + [images[1]] * 2, strict=True):
        assert np.array_equal(np.asarray(result)[:, :64], np.asarray(image))
    assert not np.array_equal(np.asarray(results.images[0]), np.asarray(results.images[1]))


def test_arrays(pipe, scene):
    image = scene()[0]
    for output_type, shape in (("np", (1, 64, 114, 3)), ("pt", (1, 3, 64, 114))):
        result = pipe.outpaint(np.asarray(image), aspect_ratio="16:9", output_type=output_type, return_dict=False)[0]
        assert result.shape == shape
        assert float(result.max()) <= 1.0


def test_a_seed_means_the_same_again(pipe, scene):
    results = [
        pipe.outpaint(scene()[0], top=70, generator=torch.Generator().manual_seed(3)).images[0] for _ in range(2)
    ]
    assert np.array_equal(*map(np.asarray, results))


def test_pictures_of_several_sizes_are_refused(pipe, scene):
    with pytest.raises(ValueError, match="one by one"):
        pipe.outpaint([scene()[0], Image.new("RGB", (70, 50))], left=8)


def test_what_one_round_finds_unsafe_is_said_of_the_whole(pipe, scene, monkeypatch):
    found = iter([[True], [False], [False]])
    monkeypatch.setattr(type(pipe), "run_safety_checker", lambda self, image, *_: (image, next(found)))
    assert pipe.outpaint(scene()[0], left=96).nsfw_content_detected == [True]
    assert next(found, None) is None


def test_a_stop_ends_all_rounds(pipe, scene):
    calls = []

    def stop(pipe, i, t, tensors):
        calls.append(i)
        pipe._interrupt = True
        return tensors

    pipe.outpaint(scene()[0], left=96, callback_on_step_end=stop)
    assert calls == [0]


def test_floats_stay_the_very_values_that_went_in(pipe, scene):
    given = (np.asarray(scene(64, 48)[0]) / 255 + 0.0013).clip(0, 1).astype(np.float32)
    several = np.stack([given, given[::-1]])
    made = pipe.outpaint(several, left=8, top=4, output_type="np", num_images_per_prompt=2).images
    assert made.shape == (4, 52, 72, 3)
    for number, picture in enumerate(made):
        assert np.array_equal(picture[4:, 8:], several[number // 2])


def test_a_size_is_width_and_height(pipe, scene):
    with pytest.raises(ValueError, match=r"size is 160; give \(width, height\) in pixels"):
        pipe.outpaint(scene(64, 48)[0], size=160)
