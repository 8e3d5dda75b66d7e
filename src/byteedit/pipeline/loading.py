"""What loading looks at before diffusers does: weights that are pickled or a variant, configs that are outdated."""

import json
from collections.abc import Container
from pathlib import Path

from diffusers.configuration_utils import FrozenDict

CURRENT_SCHEDULER = {"steps_offset": 1, "skip_prk_steps": True}  # what diffusers sets on outdated scheduler configs


def components(folder: Path, passed: Container[str]) -> list[Path]:
    """The folders of the components that a folder's index names and that are not passed by hand."""
    index = folder / "model_index.json"
    named = json.loads(index.read_text()) if index.is_file() else {}
    return [folder / name for name, value in named.items() if isinstance(value, list) and name not in passed]


def pickled_only(folder: Path, passed: Container[str]) -> bool:
    """Whether a folder has a component, named in its index and not passed by hand, whose only weights are pickled."""
    return any([*part.glob("*.bin")] and not [*part.glob("*.safetensors")] for part in components(folder, passed))


def only_variant(folder: Path, passed: Container[str]) -> str | None:
    """The variant, such as fp16, in which alone a component of the folder has weights; None where there is no such.

    None, too, where another component has that variant and plain weights: diffusers would take the variant of both.
    """
    alone, beside = set(), set()
    for part in components(folder, passed):
        names = [file.name.split(".") for file in part.glob("*.safetensors")]  # model.fp16[-00001-of-00002].safetensors
        variants = {name[1].split("-")[0] for name in names if len(name) == 3}
        found = alone if all(len(name) == 3 for name in names) else beside
        found |= variants
    return alone.pop() if len(alone) == 1 and not alone & beside else None


def enlarged(unet):
    """The UNet, of 64 latents a side where its config is from before that was written down, as in diffusers."""
    if unet is not None and isinstance(unet.config.sample_size, int) and unet.config.sample_size < 64:
        written = unet.config.get("_diffusers_version", "1.0").split(".")
        if (int(written[0]), int(written[1])) < (0, 9):
            unet._internal_dict = FrozenDict({**unet.config, "sample_size": 64})
    return unet


def modernised(scheduler):
    """The scheduler with its config brought up to date, as diffusers' own pipelines do."""
    if scheduler is not None:
        outdated = {k: v for k, v in CURRENT_SCHEDULER.items() if scheduler.config.get(k, v) != v}
        if outdated:
            scheduler._internal_dict = FrozenDict({**scheduler.config, **outdated})
    return scheduler
