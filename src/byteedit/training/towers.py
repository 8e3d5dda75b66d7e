"""The model that a reward's training starts from: a reward, towers of a published BLIP or ViT, or new weights.

Nothing here is trained. Sources: BLIP (arXiv 2201.12086) and ViT (arXiv 2010.11929), as transformers has them.
"""

from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ViTModel,
)

import byteedit
from byteedit.hub import asked_for, nowhere
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, PreferenceReward, PreferenceRewardConfig
from byteedit.rewards.opening import locate
from byteedit.rewards.tokens import fitting_tokenizer
from byteedit.training.reward import RewardSettings

__all__ = ["build"]

FITTING = {
    PreferenceReward: {
        "image_mean",
        "image_std",
        "max_length",
        "mlp_dropout",
        "score_mean",
        "score_std",
        "text_config.attention_probs_dropout_prob",
        "text_config.hidden_dropout_prob",
        "vision_config.attention_dropout",
        "vision_config.image_size",
    },
    CoherenceReward: {
        "image_mean",
        "image_size",
        "image_std",
        "vit_config.attention_probs_dropout_prob",
        "vit_config.hidden_dropout_prob",
        "vit_config.image_size",
    },
}
"""Fields in which `architecture` may differ from `model`: its weights fit all the same, positions once interpolated."""

HEAD = {"mlp_activation", "mlp_widths"}
"""Fields in which it may differ from a BLIP besides, whose head is new."""


def build(settings: RewardSettings) -> PreferenceReward | CoherenceReward:
    """The reward that `settings` ask for, on the CPU, in float32.

    Raises:
        ValueError: `model` is neither a reward of the kind that is trained nor a BLIP (for preferences) or ViT (for
            coherence) to take towers from; or `architecture` asks for what its weights do not fit.
    """
    wanted = CoherenceReward if settings.reward == "coherence" else PreferenceReward
    if not settings.model:
        return new_coherence(settings) if wanted is CoherenceReward else new_preference(settings)
    place = locate(settings.model)
    if Path(place).is_file() or nowhere(place):
        raise ValueError(f"model is {place}, and nothing is there; run what writes it, or give a hub name, owner/name.")
    with asked_for("model", place):
        config = AutoConfig.from_pretrained(place)
    kind = config.model_type
    if kind == wanted.config_class.model_type:
        return altered(wanted.from_pretrained(place), settings)
    if wanted is PreferenceReward and kind == "blip":
        return preference_from_blip(settings, config.architectures or [])
    if wanted is CoherenceReward and kind == "vit":
        return coherence_from_vit(settings)
    raise ValueError(
        f"{settings.model} is of type {kind}; to train {settings.reward}, start from a {wanted.__name__} or a "
        f"{'ViT' if wanted is CoherenceReward else 'BLIP for retrieval or captions'}."
    )


def altered(model: PreferenceReward | CoherenceReward, settings: RewardSettings) -> PreferenceReward | CoherenceReward:
    """The reward with the fields of `architecture`; a residual that is new counts nothing at first."""
    config = merged(model.config, settings, FITTING[type(model)])
    if config is model.config:
        return model
    words = {"tokenizer": model.tokenizer} if isinstance(model, PreferenceReward) else {}
    other = type(model)(config, **words)
    fill(other, model.state_dict())
    return other


def merged(config: PreTrainedConfig, settings: RewardSettings, fitting: Collection[str]) -> PreTrainedConfig:
    """`config` with the fields of `architecture`, of which those that are `fitting` may differ; itself where none does.

    A residual may be added where the first layer takes its channels, which BLIP's patch embedding does not.

    Raises:
        ValueError: another field differs, or there is none of that name.
    """
    own = config.to_dict()
    different = differing(own, settings.architecture)
    if not config.residual_gain and (config.stem_widths or "vit_config" in own):
        fitting = {*fitting, "residual_gain"}
    if wrong := [words for name, words in different.items() if name not in fitting]:
        raise ValueError(
            f"architecture asks for what the weights of {settings.model} do not fit: {'; '.join(wrong)}. Leave that "
            "out, or set no model and train new weights."
        )
    if not different:
        return config
    made = type(config)(**overlaid(own, settings.architecture))
    if "max_length" in different and made.max_length > made.text_config.max_position_embeddings:
        longest = made.text_config.max_position_embeddings
        raise ValueError(f"max_length is {made.max_length}, but {settings.model} reads {longest} tokens at most.")
    return made


