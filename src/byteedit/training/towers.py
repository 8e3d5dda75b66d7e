"""The model that a reward's training starts from: a reward, towers of a published BLIP or ViT, or new weights.

Nothing here is trained. Sources: BLIP (arXiv 2201.12086) and ViT (arXiv 2010.11929), as transformers has them.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    PreTrainedTokenizerBase,
    ViTModel,
)

import byteedit
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, PreferenceReward, PreferenceRewardConfig
from byteedit.rewards.opening import SHIPPED
from byteedit.training.reward import RewardSettings

__all__ = ["build"]


def build(settings: RewardSettings) -> PreferenceReward | CoherenceReward:
    """The reward that `settings` ask for, on the CPU, in float32.

    Raises:
        ValueError: `model` is neither a reward of the kind that is trained nor a BLIP (for preferences) or ViT (for
            coherence) to take towers from.
    """
    wanted = CoherenceReward if settings.reward == "coherence" else PreferenceReward
    if not settings.model:
        return new_coherence(settings) if wanted is CoherenceReward else new_preference(settings)
    place = str(Path(byteedit.REWARDS) / settings.model) if settings.model in SHIPPED else settings.model
    config = AutoConfig.from_pretrained(place)
    kind = config.model_type
    if kind == wanted.config_class.model_type:
        model = wanted.from_pretrained(place)
        return with_residual(model, settings) if wanted is PreferenceReward else model
    if wanted is PreferenceReward and kind == "blip":
        return preference_from_blip(settings, config.architectures or [])
    if wanted is CoherenceReward and kind == "vit":
        return coherence_from_vit(settings.model)
    raise ValueError(
        f"{settings.model} is of type {kind}; to train {settings.reward}, start from a {wanted.__name__} or a "
        f"{'ViT' if wanted is CoherenceReward else 'BLIP for retrieval or captions'}."
    )


def with_residual(model: PreferenceReward, settings: RewardSettings) -> PreferenceReward:
    """The same reward, which sees the residual, too, where `architecture` says so; at first it makes nothing of it."""
    gain = settings.architecture.get("residual_gain", model.config.residual_gain)
    if gain == model.config.residual_gain:
        return model
    if model.config.residual_gain or not model.config.stem_widths:
        raise ValueError(
            f"residual_gain is {gain}, but {settings.model} has {model.config.residual_gain} and the stem "
            f"{list(model.config.stem_widths)}; only a reward with a stem and without a residual takes one."
        )
    wide = PreferenceReward(PreferenceRewardConfig(**model.config.to_dict() | {"residual_gain": gain}), model.tokenizer)
    weights, first = model.state_dict(), "vision_model.embeddings.patch_embedding.0.weight"
    weights[first] = F.pad(weights[first], (0, 0, 0, 0, 0, 3))  # (D, 3, 3, 3) -> (D, 6, 3, 3)
    wide.load_state_dict(weights)
    return wide


def new_preference(settings: RewardSettings) -> PreferenceReward:
    """New weights of the sizes in `architecture`, for the vocabulary of `tokenizer`."""
    tokenizer = open_tokenizer(settings.tokenizer)
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    words |= {"bos_token_id": None, "sep_token_id": None}  # BLIP's, of which a reward makes no use
    text = settings.architecture.get("text_config", {}) | words
    return PreferenceReward(PreferenceRewardConfig(**settings.architecture | {"text_config": text}), tokenizer)


def new_coherence(settings: RewardSettings) -> CoherenceReward:
    """New weights of the sizes in `architecture`."""
    return CoherenceReward(CoherenceRewardConfig(**settings.architecture))


def preference_from_blip(settings: RewardSettings, architectures: list[str]) -> PreferenceReward:
    """Both towers and the tokenizer of a BLIP for retrieval or captions, and a new MLP.

    Other fields come from `architecture`; positions are interpolated where its image_size is not BLIP's.
    """
    if "BlipForConditionalGeneration" in architectures:
        blip = BlipForConditionalGeneration.from_pretrained(settings.model)
        text = blip.text_decoder.bert
    else:
        blip = BlipForImageTextRetrieval.from_pretrained(settings.model)
        text = blip.text_encoder
    vision = blip.config.vision_config.to_dict() | settings.architecture.get("vision_config", {})
    towers = {"vision_config": vision, "text_config": blip.config.text_config.to_dict()}
    model = PreferenceReward(
        PreferenceRewardConfig(**settings.architecture | towers), AutoTokenizer.from_pretrained(settings.model)
    )
    positions = blip.vision_model.embeddings.interpolate_pos_encoding(
        model.vision_model.embeddings.position_embedding, vision["image_size"], vision["image_size"]
    )
    blip.vision_model.embeddings.position_embedding = nn.Parameter(positions.detach())
    model.vision_model.load_state_dict(blip.vision_model.state_dict())
    model.text_model.load_state_dict(text.state_dict())
    return model


def coherence_from_vit(name: str) -> CoherenceReward:
    """The tower of a ViT, such as google/vit-base-patch16-224, and a new head."""
    vit = ViTModel.from_pretrained(name, add_pooling_layer=False)
    model = CoherenceReward(CoherenceRewardConfig(vit_config=vit.config.to_dict()))
    model.vit.load_state_dict(vit.state_dict())
    return model


def open_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder or the hub; `picturebook` is the one that ships."""
    if name == "picturebook":
        return AutoTokenizer.from_pretrained(byteedit.PICTUREBOOK, subfolder="tokenizer")
    return AutoTokenizer.from_pretrained(name)
