"""Models that say what a picture is worth: `PreferenceReward`, `CoherenceReward`, `CLIPReward`, or any callable.

Higher is better. Every reward takes images in [-1, 1] of any size, resizes and normalises them itself, and lets the
gradient reach their pixels. No diffusion model here, and no training.
"""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from byteedit.rewards.clip import CLIPReward
from byteedit.rewards.coherence import CoherenceReward, CoherenceRewardConfig
from byteedit.rewards.preference import PreferenceReward, PreferenceRewardConfig

Reward: TypeAlias = Callable[[Tensor, list[str]], Tensor]
"""image (B, 3, H, W) in [-1, 1] and prompt, B strings -> (B,)."""

__all__ = [
    "CLIPReward",
    "CoherenceReward",
    "CoherenceRewardConfig",
    "PreferenceReward",
    "PreferenceRewardConfig",
    "Reward",
]
