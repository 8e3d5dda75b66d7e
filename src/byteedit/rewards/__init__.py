"""Models that say what a picture is worth: `PreferenceReward`, `CoherenceReward`, `CLIPReward`, or any callable.

Higher is better. Every reward takes images in [-1, 1] of any size, resizes and normalises them itself, and lets the
gradient reach their pixels. Names are loaded when they are first used. No diffusion model here, and no training.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Reward: TypeAlias = Callable[["Tensor", list[str]], "Tensor"]
"""image (B, 3, H, W) in [-1, 1] and prompt, B strings -> (B,)."""

_MODULES = {
    "PreferenceReward": "byteedit.rewards.preference",
    "PreferenceRewardConfig": "byteedit.rewards.preference",
    "CoherenceReward": "byteedit.rewards.coherence",
    "CoherenceRewardConfig": "byteedit.rewards.coherence",
    "CLIPReward": "byteedit.rewards.clip",
}

__all__ = [
    "CLIPReward",
    "CoherenceReward",
    "CoherenceRewardConfig",
    "PreferenceReward",
    "PreferenceRewardConfig",
    "Reward",
]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
