"""ImageReward's published checkpoint, turned into a folder that `PreferenceReward.from_pretrained` opens.

The file is a pickle and is read as tensors only: nothing in it is run. All sizes are those of its tensors. Either the
whole folder is written or nothing. The vocabulary is not in the file; it comes from a tokenizer.
Source: the layout of ImageReward (arXiv 2304.05977) and of BLIP (arXiv 2201.12086), on which it is built.
"""

import re
import zipfile
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor

from byteedit.files import new_folder
from byteedit.rewards.preference import PreferenceReward, PreferenceRewardConfig
from byteedit.rewards.tokens import fitting_tokenizer

__all__ = ["convert_imagereward"]

SCORE_MEAN, SCORE_STD = 0.16717362830052426, 1.0333394966054072
MLP_LAYERS = (0, 2, 4, 6)  # of the hidden layers; 7 is the last one
BLIP_TOKENS = ["[DEC]", "[ENC]"]  # what BLIP adds to BERT's vocabulary; ImageReward has rows for them

NAMES = {
    r"^vision_model\.embeddings\.class_embedding$": "blip.visual_encoder.cls_token",
    r"^vision_model\.embeddings\.position_embedding$": "blip.visual_encoder.pos_embed",
    r"^vision_model\.embeddings\.patch_embedding\.": "blip.visual_encoder.patch_embed.proj.",
    r"^vision_model\.encoder\.layers\.": "blip.visual_encoder.blocks.",
    r"^vision_model\.post_layernorm\.": "blip.visual_encoder.norm.",
    r"^text_model\.": "blip.text_encoder.",
    r"^mlp\.": "mlp.layers.",
    r"\.layer_norm(\d)\.": r".norm\1.",
    r"\.self_attn\.qkv\.": ".attn.qkv.",
    r"\.self_attn\.projection\.": ".attn.proj.",
}
"""Our names of tensors, by parts, and ImageReward's."""

OURS = ("blip.visual_encoder.", "blip.text_encoder.", "mlp.")  # the rest (projections for BLIP's losses) is not used
NOT_WEIGHTS = {"blip.text_encoder.embeddings.position_ids"}


def convert_imagereward(
    file: Path, output: Path, *, tokenizer: str = "bert-base-uncased", head_width: int = 64
) -> None:
    """Write the reward of ImageReward's `file` into the new folder `output`.

    Args:
        file: The published ImageReward.pt, or one of its layout.
        output: A folder that does not exist yet.
        tokenizer: Folder or hub name of the BERT tokenizer whose vocabulary the file was trained with.
        head_width: Channels of one attention head, 64 in ViT-L and in BERT; the tensors do not tell.

    Raises:
        ValueError: the file cannot be read as tensors, lacks one, or has one of a wrong shape; the tokenizer does not
            fit; the folder exists.
    """
    if output.exists():  # which is seen again at the end, after minutes
        raise ValueError(f"{output} exists already; name a new folder.")
    weights = read_weights(file)
    model = build(weights, config_of(weights, head_width))
    words = {"added": BLIP_TOKENS, "spare": 0.0, "whose": "the file"}
    model.tokenizer = fitting_tokenizer(tokenizer, model.config.text_config.vocab_size, **words)
    with new_folder(output) as folder:
        model.save_pretrained(folder)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file by name; nothing else in it is opened."""
    if not file.is_file():
        raise ValueError(f"there is no file {file}.")
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:  # a broken file can make the reader fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{file} holds more than tensors, or is broken, and was not opened. {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{file} is no dictionary of tensors; give ImageReward.pt as it was published.")
    return weights


def config_of(weights: dict[str, Tensor], head_width: int) -> PreferenceRewardConfig:
    """The config that the tensors' shapes tell."""
    patches = shape(weights, "blip.visual_encoder.patch_embed.proj.weight", 4)  # (Dv, 3, patch, patch)
    positions = shape(weights, "blip.visual_encoder.pos_embed", 3)[1] - 1
    words = shape(weights, "blip.text_encoder.embeddings.word_embeddings.weight", 2)  # (V, D)
    vision = {
        "hidden_size": patches[0],
        "patch_size": patches[-1],
        "image_size": patches[-1] * isqrt(positions),
        "intermediate_size": shape(weights, "blip.visual_encoder.blocks.0.mlp.fc1.weight", 2)[0],
        "num_hidden_layers": depth(weights, "blip.visual_encoder.blocks."),
        "num_attention_heads": heads(patches[0], head_width),
        "layer_norm_eps": 1e-6,
    }
    text = {
        "vocab_size": words[0],
        "hidden_size": words[1],
        "max_position_embeddings": shape(weights, "blip.text_encoder.embeddings.position_embeddings.weight", 2)[0],
        "intermediate_size": shape(weights, "blip.text_encoder.encoder.layer.0.intermediate.dense.weight", 2)[0],
        "num_hidden_layers": depth(weights, "blip.text_encoder.encoder.layer."),
        "num_attention_heads": heads(words[1], head_width),
        "bos_token_id": None,  # BLIP's, of which a reward makes no use
        "sep_token_id": None,
    }
    widths = [shape(weights, f"mlp.layers.{layer}.weight", 2)[0] for layer in MLP_LAYERS]
    score = {"score_mean": SCORE_MEAN, "score_std": SCORE_STD}
    return PreferenceRewardConfig(vision_config=vision, text_config=text, mlp_widths=widths, **score)


def shape(weights: dict[str, Tensor], name: str, axes: int) -> torch.Size:
    """The shape of a tensor that must be there."""
    if name not in weights:
        raise ValueError(f"the file lacks {name}; it is not laid out as ImageReward is.")
    if weights[name].ndim != axes:
        raise ValueError(f"{name} has the shape {tuple(weights[name].shape)}; {axes} axes were expected.")
    return weights[name].shape


def depth(weights: dict[str, Tensor], prefix: str) -> int:
    """How many layers have names that begin with `prefix` and a number."""
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix))


def heads(width: int, head_width: int) -> int:
    """How many attention heads of `head_width` channels make up `width`."""
    if head_width < 1 or width % head_width:
        raise ValueError(f"{width} channels cannot be shared out among attention heads of {head_width} channels.")
    return width // head_width


def build(weights: dict[str, Tensor], config: PreferenceRewardConfig) -> PreferenceReward:
    """A model on the file's own tensors, each of which must be there, and of the right shape."""
    with torch.device("meta"):  # shapes without memory
        model = PreferenceReward(config)
    wanted = model.state_dict()
    theirs = {name: published_name(name) for name in wanted}
    unknown = {name for name in weights if name.startswith(OURS)} - {*theirs.values()} - NOT_WEIGHTS
    if missing := {*theirs.values()} - weights.keys():
        raise ValueError(f"the file lacks {some(missing)}; it is not laid out as ImageReward is.")
    if unknown:
        raise ValueError(f"the file has {some(unknown)}, which ImageReward does not.")
    for ours, name in theirs.items():
        if weights[name].shape != wanted[ours].shape:
            came, expected = tuple(weights[name].shape), tuple(wanted[ours].shape)
            raise ValueError(f"{name} has the shape {came}; next to the other tensors it must be {expected}.")
    model.load_state_dict({ours: weights[name] for ours, name in theirs.items()}, assign=True)
    return model


def published_name(name: str) -> str:
    """ImageReward's name of one of our tensors."""
    for ours, theirs in NAMES.items():
        name = re.sub(ours, theirs, name)
    return name


def some(names: set[str]) -> str:
    """The first name, and how many more there are."""
    first, *more = sorted(names)
    return f"{first} and {len(more)} more tensors" if more else first
