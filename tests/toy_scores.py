"""Cases and tiny random checkpoints for the tests of scores: CLIP, BLIP and our rewards, in their usual layouts."""

from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval, CLIPConfig, CLIPModel

from byteedit.evaluation.benchmarks import EditCase
from byteedit.rewards import CoherenceReward, CoherenceRewardConfig, PreferenceReward, PreferenceRewardConfig

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "boat", "green", "tree", "on", "the", "lake"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
EYE = {**SMALL, "image_size": 16, "patch_size": 4}
TEXT = {**SMALL, "vocab_size": len(WORDS), "bos_token_id": None, "sep_token_id": None}
PROMPTS = {"full": "a red boat on the lake", "simple": "a boat", "rich": "a red boat"}


def edit(
    page: np.ndarray, mask: np.ndarray, reference: np.ndarray | None = None, name: str = "one", **fields
) -> EditCase:
    return EditCase(
        id=name,
        task="editing",
        seed=0,
        read_page=lambda: page,
        read_mask=lambda: mask,
        read_reference=None if reference is None else lambda: reference,
        **{"prompts": PROMPTS, **fields},
    )


def sized_pictures(scene) -> tuple[list[EditCase], list[np.ndarray]]:
    """Three cases of pictures of several sizes, and answers to them."""
    cases, answers = [], []
    for number, (width, height) in enumerate([(40, 30), (24, 48), (32, 32)]):
        page, mask = (np.asarray(picture) for picture in scene(width, height, seed=number))
        cases.append(edit(page, mask, name=str(number)))
        answers.append(np.asarray(scene(width, height, seed=number + 10)[0]))
    return cases, answers


def write_models(root: Path) -> None:
    """Folders "clip", "blip", "aesthetic" and "coherence", for pictures of 16 pixels."""
    torch.manual_seed(0)
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    words = {**TEXT, "max_position_embeddings": 16, "eos_token_id": 3}
    clip = CLIPModel(CLIPConfig(text_config=words, vision_config=EYE, projection_dim=8, initializer_factor=5.0))
    blip = BlipForImageTextRetrieval(
        BlipConfig(text_config={**TEXT, "encoder_hidden_size": 16}, vision_config=EYE, image_text_hidden_size=8)
    )
    for name, weight in blip.named_parameters():
        if "norm" not in name.lower():
            torch.nn.init.normal_(weight, std=0.3)
    clip.save_pretrained(root / "clip")
    blip.save_pretrained(root / "blip")
    config = PreferenceRewardConfig(vision_config=EYE, text_config=TEXT, mlp_widths=(8,), initializer_range=0.3)
    PreferenceReward(config, tokenizer).save_pretrained(root / "aesthetic")
    coherent = CoherenceReward(CoherenceRewardConfig(vit_config=EYE))
    coherent.head[2].weight.data *= 50
    coherent.save_pretrained(root / "coherence")
    for name in ("clip", "blip"):
        tokenizer.save_pretrained(root / name)
