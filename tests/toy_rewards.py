"""Tiny rewards and data for their training: red beats blue, words name colours, what is generated is grey."""

import io

import numpy as np
import torch
from datasets import Dataset
from PIL import Image

from byteedit.data.preferences import AESTHETIC, ALIGNMENT, COHERENCE
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, PreferenceReward, PreferenceRewardConfig
from byteedit.training.reward import RewardSettings

WIDTHS = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 4}
VISION = WIDTHS | {"image_size": 16, "patch_size": 8}
TEXT = WIDTHS | {"num_hidden_layers": 2, "max_position_embeddings": 16}
MLP = {"mlp_widths": [8], "mlp_activation": "gelu", "mlp_dropout": 0.0, "max_length": 16}
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 220), "grey": (120, 120, 120)}


def preference(tokenizer, **config) -> PreferenceReward:
    torch.manual_seed(0)
    text = TEXT | {"vocab_size": len(tokenizer)}
    config = {"vision_config": VISION, "text_config": text} | MLP | config
    return PreferenceReward(PreferenceRewardConfig(**config), tokenizer)


def coherence() -> CoherenceReward:
    torch.manual_seed(0)
    return CoherenceReward(CoherenceRewardConfig(vit_config=VISION))


def png_of(colour, rng, size=16) -> bytes:
    """The bytes of a PNG of one colour with a little noise."""
    pixels = np.clip(np.array(colour) + rng.normal(0, 8, (size, size, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(rows, schema) -> Dataset:
    stored = [{k: {"bytes": v, "path": None} if isinstance(v, bytes) else v for k, v in row.items()} for row in rows]
    return Dataset.from_list(stored, features=schema.features(schema.required))


def aesthetic_rows(count, seed=0) -> Dataset:
    """The redder picture is the better one, whatever the prompt."""
    rng = np.random.default_rng(seed)
    rows = [
        {"prompt": "a boat", "chosen": png_of(COLOURS["red"], rng), "rejected": png_of(COLOURS["blue"], rng)}
        for _ in range(count)
    ]
    return dataset(rows, AESTHETIC)


def alignment_rows(count, seed=0) -> Dataset:
    rng, names = np.random.default_rng(seed), ["red", "green"]
    rows = []
    for n in range(count):
        right, wrong = names[n % 2], names[1 - n % 2]
        words = {"caption_chosen": f"a {right} boat", "caption_rejected": f"a {wrong} boat"}
        rows.append({"image": png_of(COLOURS[right], rng), **words})
    return dataset(rows, ALIGNMENT)


def coherence_rows(count, seed=0, size=16) -> Dataset:
    """Generated pixels are grey, real ones are green."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(count):
        mask = np.zeros((size, size), np.uint8)
        top, left = 8 * rng.integers(0, 2, 2)
        mask[top : top + 8, left : left + 8] = 255
        pixels = np.where(mask[..., None] > 0, COLOURS["grey"], COLOURS["green"]) + rng.normal(0, 8, (size, size, 3))
        parts = {"image": pixels.clip(0, 255).astype(np.uint8), "mask": mask}
        files = {name: io.BytesIO() for name in parts}
        for name, part in parts.items():
            Image.fromarray(part).save(files[name], "PNG")
        rows.append({name: file.getvalue() for name, file in files.items()})
    return dataset(rows, COHERENCE)


def settings_for(output, reward, **changes) -> RewardSettings:
    values = {"reward": reward, "data": "made here", "output": output, "steps": 30, "batch_size": 8, "lr": 3e-3}
    return RewardSettings(**values | changes)
