"""The untrained parts of the picturebook checkpoint: tokenizer, text encoder, 9-channel UNet, scheduler.

They have Stable Diffusion's layout at a hundredth of its size. The autoencoder's is in `train_autoencoder.py`.
Both trainings take the `precision` that is fastest where they run.
"""

import json
from pathlib import Path
from typing import Literal

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from byteedit import ByteEditInpaintPipeline
from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, SIZES

LENGTH = 24  # tokens of a prompt; at 16 the place would be cut off


def build_tokenizer() -> CLIPTokenizer:
    """Byte-pair encoding learned from the picturebook's words; other words are spelled out."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    lines = [f"a an and {s} {c} {k} {p}" for s in SIZES for c in COLOURS for k in KINDS for p in BACKGROUNDS.values()]
    bpe = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>"))
    bpe.normalizer, bpe.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), bpe.pre_tokenizer])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=[start, end], initial_alphabet=alphabet, end_of_word_suffix="</w>"
    )
    bpe.train_from_iterator(lines, trainer)
    learned = {*bpe.get_vocab(), *(f"{letter}</w>" for letter in alphabet)}  # every letter may also end a word
    tokens = [start, end, *sorted(learned - {start, end})]  # the trainer numbers some by chance
    vocab = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)


def build_models(tokenizer: CLIPTokenizer, start_from: Path | None) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    """Text encoder and UNet in fp32: untrained, or with the weights of a pipeline folder."""
    text_encoder, unet = build_text_encoder(tokenizer), build_unet()
    if start_from:
        pipe = ByteEditInpaintPipeline.from_pretrained(start_from)
        text_encoder.load_state_dict(pipe.text_encoder.float().state_dict())
        unet.load_state_dict(pipe.unet.float().state_dict())
    return text_encoder, unet


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            projection_dim=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet() -> UNet2DConditionModel:
    """9 channels in, 4 out, 15.6 M parameters; the pooled prompt joins the time embedding."""
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=9,
        out_channels=4,
        block_out_channels=(32, 96, 160, 224),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )
    unet.set_attn_processor(AttnProcessor())  # in bf16 on a CPU it is faster than scaled_dot_product_attention
    return unet


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def precision() -> Literal["no", "bf16"]:
    """bfloat16 on a GPU, and on a processor that has instructions for it.

    Without AVX-512 a convolution in bfloat16 took sixteen times as long as in float32.
    """
    slow = not torch.cuda.is_available() and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    return "no" if slow else "bf16"
