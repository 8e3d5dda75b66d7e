"""Open a reward without knowing which it is: its own config says so."""

import re
from pathlib import Path

from transformers import PreTrainedConfig

from byteedit.rewards.clip import PICKSCORE, CLIPReward
from byteedit.rewards.coherence import CoherenceReward, CoherenceRewardConfig
from byteedit.rewards.preference import PreferenceReward, PreferenceRewardConfig

__all__ = ["SHIPPED", "open_reward"]

SHIPPED = ("aesthetic", "alignment", "coherence")
"""Rewards in the package, folders of `byteedit.REWARDS`, which know its picture book."""

CLASSES = {
    PreferenceRewardConfig.model_type: PreferenceReward,
    CoherenceRewardConfig.model_type: CoherenceReward,
    "clip": CLIPReward,
}
HUB_NAME = re.compile(r"([\w-]+/)?[\w.-]+")


def open_reward(name: str) -> PreferenceReward | CoherenceReward | CLIPReward:
    """The reward in a folder or of a hub name; of a plain CLIP checkpoint the cosine, of PickScore its own score.

    Raises:
        ValueError: there is no config there, or it is no reward's.
    """
    if not Path(name).is_dir() and not HUB_NAME.fullmatch(name):
        raise ValueError(f"there is no reward at {name}; name a folder that is there, or a hub name, owner/name.")
    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except OSError as error:
        raise ValueError(f"there is no reward at {name}: {str(error).splitlines()[0]}") from error
    kind = config.get("model_type")
    if kind not in CLASSES:
        raise ValueError(f"{name} is of the type {kind}; a reward is one of {', '.join(CLASSES)}.")
    return CLIPReward.pickscore() if name == PICKSCORE else CLASSES[kind].from_pretrained(name)
