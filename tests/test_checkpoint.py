"""The checkpoint that ships in the package: it is there, small, safe, and does its three tasks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from byteedit import PICTUREBOOK, REWARDS, ByteEditInpaintPipeline
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.scores import psnr


@pytest.fixture(scope="module")
def shipped():
    pipe = ByteEditInpaintPipeline.from_pretrained(PICTUREBOOK)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_it_is_small_safe_and_has_a_card():
    files = [path for path in Path(PICTUREBOOK).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt", ".md"}
    assert "license: apache-2.0" in (Path(PICTUREBOOK) / "README.md").read_text()


def test_the_rewards_are_small_safe_and_have_cards():
    files = [path for path in Path(REWARDS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md", ".png"}
    assert {path.parent.name for path in files if path.suffix == ".md"} == {"aesthetic", "alignment", "coherence"}


def test_it_opens_in_float32_here_and_in_diffusers(shipped):
    stock = StableDiffusionInpaintPipeline.from_pretrained(PICTUREBOOK)
    for pipe in (shipped, stock):
        assert {part.dtype for part in (pipe.vae, pipe.text_encoder, pipe.unet)} == {torch.float32}


def test_it_shows_what_the_prompt_says(shipped):
    """A colour is the least that an edit has to follow: red, not blue, and the reverse."""
    case = cases("editing", "validation")[0]
    red, blue = (
        np.asarray(
            shipped(
                f"a {colour} balloon",
                Image.fromarray(case.image),
                Image.fromarray(case.mask),
                generator=torch.Generator().manual_seed(0),
            ).images[0]
        )[case.mask > 0].mean(0)
        for colour in ("red", "blue")
    )
    assert red[0] - blue[0] > 20 and blue[2] - red[2] > 20


def test_it_erases(shipped):
    chosen = cases("erasing", "validation")[:4]
    images, masks = ([Image.fromarray(getattr(case, name)) for case in chosen] for name in ("image", "mask"))
    generators = [torch.Generator().manual_seed(case.seed) for case in chosen]
    erased = shipped.erase(images, masks, generator=generators).images
    before = [psnr(case.image, case.picture, case.mask) for case in chosen]
    after = [psnr(np.asarray(image), case.picture, case.mask) for image, case in zip(erased, chosen, strict=True)]
    assert np.mean(after) > np.mean(before) + 6


def test_it_outpaints(shipped):
    case = next(c for c in cases("outpainting", "validation") if c.prompt is None)
    wide = shipped.outpaint(Image.fromarray(case.image), **case.extension, generator=torch.Generator().manual_seed(0))
    picture = np.asarray(wide.images[0])
    assert picture.shape == (128, 128, 3)
    assert np.array_equal(picture[case.mask == 0], case.picture[case.mask == 0])
    assert psnr(picture, case.picture, case.mask) > 15
