"""diffusers' `callback_on_step_end`, spoken to in its own words from inside our rollout.

diffusers hands a callback doubled batches while guidance is on: negative rows first. The rollout keeps them apart,
so they are joined on the way out and parted on the way back. Nothing is joined that the callback did not ask for.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from byteedit.diffusion import Condition

FIELDS = {"mask": "mask", "masked_image_latents": "masked_latents"}


def call_back(
    callback: Callable, names: Sequence[str], pipe, i: int, t: Tensor, latents: Tensor, condition: Condition
) -> tuple[Tensor, Condition]:
    """Call `callback(pipe, i, t, tensors)` and take over what it returns, be it new or changed in place.

    Of doubled `prompt_embeds` the first rows are the negative ones, whatever `negative_prompt_embeds` says beside them.
    """
    given = {name: tensor_of(name, latents, condition) for name in names}
    returned = dict(callback(pipe, i, t, dict(given)))
    latents = returned.pop("latents", latents)
    return latents, changed_condition(condition, returned, len(latents))


def tensor_of(name: str, latents: Tensor, condition: Condition) -> Tensor | None:
    """A tensor by its name in diffusers, doubled where guidance is on."""
    if name == "latents":
        return latents
    if name == "negative_prompt_embeds":
        return condition.negative
    if name == "prompt_embeds":
        return torch.cat([condition.negative, condition.text]) if condition.guided else condition.text
    rows = getattr(condition, FIELDS[name])
    return torch.cat([rows] * 2) if condition.guided else rows


def changed_condition(condition: Condition, changed: dict[str, Tensor], batch: int) -> Condition:
    """The condition with tensors taken back; of a doubled batch the last rows are the positive ones."""
    fields = {FIELDS[name]: rows[-batch:] for name, rows in changed.items() if name in FIELDS}
    if "negative_prompt_embeds" in changed:
        fields["negative"] = changed["negative_prompt_embeds"]
    if "prompt_embeds" in changed:
        rows = changed["prompt_embeds"]
        fields["text"] = rows[-batch:]
        if len(rows) > batch:
            fields["negative"] = rows[:-batch]
    return replace(condition, **fields) if fields else condition
