"""Edits in a row: pixels that are pasted exactly do not drift, nor do latents outside the masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.evaluation.benchmarks import EditCase
from byteedit.evaluation.systems import answer_to, open_system
from byteedit.evaluation.systems.chain import Edit, chain_latents, chain_pixels, drift, edit_latents, regions
from byteedit.files import weights_sha256

SETTINGS = {"num_inference_steps": 1, "guidance_scale": 1.0}


def ten_edits(size: int = 64) -> list[Edit]:
    """Ten edits of squares in two rows, the lowest rows of the picture untouched."""
    edits = []
    for number in range(10):
        mask = np.zeros((size, size), np.uint8)
        top, left = 4 + 20 * (number // 5), 2 + 12 * (number % 5)
        mask[top : top + 10, left : left + 10] = 255
        edits.append(Edit(mask=mask, prompt="a red boat", seed=number))
    return edits


@pytest.fixture
def page(scene):
    return np.asarray(scene(64, 64)[0])


def test_ten_exact_edits_leave_the_rest_as_it_was(pipe, page):
    made = chain_pixels(pipe, page, ten_edits(), **SETTINGS)
    assert drift(page, made, ten_edits()) == [0.0] * 10
    touched = np.any([edit.mask > 0 for edit in ten_edits()], axis=0)
    assert np.abs(made[-1].astype(int) - page)[touched].mean() > 1


@pytest.mark.parametrize("channels", [9, 4])
def test_ten_edits_of_latents_leave_those_outside_as_they_were(parts, channels):
    from byteedit import ByteEditInpaintPipeline

    pipe = ByteEditInpaintPipeline(**parts(channels))
    pipe.set_progress_bar_config(disable=True)
    grey, before = torch.zeros(1, 4, 32, 32), torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    latents, asked = before, np.zeros((32, 32), bool)
    for edit in ten_edits():
        latents = edit_latents(pipe, latents, grey, edit, **SETTINGS)
        asked |= edit.mask[::2, ::2] > 0
        same = (latents == before).all(1)[0].numpy()
        assert same[~asked].all() and not same[asked].any()


def test_drift_is_the_mean_over_what_no_edit_so_far_asked_for(page):
    edits = ten_edits()[:2]
    after = [page.copy(), page.copy()]
    after[0] = np.where(edits[0].mask[..., None] > 0, 0, page)
    after[1] = np.where(page > 250, page, page + np.uint8(3))
    free = ~((edits[0].mask > 0) | (edits[1].mask > 0))
    slow = [abs(int(a) - int(b)) for a, b in zip(after[1][free].ravel(), page[free].ravel(), strict=True)]
    assert drift(page, after, edits) == pytest.approx([0.0, sum(slow) / len(slow)])


def test_regions_are_the_parts_that_do_not_touch():
    mask = np.zeros((20, 20), np.uint8)
    mask[2:8, 2:8], mask[8:10, 8:10], mask[15:18, 1:4], mask[0, 19] = 255, 255, 255, 255
    parts = regions(mask)
    assert [int((part > 0).sum()) for part in parts] == [40, 9, 1]  # corners that touch belong together
    assert np.array_equal(np.sum(parts, axis=0), mask)
    assert [int((part > 0).sum()) for part in regions(mask, most=2)] == [40, 10]
    assert regions(np.zeros((4, 4), np.uint8)) == []


@pytest.mark.parametrize("keep", ["latents", "pixels"])
def test_emilie_edits_region_by_region(pipe, tmp_path, page, keep):
    pipe.save_pretrained(tmp_path / "model")
    mask = np.zeros((64, 64), np.uint8)
    mask[4:20, 4:20], mask[30:40, 40:60] = 255, 255
    case = EditCase(
        id="two",
        task="editing",
        seed=5,
        read_page=lambda: page,
        read_mask=lambda: mask,
        prompts={"full": "a red boat"},
    )
    found = answer_to(open_system(f"emilie:{tmp_path / 'model'},keep={keep},steps=1,guidance_scale=1"), case)
    parts = [Edit(mask=part, prompt="a red boat", seed=5 + number) for number, part in enumerate(regions(mask))]
    chain = {"latents": chain_latents, "pixels": chain_pixels}[keep]
    assert len(parts) == 2
    assert np.array_equal(found, chain(pipe, page, parts, **SETTINGS)[-1])


def test_emilie_s_settings_are_those_it_runs_with(pipe, tmp_path):
    pipe.register_to_config(num_inference_steps=7, guidance_scale=1.75)
    pipe.save_pretrained(tmp_path)
    own = {"system": "emilie", "model": str(tmp_path), "keep": "latents", "most": 10, "dtype": "float32"}
    own |= {"weights": weights_sha256(tmp_path), "num_inference_steps": 7, "guidance_scale": 1.75, "size": [64, 64]}
    assert open_system(f"emilie:{tmp_path}").settings == own
    assert open_system(f"emilie:{tmp_path},steps=20").settings == own | {"num_inference_steps": 20}
    asked = {"num_inference_steps": 20, "guidance_scale": 2.5}
    assert open_system(f"emilie:{tmp_path},steps=20,guidance_scale=2.5").settings == own | asked


def test_a_latent_edit_is_the_pipeline_s_own_inside_the_mask(pipe, page):
    """One edit on latents beside the pipeline's own, from the same latents and the same masked latents."""
    [edit] = ten_edits()[:1]
    made = chain_latents(pipe, page, [edit], **SETTINGS)[0]
    image = torch.tensor(page).permute(2, 0, 1)[None] / 127.5 - 1
    scale = pipe.vae.config.scaling_factor
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        latents = pipe.vae.encode(image).latent_dist.sample(generator) * scale
        grey = pipe.vae.encode(image * 0).latent_dist.sample(generator) * scale
        inside = torch.from_numpy(edit.mask[::2, ::2] > 127).float()
        edited = pipe(
            edit.prompt,
            latents,
            Image.fromarray(edit.mask),
            masked_image_latents=torch.where(inside > 0, grey, latents),
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            **SETTINGS,
        ).images
        pixels = pipe.vae.decode(torch.where(inside > 0, edited, latents) / scale).sample[0].permute(1, 2, 0)
    expected = ((pixels / 2 + 0.5).clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    assert np.abs(made.astype(int) - expected).max() <= 1
