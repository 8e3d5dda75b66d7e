"""What loading looks at before diffusers does: weights that are pickled, schedulers that are outdated."""

import json
from collections.abc import Container
from pathlib import Path

from diffusers.configuration_utils import FrozenDict

CURRENT_SCHEDULER = {"steps_offset": 1, "skip_prk_steps": True}  # what diffusers sets on outdated scheduler configs


def pickled_only(folder: Path, passed: Container[str]) -> bool:
    """Whether a folder has a component, named in its index and not passed by hand, whose only weights are pickled."""
    index = folder / "model_index.json"
    named = json.loads(index.read_text()) if index.is_file() else {}
    parts = [folder / name for name, value in named.items() if isinstance(value, list) and name not in passed]
    return any([*part.glob("*.bin")] and not [*part.glob("*.safetensors")] for part in parts)


def modernised(scheduler):
    """The scheduler with its config brought up to date, as diffusers' own pipelines do."""
    if scheduler is not None:
        outdated = {k: v for k, v in CURRENT_SCHEDULER.items() if scheduler.config.get(k, v) != v}
        if outdated:
            scheduler._internal_dict = FrozenDict({**scheduler.config, **outdated})
    return scheduler
