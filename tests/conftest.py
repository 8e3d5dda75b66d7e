"""Tiny real parts, built on the spot and in a second: a UNet, an autoencoder, a text encoder, a tokenizer, pictures.

Weights are random but seeded, so two calls give the same pipeline. Nothing is downloaded.
"""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest

WORDS = ["a red boat on the lake", "a green tree by the house", "two blue balloons", "nothing but grass and sky"]


@pytest.fixture(scope="session")
def tokenizer():
    """A CLIP tokenizer trained on a few captions, 16 tokens long."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    start, end = "<|startoftext|>", "<|endoftext|>"
    bpe = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>"))
    bpe.normalizer, bpe.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[start, end], initial_alphabet=alphabet)
    bpe.train_from_iterator(WORDS, trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    vocab = dict(model["vocab"])
    for letter in sorted(alphabet):
        vocab.setdefault(f"{letter}</w>", len(vocab))
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)


def build_unet(in_channels: int = 9, **config):
    """A UNet of 0.2 M parameters for 32 x 32 latents."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    sizes = {"sample_size": 32, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4}
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    shape = {"in_channels": in_channels, "out_channels": 4, "cross_attention_dim": 16, "attention_head_dim": 4}
    return UNet2DConditionModel(**{**sizes, **blocks, **shape, **config}).eval()


def build_vae():
    """An autoencoder that halves each side, so that the model works at 64 x 64 pixels."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=False,
        sample_size=64,
    ).eval()


def build_text_encoder(vocab_size: int):
    """A text encoder 16 wide, of 2 layers."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {"vocab_size": vocab_size, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return CLIPTextModel(CLIPTextConfig(**width, **ids, max_position_embeddings=16)).eval()


@pytest.fixture
def parts(tokenizer):
    """Function that builds the components of a pipeline: parts(in_channels=9, scheduler=DDIM)."""
    from diffusers import DDIMScheduler

    def build(in_channels: int = 9, scheduler=None, **unet):
        return {
            "vae": build_vae(),
            "text_encoder": build_text_encoder(len(tokenizer)),
            "tokenizer": tokenizer,
            "unet": build_unet(in_channels, **unet),
            "scheduler": scheduler or DDIMScheduler(steps_offset=1, clip_sample=False),
            "safety_checker": None,
            "feature_extractor": None,
        }

    return build


@pytest.fixture
def pipe(parts):
    """Our pipeline on tiny random weights; DDIM, 2 steps, guidance 3."""
    from byteedit import ByteEditInpaintPipeline

    pipe = ByteEditInpaintPipeline(**parts(), num_inference_steps=2, guidance_scale=3.0)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def unet_calls(pipe):
    """Batch sizes of the UNet's calls."""
    calls = []
    pipe.unet.register_forward_hook(lambda module, args, output: calls.append(tuple(args[0].shape)))
    return calls


@pytest.fixture
def scene():
    """Function that draws a picture (RGB, smooth with some noise) and a mask with a white box: scene(70, 50)."""
    from PIL import Image

    def draw(width: int = 64, height: int = 64, box=None, seed: int = 0):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width] / max(width, height)
        pixels = 255 * np.stack([x, y, 1 - x], axis=-1) * 0.8 + rng.uniform(0, 40, (height, width, 3))
        mask = np.zeros((height, width), np.uint8)
        left, top, right, bottom = box or (width // 4, height // 4, width // 2, height // 2)
        mask[top:bottom, left:right] = 255
        return Image.fromarray(pixels.astype(np.uint8)), Image.fromarray(mask)

    return draw


@pytest.fixture
def model(pipe, tmp_path, monkeypatch):
    """Path of the tiny pipeline's folder, in a current folder of its own."""
    monkeypatch.chdir(tmp_path)
    pipe.save_pretrained("model")
    return str(tmp_path / "model")


@pytest.fixture
def folder(tmp_path, monkeypatch, pipe, scene):
    """The current folder, with model/, photo.png (70 x 50) and mask.png."""
    monkeypatch.chdir(tmp_path)
    write_inputs(pipe, scene)
    return tmp_path


def write_inputs(pipe, scene):
    """Put model/, photo.png (70 x 50) and mask.png into the current folder."""
    pipe.save_pretrained("model")
    photo, mask = scene(70, 50)
    photo.save("photo.png")
    mask.save("mask.png")


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium without a window."""
    from toy_browser import CHROMIUM, browser

    pytest.importorskip("playwright", reason="`make test-browser` installs it")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}; `make test-browser` installs it")
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def editor():
    """The address of an editor on the shipped model."""
    from toy_editor import running

    with running(megapixels=30, device="cpu") as address:
        yield address


@pytest.fixture
def open_page(editor, chromium):
    """Function that visits the editor: open_page(PHONE) gives the page and the hosts that it asked."""
    from toy_browser import DESKTOP, visit

    pages = []

    def open_page(device=DESKTOP):
        page, hosts = visit(chromium, editor, **device)
        pages.append(page)
        return page, hosts

    yield open_page
    for page in pages:
        page.context.close()
