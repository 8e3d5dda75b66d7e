"""`PreferenceReward`: BLIP reads the prompt while it looks at the image, and an MLP turns that into one score.

One class for two checkpoints, aesthetic (R_a) and alignment (R_b). The towers are transformers' own; here are the
head, the standardised score, and a tokenizer that is saved and loaded with the weights. No training here.
Source: ImageReward (arXiv 2304.05977), whose published weights `convert` brings into this form.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    BlipTextConfig,
    BlipTextModel,
    BlipVisionConfig,
    BlipVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.activations import ACT2FN

from byteedit.image import normalize
from byteedit.rewards.pixels import CLIP_MEAN, CLIP_STD, residual, resize_and_crop
from byteedit.rewards.scoring import score
from byteedit.rewards.stem import build_stem
from byteedit.rewards.tokens import fitting_tokenizer

__all__ = ["PreferenceReward", "PreferenceRewardConfig"]

VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "layer_norm_eps": 1e-6,
}
"""ImageReward's vision tower, ViT-L/16."""

TEXT = {"num_attention_heads": 12}
"""ImageReward's text tower, BERT base; the rest is as in transformers' BlipTextConfig."""

LOADING = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
SAVING = ("push_to_hub", "repo_id", "commit_message", "private", "token")
"""What the tokenizer is told, too, of how the weights are loaded and saved."""


class PreferenceRewardConfig(PreTrainedConfig):
    """What a `PreferenceReward` is made of. The defaults are ImageReward's.

    Args:
        vision_config: BlipVisionConfig or its fields. Images are fitted to its `image_size`.
        text_config: BlipTextConfig or its fields. Its `encoder_hidden_size` and `is_decoder` are set here: only with
            `is_decoder` do BLIP's layers have the cross-attention that looks at the image.
        stem_widths: Channels after each halving of a convolutional stem in the place of the patch embedding, multiples
            of 8, as in [32, 64, 128, 128] for patches of 16; none as ImageReward.
        residual_gain: Gain of the high-pass residual, which the stem sees as three more channels, as in
            `CoherenceRewardConfig`; 0 for none.
        mlp_widths: Widths between the text tower's and the one score.
        mlp_dropout: Dropout after all of these but the last. (ImageReward: 0.2, 0.2 and 0.1.)
        mlp_activation: Name of an activation after each of these, such as "gelu"; None as ImageReward.
        max_length: Longest prompt in tokens; the rest is cut off.
        image_mean, image_std: What images are normalised with, of red, green and blue in [0, 1].
        score_mean, score_std: What the raw score is standardised with.
        initializer_range: Standard deviation of both towers' initial weights. BLIP's own for the vision tower is
            1e-10, with which nothing can be trained from scratch.
    """

    model_type = "byteedit_preference_reward"
    sub_configs_defaults = {"vision_config": BlipVisionConfig, "text_config": BlipTextConfig}  # noqa: RUF012

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    stem_widths: list[int] | tuple[int, ...] = ()
    residual_gain: float = 0.0
    mlp_widths: list[int] | tuple[int, ...] = (1024, 128, 64, 16)
    mlp_dropout: float = 0.2
    mlp_activation: str | None = None
    max_length: int = 35
    image_mean: list[float] | tuple[float, ...] = CLIP_MEAN
    image_std: list[float] | tuple[float, ...] = CLIP_STD
    score_mean: float = 0.0
    score_std: float = 1.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.vision_config = VISION if self.vision_config is None else self.vision_config
        self.text_config = TEXT if self.text_config is None else self.text_config
        super().__post_init__(**kwargs)
        if self.residual_gain and not self.stem_widths:
            raise ValueError("residual_gain needs a stem; BLIP's patch embedding has 3 channels. Set stem_widths.")
        self.text_config.encoder_hidden_size = self.vision_config.hidden_size
        self.text_config.is_decoder = True
        self.vision_config.initializer_range = self.text_config.initializer_range = self.initializer_range


