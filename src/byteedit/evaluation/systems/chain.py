"""`emilie`: edits of one picture in a row, region by region, and how far the rest of it drifts meanwhile.

What one edit leaves is what the next begins with: as latents, which are decoded for looking only (EMILIE's latent
iteration, here with a masked edit of any inpainting checkpoint instead of instructions), or as pixels, of which ours
keeps exactly those outside the mask. `drift` measures what either does to what nobody asked to change.
Source: EMILIE (arXiv 2309.00613), of which there is no code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from byteedit import diffusion
from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.evaluation.systems.canvas import from_model, to_model
from byteedit.evaluation.systems.ours import Dtype, open_pipeline, weights_of
from byteedit.evaluation.systems.system import System
from byteedit.image import to_tensor

__all__ = ["Edit", "chain_latents", "chain_pixels", "drift", "edit_latents", "open_emilie", "regions"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One of several edits of a picture."""

    mask: np.ndarray  # (H, W) uint8, 255 = generate
    prompt: str | None
    seed: int


def chain_pixels(pipe, image: np.ndarray, edits: Sequence[Edit], **settings) -> list[np.ndarray]:
    """The picture after each edit, every one pasted exactly into what the one before left. (H, W, 3) uint8 each."""
    made = [image]
    for edit in edits:
        options = {"generator": torch.Generator().manual_seed(edit.seed), **settings}
        result = pipe(edit.prompt, Image.fromarray(made[-1]), Image.fromarray(edit.mask), **options)
        made.append(np.asarray(result.images[0]))
    return made[1:]


@torch.no_grad()
def chain_latents(pipe, image: np.ndarray, edits: Sequence[Edit], **settings) -> list[np.ndarray]:
    """The picture after each edit, every one made on the latents that the one before left. (H, W, 3) uint8 each.

    `image` and masks are of the pipeline's native size. Outside the masks the latents stay what they were. Pixels there
    are the autoencoder's and move with every edit, since its decoder looks beyond a latent and normalises over all.
    """
    generator = torch.Generator().manual_seed(edits[0].seed)
    page = to_tensor(image[None]).to(pipe.device, pipe.dtype)  # (1, 3, H, W)
    latents = diffusion.encode_image(pipe.vae, page, generator)  # (1, 4, h, w)
    grey = diffusion.encode_image(pipe.vae, torch.zeros_like(page), generator)
    made = []
    for edit in edits:
        latents = edit_latents(pipe, latents, grey, edit, **settings)
        decoded = diffusion.decode(pipe.vae, latents)
        made.append(np.asarray(pipe.image_processor.postprocess(decoded)[0]))
    return made


def edit_latents(pipe, latents: Tensor, grey: Tensor, edit: Edit, **settings) -> Tensor:
    """Latents (1, 4, h, w) after an edit; those outside its mask are the very same.

    A UNet of 9 channels sees them in place of the masked picture's: under the mask `grey`, those of a grey picture.
    """
    mask = (to_tensor(edit.mask[None]) >= 0.5).float()  # (1, 1, H, W)
    inside = F.interpolate(mask, size=latents.shape[-2:]).to(latents)  # (1, 1, h, w)
    edited = pipe(
        edit.prompt,
        latents,
        Image.fromarray(edit.mask),
        masked_image_latents=inside * grey + (1 - inside) * latents,
        output_type="latent",
        **{"generator": torch.Generator().manual_seed(edit.seed), **settings},
    ).images
    return inside * edited + (1 - inside) * latents


def drift(before: np.ndarray, after: Sequence[np.ndarray], edits: Sequence[Edit]) -> list[float]:
    """How far the picture has moved where no edit so far was asked for: the mean difference in levels, after each.

    before (H, W, 3) uint8, after the same for each edit.
    """
    asked = np.cumsum([edit.mask > 0 for edit in edits], axis=0) > 0  # (n, H, W)
    moved = [np.abs(image.astype(int) - before).mean(-1) for image in after]
    return [float(levels[~touched].mean()) for levels, touched in zip(moved, asked, strict=True)]


def regions(mask: np.ndarray, most: int = 10) -> list[np.ndarray]:
    """The parts of a mask (H, W) that do not touch, the largest first, each a mask; what goes beyond `most` is one."""
    from scipy import ndimage

    labels, count = ndimage.label(mask > 127, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable") + 1
    groups = [[label] for label in order[: most - 1]] + ([list(order[most - 1 :])] if count >= most else [])
    return [np.where(np.isin(labels, group), mask, 0).astype(np.uint8) for group in groups]


def open_emilie(
    model: str | None,
    *,
    keep: Literal["latents", "pixels"] = "latents",
    steps: int | None = None,
    guidance_scale: float | None = None,
    most: int = 10,
    dtype: Dtype = "float32",
    device: str = "cpu",
) -> System:
    """Edits region by region, what one leaves being what the next begins with.

    Args:
        model: a checkpoint, as `open_byteedit` takes it.
        keep: what is kept between edits: latents, as EMILIE does, or pixels, pasted exactly.
        steps, guidance_scale: of each edit, denoising steps and strength of guidance; None: as the checkpoint has it.
        most: how many edits there are at most.
        dtype, device: as `open_byteedit`.
    """
    pipe = open_pipeline(model, dtype, device)
    asked, size = {"num_inference_steps": steps, "guidance_scale": guidance_scale}, pipe.native_size()

    def edit(case: EditCase) -> np.ndarray:
        if keep == "pixels":
            return chain_pixels(pipe, case.page, _edits(case, case.mask, most), **asked)[-1]
        picture, mask = to_model(case, size)
        made = chain_latents(pipe, np.asarray(picture), _edits(case, np.asarray(mask), most), **asked)
        return from_model(Image.fromarray(made[-1]), case, "no")

    own = pipe.schedule.asked(**asked)
    settings = {"system": "emilie", "model": model or "picturebook", "weights": weights_of(model)}
    settings |= {"keep": keep, "most": most, "dtype": dtype}
    settings |= {"num_inference_steps": own.num_inference_steps, "guidance_scale": own.guidance_scale}
    return System(settings=settings | {"size": list(size)}, edit=edit)


def _edits(case: EditCase, mask: np.ndarray, most: int) -> list[Edit]:
    parts = regions(mask, most)
    if not parts:
        raise ValueError(f"{case.id}: the mask is empty at {mask.shape[1]} x {mask.shape[0]} pixels.")
    return [Edit(mask=part, prompt=case.prompt, seed=case.seed + number) for number, part in enumerate(parts)]