def differing(own: dict, asked: dict, within: str = "") -> dict[str, str]:
    """The fields of `asked` that are not as in `own`, such as vision_config.image_size, each with words that say so."""
    found = {}
    for name, value in asked.items():
        full, value = f"{within}{name}", list(value) if isinstance(value, tuple) else value
        if name not in own:
            found[full] = f"there is no {full}"
        elif isinstance(value, dict) and isinstance(own[name], dict):
            found |= differing(own[name], value, f"{full}.")
        elif own[name] != value:
            found[full] = f"{full} is {own[name]}, not {value}"
    return found


def overlaid(own: dict, asked: dict) -> dict:
    """`own` with the fields of `asked`, and so for dictionaries within."""
    return own | {
        name: overlaid(own[name], value) if isinstance(value, dict) else value for name, value in asked.items()
    }


def fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights; where the module is for another image size, positions (1, 1 + N, D) are interpolated, and where it
    sees the residual, too, the first layer (D, 3, P, P) gets zeros for it.
    """
    own = module.state_dict()
    module.load_state_dict({name: fitted(value, own[name].shape) for name, value in weights.items()})


def fitted(weight: Tensor, shape: torch.Size) -> Tensor:
    """A weight in another shape, as `fill` says."""
    if weight.shape == shape:
        return weight
    if weight.ndim == 4:
        return F.pad(weight, (0, 0, 0, 0, 0, shape[1] - weight.shape[1]))
    first, others = weight[:, :1], weight[:, 1:].transpose(1, 2)  # (1, 1, D), (1, D, N)
    before, after = (round(number**0.5) for number in (others.shape[2], shape[1] - 1))
    grid = F.interpolate(others.unflatten(2, (before, before)), (after, after), mode="bicubic")
    return torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)


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
    """Both towers and the tokenizer of a BLIP for retrieval or captions, and a new MLP."""
    if "BlipForConditionalGeneration" in architectures:
        blip = BlipForConditionalGeneration.from_pretrained(settings.model)
        text = blip.text_decoder.bert
    else:
        blip = BlipForImageTextRetrieval.from_pretrained(settings.model)
        text = blip.text_encoder
    towers = {name: getattr(blip.config, name).to_dict() for name in ("vision_config", "text_config")}
    config = merged(PreferenceRewardConfig(**towers), settings, FITTING[PreferenceReward] | HEAD)
    model = PreferenceReward(config, fitting_tokenizer(settings.model, config.text_config.vocab_size))
    fill(model.vision_model, blip.vision_model.state_dict())
    fill(model.text_model, text.state_dict())
    return model


def coherence_from_vit(settings: RewardSettings) -> CoherenceReward:
    """The tower of a ViT, such as google/vit-base-patch16-224, and a new head."""
    vit = ViTModel.from_pretrained(settings.model, add_pooling_layer=False)
    own = CoherenceRewardConfig(vit_config=vit.config.to_dict())
    model = CoherenceReward(merged(own, settings, FITTING[CoherenceReward]))
    fill(model.vit, vit.state_dict())
    return model


def open_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder or the hub; `picturebook` is the one that ships."""
    if name == "picturebook":
        return AutoTokenizer.from_pretrained(byteedit.PICTUREBOOK, subfolder="tokenizer")
    return AutoTokenizer.from_pretrained(name)
