"""Open a reward without knowing which it is: its own config says so."""

from pathlib import Path

from transformers import PreTrainedConfig

import byteedit
from byteedit.hub import UNREACHABLE, first_line, nowhere
from byteedit.rewards.clip import PICKSCORE, CLIPReward
from byteedit.rewards.coherence import CoherenceReward, CoherenceRewardConfig
from byteedit.rewards.preference import PreferenceReward, PreferenceRewardConfig

__all__ = ["SHIPPED", "locate", "open_reward"]

SHIPPED = ("aesthetic", "alignment", "coherence")
"""Rewards in the package, folders of `byteedit.REWARDS`, which know its picture book."""

PICKED = "pickscore:"
"""What comes before the folder of a PickScore, which by its config is any CLIP."""

CLASSES = {
    PreferenceRewardConfig.model_type: PreferenceReward,
    CoherenceRewardConfig.model_type: CoherenceReward,
    "clip": CLIPReward,
}


def locate(name: str) -> str:
    """The folder of a reward that ships, by its name; any other folder or hub name as it is."""
    return str(Path(byteedit.REWARDS) / name) if name in SHIPPED else name


def open_reward(name: str) -> PreferenceReward | CoherenceReward | CLIPReward:
    """The reward that ships under a name, in a folder, or of a hub name.

    Of a plain CLIP checkpoint it is the cosine, of PickScore its own score; where that lies in a folder, it goes by
    "pickscore:FOLDER", or "pickscore:FOLDER,tokenizer=FOLDER". A folder called as one that ships goes by ./name.

    Raises:
        ValueError: there is no config there, or it is no reward's; its tokenizer cannot be opened, or is another's.
    """
    name, picked, tokenizer = picking(name)
    if Path(name).is_file() or nowhere(name):
        raise ValueError(f"there is no reward at {name}; name a folder that is there, or a hub name, owner/name.")
    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except UNREACHABLE as error:
        raise ValueError(f"there is no reward at {name}: {first_line(error)}") from error
    kind = config.get("model_type")
    if kind not in CLASSES:
        what = f"is of the type {kind}" if kind else "has no config of a reward"
        raise ValueError(
            f"{name} {what}; a reward is one of {', '.join(CLASSES)}, and a training's lies in its reward/."
        )
    if picked and kind != "clip":
        raise ValueError(f"{name} is of the type {kind}, and PickScore is a CLIP; leave {PICKED} out.")
    return CLIPReward.pickscore(name, tokenizer=tokenizer) if picked else CLASSES[kind].from_pretrained(name)


def picking(name: str) -> tuple[str, bool, str | None]:
    """Where a reward is, whether it is PickScore, and where that one's tokenizer is, if that is said."""
    if not name.startswith(PICKED):
        return locate(name), name == PICKSCORE, None
    place, _, tokenizer = name.removeprefix(PICKED).partition(",tokenizer=")
    return place, True, tokenizer or None
