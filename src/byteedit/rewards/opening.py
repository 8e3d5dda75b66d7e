"""Open a reward without knowing which it is: its own config says so."""

from transformers import PreTrainedConfig

from byteedit.rewards.clip import CLIPReward
from byteedit.rewards.coherence import CoherenceReward, CoherenceRewardConfig
from byteedit.rewards.preference import PreferenceReward, PreferenceRewardConfig

__all__ = ["open_reward"]

CLASSES = {
    PreferenceRewardConfig.model_type: PreferenceReward,
    CoherenceRewardConfig.model_type: CoherenceReward,
    "clip": CLIPReward,
}


def open_reward(name: str) -> PreferenceReward | CoherenceReward | CLIPReward:
    """The reward in a folder or of a hub name; of a plain CLIP checkpoint, the cosine.

    Raises:
        ValueError: there is no config there, or it is no reward's.
    """
    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except OSError as error:
        raise ValueError(f"there is no reward at {name}: {error}") from error
    kind = config.get("model_type")
    if kind not in CLASSES:
        raise ValueError(f"{name} is of the type {kind}; a reward is one of {', '.join(CLASSES)}.")
    return CLASSES[kind].from_pretrained(name)
