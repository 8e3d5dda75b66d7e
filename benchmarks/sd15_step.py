"""What memory one step of feedback learning takes at most, with Stable Diffusion 1.5's inpainting architecture.

    python benchmarks/sd15_step.py --record

Full sizes, random weights, in float32 on the CPU: the UNet with a LoRA, autoencoder and text encoder, two rewards of
ImageReward's architecture, VGG16. The step is the loop's own: data, a rollout of 20, 15, 10 steps, Eq. 4, backward,
clipping, AdamW, a checkpoint. The decode's activations are computed twice, and one picture is decoded at a time.
The peak is the whole process's (VmHWM), from its start. `--tiny` tries the script out on small sizes.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import byteedit
from byteedit.data.skipped import Skipped
from byteedit.rewards import PreferenceReward, PreferenceRewardConfig
from byteedit.training.adapters import add_lora
from byteedit.training.base import encode_text, make_items, open_data, training_scheduler
from byteedit.training.boost import PeflSettings
from byteedit.training.loop import Objective, begin, train
from byteedit.training.pefl import Feedback
from byteedit.training.streams import open_batches
from byteedit.vgg import VGGFeatures
from feedback_step import resident
from results import record

LIMIT = 20  # GB that the step may take
SD15 = {
    "unet": {"in_channels": 9, "cross_attention_dim": 768, "sample_size": 64},  # the rest are the class's defaults
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "reward": {},  # the defaults are ImageReward's
}
NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY = {
    "unet": SD15["unet"] | {"cross_attention_dim": 16, "block_out_channels": (8,) * 4, "norm_num_groups": 4},
    "vae": {"block_out_channels": (8,) * 4, "layers_per_block": 1, "norm_num_groups": 4},
    "text": NARROW,
    "reward": {"vision_config": NARROW | {"image_size": 32, "patch_size": 16}, "text_config": NARROW},
}
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def build(sizes: dict) -> byteedit.ByteEditInpaintPipeline:
    """The pipeline with random weights; the words are those of the tokenizer that ships."""
    down, up = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    return byteedit.ByteEditInpaintPipeline(
        vae=AutoencoderKL(down_block_types=down, up_block_types=up, latent_channels=4, **sizes["vae"]),
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **sizes["text"])),
        tokenizer=CLIPTokenizer.from_pretrained(Path(byteedit.PICTUREBOOK) / "tokenizer"),
        unet=UNet2DConditionModel(**sizes["unet"]),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
    )


def settings_for(output: Path, size: int, batch: int, **more) -> PeflSettings:
    """One step on both rewards, into a LoRA, at `size` pixels."""
    return PeflSettings(
        output=output,
        base="stable-diffusion-1.5's architecture",
        data="picturebook",
        rewards={"aesthetic": 1, "alignment": 1},
        size=size,
        batch_size=batch,
        decode_checkpointing=True,
        steps=1,
        lr=1e-4,
        **more,
    )


def prepare(sizes: dict, settings: PeflSettings) -> tuple[byteedit.ByteEditInpaintPipeline, Feedback]:
    """All models, and the objective; a LoRA is all that is trained."""
    torch.manual_seed(0)
    pipe = build(sizes)
    pipe.vae.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    add_lora(pipe.unet, settings)
    rewards = {}
    for name, weight in settings.rewards.items():
        reward = PreferenceReward(PreferenceRewardConfig(**sizes["reward"]), pipe.tokenizer)
        rewards[name] = (reward.eval().requires_grad_(False).rate, weight)
    scheduler = training_scheduler(pipe.scheduler)
    return pipe, Feedback(pipe.unet, pipe.vae, partial(encode_text, pipe), scheduler, rewards, settings, VGGFeatures())


def step(sizes: dict, settings: PeflSettings) -> None:
    """One step of the stage, all but what it writes in the end."""
    accelerator = begin(settings, cpu=True)
    pipe, feedback = prepare(sizes, settings)
    print(f"models: {resident('VmRSS') / 1e9:.1f} GB", flush=True)
    skipped = Skipped()
    edits = open_data(settings.data, settings, skipped)
    items = make_items(pipe, edits, settings, feedback.draw_noise)
    batches = open_batches(edits, items.prepare, settings, skipped, accelerator)
    train(accelerator, [Objective(name="pefl", model=pipe.unet, loss=feedback.loss)], batches, settings)


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="height and width of the pictures, in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--tiny", action="store_true", help="small models, to try this script")
    parser.add_argument("--record", action="store_true", help="keep the figure in docs/results.json")
    options = parser.parse_args()
    if options.tiny and options.record:
        parser.error("what --tiny measures is no figure; leave one of them out.")
    began = time.monotonic()
    with TemporaryDirectory() as output:
        settings = settings_for(Path(output), options.size, options.batch, rank=options.rank, log_every=1)
        step(TINY if options.tiny else SD15, settings)
        print((settings.output / "log.jsonl").read_text().strip())
    peak = resident("VmHWM") / 1e9
    print(
        f"one step at {options.size} px, batch {options.batch}, LoRA of rank {options.rank}: peak {peak:.1f} GB", end=""
    )
    print(f" ({'within' if peak <= LIMIT else 'above'} {LIMIT}), {time.monotonic() - began:.0f} s")
    if options.record:
        record("bench.sd15_step.peak_gb", peak, peak, peak, 1, "python benchmarks/sd15_step.py --record")


if __name__ == "__main__":
    main()
