"""`CoherenceReward` (R_g): a ViT that says of every pixel whether it is real or generated.

A head turns each patch's token into the patch's pixels, so the answer is as large as the image, of any size. The same
model is the discriminator of adversarial training; its losses and its updates are in `training`.
Source: ByteEdit (arXiv 2404.04860), section on coherence and Eq. 6.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, ViTConfig, ViTModel

from byteedit.image import normalize, to_tensor
from byteedit.reading import read_pictures
from byteedit.rewards.pixels import check, residual, resize, scaled, windows
from byteedit.rewards.scoring import batches, check_list, evaluating
from byteedit.rewards.stem import build_stem

__all__ = ["CoherenceReward", "CoherenceRewardConfig"]

SIDE = 512
"""`score` and `map` let the ViT see the square of this in pixels at once, at most: every patch attends to all others.
In patches of 8 that is 4,096 tokens, a second of a processor; a photograph of 12 megapixels would be 190,000 tokens,
with 2,000 times the attention."""

OVERLAP = 64
"""Pixels that neighbouring windows on a larger picture have in common; one fades into the other there."""

TOGETHER = 4 * SIDE**2
"""Pixels of a batch of several pictures, at most."""


class CoherenceRewardConfig(PreTrainedConfig):
    """What a `CoherenceReward` is made of.

    Args:
        vit_config: ViTConfig or its fields; None for ViT-B/16. Its `image_size` is that of the learned positions,
            which are interpolated for images of other sizes.
        stem_widths: Channels after each halving of a convolutional stem in the place of the patch embedding, multiples
            of 8, as in [32, 64, 128] for patches of 8; none for a plain ViT.
        residual_gain: Gain of the high-pass residual, which the ViT sees as three more channels, tanh(gain (x - mean of
            3 x 3)) with x in [-1, 1]; 0 for none. A decoder's traces are some levels high, and beside edges hard to
            see. (Noise residuals in image forensics, such as arXiv 1805.04953.)
        image_size: Pixels that the shorter side is resized to before the ViT sees the image; None: it sees images as
            they come. The answer is of the image's own size either way.
        image_mean, image_std: What images are normalised with, of red, green and blue in [0, 1].
    """

    model_type = "byteedit_coherence_reward"
    sub_configs_defaults = {"vit_config": ViTConfig}  # noqa: RUF012

    vit_config: dict | PreTrainedConfig | None = None
    stem_widths: list[int] | tuple[int, ...] = ()
    residual_gain: float = 0.0
    image_size: int | None = None
    image_mean: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.vit_config.num_channels = 6 if self.residual_gain else 3


class CoherenceReward(PreTrainedModel):
    """How real each pixel looks, as a logit: positive = real, negative = generated.

    `rate` is a `Reward`; `score` and `map` take PIL images. The parts are `vit` and `head`.
    """

    config_class = CoherenceRewardConfig
    main_input_name = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: CoherenceRewardConfig):
        super().__init__(config)
        width, patch = config.vit_config.hidden_size, config.vit_config.patch_size
        self.vit = ViTModel(config.vit_config, add_pooling_layer=False)
        if config.stem_widths:
            stem = build_stem(config.stem_widths, width, patch, config.vit_config.num_channels)
            self.vit.embeddings.patch_embeddings.projection = stem
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, patch**2))
        self.post_init()

    @property
    def size(self) -> int | None:
        """Pixels that the shorter side of images is resized to; None where they are seen as they are."""
        return self.config.image_size

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel, differentiable to the pixels: (B, 3, H, W) in [-1, 1] -> (B, 1, H, W) float32."""
        check(image)
        size = tuple(image.shape[-2:])
        logits = self.see(resize(image, self.target(*size)))
        return enlarge(logits, size)

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the ViT sees an image of such a height and width."""
        return (height, width) if self.size is None else scaled(height, width, self.size)

    def see(self, resized: Tensor) -> Tensor:
        """Logits of images at the size at which the ViT sees them: (B, 3, h, w) in [-1, 1] -> (B, 1, h, w) float32."""
        pixels = normalize(resized, self.config.image_mean, self.config.image_std)
        if self.config.residual_gain:
            pixels = torch.cat([pixels, residual(resized, self.config.residual_gain)], dim=1)
        return self.logits(pixels.to(self.dtype)).float()

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits of what the ViT sees, mirrored at the end to full patches: (B, 3, h, w) -> (B, 1, h, w)."""
        height, width = pixels.shape[-2:]
        patch = self.config.vit_config.patch_size
        down, across = -(-height // patch), -(-width // patch)  # patches
        whole = mirrored(mirrored(pixels, -2, down * patch), -1, across * patch)
        tokens = self.vit(whole, interpolate_pos_encoding=True).last_hidden_state[:, 1:]  # (B, down * across, D)
        patches = self.head(tokens).transpose(1, 2).unflatten(2, (down, across))  # (B, patch², down, across)
        return F.pixel_shuffle(patches, patch)[..., :height, :width]

    def rate(self, image: Tensor, prompt: list[str] | None = None) -> Tensor:
        """The mean logit of each image, with gradient: (B, 3, H, W) in [-1, 1] -> (B,). The prompt is not looked at."""
        return self(image).mean(dim=(1, 2, 3))

    def score(self, images: Sequence, prompts: Sequence[str] | None = None, batch_size: int = 16) -> list[float]:
        """The mean logit of each PIL image; without gradient and dropout. The prompts are not looked at."""
        return self.predict(images, batch_size, mean)

    def map(self, images: Sequence, batch_size: int = 16) -> list[np.ndarray]:
        """The probability that each pixel is real, for PIL images: (H, W) float32 in [0, 1] each."""
        return self.predict(images, batch_size, probability)

    def score_and_map(self, images: Sequence, batch_size: int = 16) -> list[tuple[float, np.ndarray]]:
        """What `score` and `map` say of each PIL image, from one look at it."""
        return self.predict(images, batch_size, lambda logits: (mean(logits), probability(logits)))

    def predict(self, images: Sequence, batch_size: int, make: Callable[[Tensor], Any]) -> list:
        """What `make` makes of the logits (H, W) of each PIL image.

        Those of one size go together, `batch_size` of them or `TOGETHER` pixels at a time, or one that has more.

        Raises:
            ValueError: `images` is no list, or `batch_size` is less than 1.
        """
        check_list(images)
        pixels = [read_pictures(image)[0].pixels for image in images]  # (H, W, 3) each
        shapes = [one.shape[:2] for one in pixels]
        found = {}
        with evaluating(self):
            for shape, alike in groupby(sorted(range(len(shapes)), key=shapes.__getitem__), shapes.__getitem__):
                fitting = TOGETHER // max(math.prod(shape), math.prod(self.target(*shape)))
                for part in batches(list(alike), min(batch_size, max(fitting, 1))):
                    seen = self.look(torch.cat([to_tensor(pixels[i][None]) for i in part]))
                    found |= {i: make(logits) for i, logits in zip(part, seen, strict=True)}
        return [found[i] for i in range(len(images))]

    def look(self, image: Tensor) -> Tensor:
        """`forward`, in windows where the ViT would see too much at once: (B, 3, H, W) on the CPU -> (B, H, W).

        Where `image_size` says at which size the ViT sees images, it sees four times the square of that at once.
        """
        size = tuple(image.shape[-2:])
        target, side = self.target(*size), max(SIDE, 2 * (self.size or 0))
        if math.prod(target) <= side**2:
            return self(image.to(self.device)).squeeze(1)
        return enlarge(self.pan(resize(image, target), side), size).squeeze(1)

    def pan(self, resized: Tensor, side: int) -> Tensor:
        """`see` in windows of `side` pixels at most, which fade into each other: (B, 3, h, w) -> (B, 1, h, w)."""
        patch = self.config.vit_config.patch_size
        down, across = (windows(length, side, OVERLAP, patch) for length in resized.shape[-2:])
        logits = torch.zeros_like(resized[:, :1])
        for rows, above in down:
            for columns, beside in across:
                part = self.see(resized[..., rows, columns].to(self.device)).to(logits.device)
                logits[..., rows, columns] += above[:, None] * beside * part
        return logits

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs) -> "CoherenceReward":
        """A reward from a folder or the hub, as `PreTrainedModel.from_pretrained`; float32 unless `dtype` says
        otherwise, whatever the file holds.
        """
        if kwargs.keys().isdisjoint({"dtype", "torch_dtype"}):
            kwargs["dtype"] = torch.float32
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)


def enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, h, w) -> (B, 1, *size), bilinear, as they are where they have that size."""
    if tuple(logits.shape[-2:]) == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", antialias=True)


def mean(logits: Tensor) -> float:
    """How real a picture looks, of its logits (H, W)."""
    return float(logits.mean())


def probability(logits: Tensor) -> np.ndarray:
    """How likely each pixel is real: (H, W) -> (H, W) float32 in [0, 1]."""
    return logits.sigmoid().cpu().numpy()


def mirrored(pixels: Tensor, dim: int, target: int) -> Tensor:
    """Forth and back along `dim` until there are `target`, 3 -> 8 as 0 1 2 1 0 1 2 1; as it is where there are."""
    length = pixels.shape[dim]
    if length == target:
        return pixels
    forth_and_back = [*range(length), *range(length - 2, 0, -1)]
    numbers = (forth_and_back * target)[:target]
    return pixels.index_select(dim, torch.tensor(numbers, device=pixels.device))


AutoConfig.register(CoherenceRewardConfig.model_type, CoherenceRewardConfig, exist_ok=True)
AutoModel.register(CoherenceRewardConfig, CoherenceReward, exist_ok=True)
