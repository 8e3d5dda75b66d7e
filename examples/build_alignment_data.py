"""Make D_align: captions that say too little of their image, each with a better one by a vision-language model.

Image-text pairs in; those whose CLIPScore is below a threshold stay, their caption is the one rejected; a model that
sees the image writes the one chosen (ByteEdit, section on D_align; LLaVA on pairs of LAION there). Some pictures are
held out, so that train_reward.py reads the output as it is. A run that was killed goes on where it was; several
processes share the work, as in build_aesthetic_data.py:

    python examples/build_alignment_data.py --pairs pairs.parquet --output .runs/alignment
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import datasets
import torch
import tyro
from accelerate import PartialState
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from byteedit.data.preferences import ALIGNMENT, IMAGE, TEXT, Schema, Skipped, examples, load
from byteedit.data.shards import build_shards
from byteedit.data.sources import digest
from byteedit.files import claim
from byteedit.rewards import CLIPReward


@dataclass(kw_only=True)
class Settings:
    pairs: str
    """Image-text pairs: Parquet, JSONL, a folder of them, or a hub id."""
    output: Path = Path(".runs/alignment")
    """Folder of the data set. A run that finds shards there goes on from them."""
    image: str = "image"
    """The column of images."""
    caption: str = "caption"
    """The column of captions."""
    split: str = "train"
    """The split."""
    streaming: bool = False
    """Read as it goes, instead of bringing the pairs to the local disk first."""
    limit: int | None = None
    """Read so many pairs at most."""
    validation: float = 0.05
    """Share of the pictures, in [0, 1), that make the split `validation`; all rows of a picture are in one split."""
    clip: str = "openai/clip-vit-base-patch32"
    """Folder or hub id of the CLIP model."""
    threshold: float = 0.28
    """Captions whose CLIPScore, the plain cosine, is below this are improved. LAION's own pairs have 0.28 or more by
    the default model, so take a higher one there."""
    captioner: str = "llava-hf/llava-1.5-7b-hf"
    """Folder or hub id of an image-text-to-text model with a chat template."""
    instruction: str = "Describe this image in one sentence: its main things, their colours and where they are."
    """What the captioner is told beside the image."""
    tokens: int = 60
    """Longest caption in the captioner's tokens."""
    batch: int = 8
    """Images that a model sees at once."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the captioner."""
    shard: int = 256
    """Pairs that are read for a shard, which is what a kill may cost."""


class Captioner:
    """A transformers image-text-to-text model that says what is in an image."""

    def __init__(self, settings: Settings, device: torch.device):
        self.processor = AutoProcessor.from_pretrained(settings.captioner)
        self.processor.tokenizer.padding_side = "left"  # what is written begins at the same place in all rows
        model = AutoModelForImageTextToText.from_pretrained(settings.captioner, dtype=getattr(torch, settings.dtype))
        self.model, self.settings = model.eval().to(device), settings

    @torch.no_grad()
    def write(self, images: list[Image.Image]) -> list[str]:
        """A caption for each image, on one line."""
        content = [{"type": "image"}, {"type": "text", "text": self.settings.instruction}]
        chat = [{"role": "user", "content": content}]
        text = self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        each = [[image] for image in images]  # some processors take a plain list for the images of one text
        inputs = self.processor(images=each, text=[text] * len(images), padding=True, return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        written = self.model.generate(**inputs, max_new_tokens=self.settings.tokens, do_sample=False)
        answers = written[:, inputs["input_ids"].shape[1] :]
        return [" ".join(answer.split()) for answer in self.processor.batch_decode(answers, skip_special_tokens=True)]


def improve(rows: list[dict], clip: CLIPReward, captioner: Captioner, settings: Settings, skipped: Skipped) -> list:
    """The D_align rows of some pairs."""
    schema = Schema({settings.image: IMAGE, settings.caption: TEXT})
    pairs = [(row[settings.image], row[settings.caption]) for row in examples(rows, schema, skipped)]
    if not pairs:
        return []
    scores = clip.score(*zip(*pairs, strict=True), batch_size=settings.batch)
    poor = [pair for pair, score in zip(pairs, scores, strict=True) if score < settings.threshold]
    skipped.add("caption good enough", len(pairs) - len(poor))
    made = []
    for first in range(0, len(poor), settings.batch):
        images, captions = zip(*poor[first : first + settings.batch], strict=True)
        for image, before, after in zip(images, captions, captioner.write(list(images)), strict=True):
            if after and after != before:
                made.append({"image": image, "caption_chosen": after, "caption_rejected": before})
            else:
                skipped.add("no better caption")
    return made


def split_of(row: dict, share: float) -> str:
    """The split of a row, which follows from its picture alone: no other rows have a say, nor has the order."""
    number = int.from_bytes(hashlib.sha256(row["image"].tobytes()).digest()[:8], "big")
    return "validation" if number < share * 2**64 else "train"


def begin(settings: Settings, rows: Iterable[dict]) -> None:
    """Claim the output for these settings and these pairs."""
    held = {"pairs_rows": None if settings.streaming else len(rows)}
    held["pairs_sha256"] = digest(settings.pairs, settings.split)
    claim(settings.output, {name: value for name, value in asdict(settings).items() if name != "output"} | held)


def main(settings: Settings) -> None:
    if not 0 <= settings.validation < 1:
        raise ValueError(f"validation is {settings.validation}; it must be at least 0 and below 1.")
    datasets.disable_progress_bars()  # one for each shard
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(hours=12))  # others wait to begin
    schema, skipped = Schema({settings.image: IMAGE, settings.caption: TEXT}), Skipped()
    with state.main_process_first():
        rows = load(settings.pairs, schema, skipped, split=settings.split, streaming=settings.streaming)
        if state.is_main_process:
            begin(settings, rows)
    clip = CLIPReward.from_pretrained(settings.clip).to(state.device)
    captioner = Captioner(settings, state.device)
    build_shards(
        settings.output,
        islice(rows, settings.limit),
        partial(improve, clip=clip, captioner=captioner, settings=settings, skipped=skipped),
        ALIGNMENT.features(ALIGNMENT.required, decoded=True),
        size=settings.shard,
        process=state.process_index,
        processes=state.num_processes,
        total=settings.limit if settings.streaming else min(len(rows), settings.limit or len(rows)),
        splits=("validation", "train") if settings.validation else ("train",),
        split=partial(split_of, share=settings.validation),
    )
    print(f"D_align is in {settings.output}; in this run {skipped}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