class PreferenceReward(PreTrainedModel):
    """How well an image pleases (R_a) or fits its prompt (R_b), as a standardised score; higher is better.

    `rate` is a `Reward`; `score` takes PIL images; `forward` takes prompts as tokens. The parts are `vision_model`,
    `text_model`, `mlp` and `tokenizer`.
    """

    config_class = PreferenceRewardConfig
    main_input_name = "image"
    supports_gradient_checkpointing = True

    def __init__(self, config: PreferenceRewardConfig, tokenizer=None):
        super().__init__(config)
        vision = config.vision_config
        self.vision_model = BlipVisionModel(vision)
        if config.stem_widths:
            channels = 6 if config.residual_gain else 3
            stem = build_stem(config.stem_widths, vision.hidden_size, vision.patch_size, channels)
            self.vision_model.embeddings.patch_embedding = stem
        self.text_model = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.mlp = build_mlp(config)
        self.tokenizer = tokenizer
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initial weights of the MLP, which keep the size of what passes; the towers see to their own."""
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            initialization.normal_(module.weight, std=module.in_features**-0.5)

    @property
    def size(self) -> int:
        """Pixels a side of the square that images are fitted to."""
        return self.config.vision_config.image_size

    def forward(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Scores of images with prompts, differentiable to the pixels.

        image (B, 3, H, W) in [-1, 1], input_ids and attention_mask (B, L) as `tokenize` gives them -> (B,) float32.
        With (kB, L), k prompts for each image, prompt n is scored with image n mod B, and each image is looked at once.
        """
        if len(input_ids) % len(image):
            raise ValueError(f"{len(image)} images came with {len(input_ids)} prompts; give one prompt for each image.")
        return self.weigh(self.see(image), input_ids, attention_mask)

    def weigh(self, seen: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """`forward` of images that `see` has seen: (B, N, Dv), and prompts (kB, L) -> (kB,) float32."""
        every = seen.repeat(len(input_ids) // len(seen), 1, 1)  # (kB, N, Dv)
        words = self.text_model(input_ids, attention_mask=attention_mask, encoder_hidden_states=every, is_decoder=False)
        raw = self.mlp(words.last_hidden_state[:, 0]).squeeze(-1).float()  # (kB,), of the first token
        return (raw - self.config.score_mean) / self.config.score_std

    def see(self, image: Tensor) -> Tensor:
        """What the vision tower makes of images: (B, 3, H, W) in [-1, 1] -> (B, N, Dv), the first for the whole."""
        return self.vision_model(self.pixels(image)).last_hidden_state

    def features(self, image: Tensor) -> list[Tensor]:
        """What each layer of the vision tower makes of images: (B, 3, H, W) in [-1, 1] -> (B, N, Dv) each."""
        return list(self.vision_model(self.pixels(image), output_hidden_states=True).hidden_states[1:])

    def pixels(self, image: Tensor) -> Tensor:
        """What the vision tower gets of images: (B, 3, H, W) in [-1, 1] -> (B, C, S, S), fitted and normalised."""
        fitted = resize_and_crop(image, self.size)
        pixels = normalize(fitted, self.config.image_mean, self.config.image_std)
        if self.config.residual_gain:
            pixels = torch.cat([pixels, residual(fitted, self.config.residual_gain)], dim=1)
        return pixels.to(self.dtype)

    def tokenize(self, prompt: list[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (B, L) of B prompts, cut off at the config's `max_length`."""
        if self.tokenizer is None:
            raise ValueError("This reward has no tokenizer; load it with from_pretrained, or set its `tokenizer`.")
        options = {"padding": True, "truncation": True, "max_length": self.config.max_length}
        tokens = self.tokenizer(prompt, return_tensors="pt", **options).to(self.device)
        return {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}

    def rate(self, image: Tensor, prompt: list[str]) -> Tensor:
        """`forward` with prompts as words: (B, 3, H, W) in [-1, 1] and B strings -> (B,), with gradient."""
        return self(image, **self.tokenize(prompt))

    def score(self, images: Sequence, prompts: Sequence[str], batch_size: int = 16) -> list[float]:
        """Scores of PIL images, of any sizes, with a prompt for each; without gradient and dropout.

        Raises:
            ValueError: there is not one prompt for each image.
        """
        return score(self, images, prompts, batch_size)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *args, **kwargs) -> "PreferenceReward":
        """A reward and its tokenizer from a folder or the hub, as `PreTrainedModel.from_pretrained`; float32 unless
        `dtype` says otherwise, whatever the file holds.
        """
        if kwargs.keys().isdisjoint({"dtype", "torch_dtype"}):
            kwargs["dtype"] = torch.float32
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # a tuple with output_loading_info=True
        where = {name: kwargs[name] for name in LOADING if name in kwargs}
        vocab_size = model.config.text_config.vocab_size
        model.tokenizer = fitting_tokenizer(pretrained_model_name_or_path, vocab_size, **where)
        return loaded

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Write weights, config and tokenizer into a folder, as `PreTrainedModel.save_pretrained`.

        Raises:
            ValueError: the reward has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("This reward has no tokenizer to save; set its `tokenizer` first.")
        if kwargs.get("is_main_process", True):
            self.tokenizer.save_pretrained(save_directory, **{name: kwargs[name] for name in SAVING if name in kwargs})
        super().save_pretrained(save_directory, **kwargs)


def build_mlp(config: PreferenceRewardConfig) -> nn.Sequential:
    """The head, (..., D) -> (..., 1): linear layers with activation, if any, and dropout."""
    widths = [config.text_config.hidden_size, *config.mlp_widths]
    layers = []
    for wide, narrow in pairwise(widths):
        activation = [ACT2FN[config.mlp_activation]] if config.mlp_activation else []
        layers += [nn.Linear(wide, narrow), *activation, nn.Dropout(config.mlp_dropout)]
    return nn.Sequential(*layers[:-1], nn.Linear(widths[-1], 1))


AutoConfig.register(PreferenceRewardConfig.model_type, PreferenceRewardConfig, exist_ok=True)
AutoModel.register(PreferenceRewardConfig, PreferenceReward, exist_ok=True)
