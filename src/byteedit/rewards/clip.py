"""`CLIPReward`: the cosine between a CLIP model's views of image and prompt; times its logit scale, PickScore.

A thin layer over transformers' CLIPModel, which stays reachable as `model`. Not trained here.
Source: CLIP (arXiv 2103.00020); PickScore (arXiv 2305.01569).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel

from byteedit.image import normalize
from byteedit.rewards.pixels import CLIP_MEAN, CLIP_STD, resize_and_crop
from byteedit.rewards.scoring import score
from byteedit.rewards.tokens import fitting_tokenizer

__all__ = ["CLIPReward"]

PICKSCORE = "yuvalkirstain/PickScore_v1"
PICKSCORE_TOKENIZER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


class CLIPReward(nn.Module):
    """How near image and prompt are in CLIP's space: in [-1, 1], or `scaled` by the model's logit scale.

    `rate` is a `Reward`; `score` takes PIL images.
    """

    def __init__(self, model: CLIPModel, tokenizer, *, scaled: bool = False):
        super().__init__()
        self.model, self.tokenizer, self.scaled = model, tokenizer, scaled

    @classmethod
    def from_pretrained(
        cls, name: str, *, tokenizer: str | None = None, scaled: bool = False, **kwargs
    ) -> "CLIPReward":
        """A reward from any CLIP checkpoint of transformers, such as "openai/clip-vit-large-patch14".

        Args:
            name: A folder or hub name.
            tokenizer: The same for the tokenizer, where it does not lie with the model.
            scaled: Multiply the cosine by the model's logit scale, as PickScore does.
            kwargs: Go to `CLIPModel.from_pretrained`; `dtype` is float32 unless given.

        Raises:
            ValueError: the tokenizer cannot be opened, or is another model's.
        """
        if kwargs.keys().isdisjoint({"dtype", "torch_dtype"}):
            kwargs["dtype"] = torch.float32
        model = CLIPModel.from_pretrained(name, **kwargs)
        words = fitting_tokenizer(tokenizer or name, model.config.text_config.vocab_size)
        return cls(model, words, scaled=scaled)

    @classmethod
    def pickscore(cls, name: str = PICKSCORE, *, tokenizer: str | None = None, **kwargs) -> "CLIPReward":
        """PickScore, as its authors published it, or from a folder; the arguments as in `from_pretrained`.

        Its weights were published without a tokenizer: where none lies in the folder, it is the one of the CLIP that
        they began as, from the hub.
        """
        own = any((Path(name) / file).is_file() for file in ("tokenizer.json", "vocab.json"))
        tokenizer = tokenizer or (name if own else PICKSCORE_TOKENIZER)
        return cls.from_pretrained(name, tokenizer=tokenizer, scaled=True, **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def size(self) -> int:
        """Pixels a side of the square that images are fitted to."""
        return self.model.config.vision_config.image_size

    def forward(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """image (B, 3, H, W) in [-1, 1], input_ids and attention_mask (B, L) -> (B,) float32, with gradient."""
        if len(image) != len(input_ids):
            raise ValueError(f"{len(image)} images came with {len(input_ids)} prompts; give one prompt for each image.")
        words = self.model.get_text_features(input_ids, attention_mask).pooler_output  # (B, D)
        cosine = F.cosine_similarity(self.see(image).float(), words.float())
        return cosine * self.model.logit_scale.float().exp() if self.scaled else cosine

    def see(self, image: Tensor) -> Tensor:
        """The embeddings of images alone, with gradient: (B, 3, H, W) in [-1, 1] -> (B, D), not normalised."""
        pixels = normalize(resize_and_crop(image, self.size), CLIP_MEAN, CLIP_STD)
        return self.model.get_image_features(pixels.to(self.model.dtype)).pooler_output

    def rate(self, image: Tensor, prompt: list[str]) -> Tensor:
        """`forward` with prompts as words: (B, 3, H, W) in [-1, 1] and B strings -> (B,), with gradient."""
        longest = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(prompt, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return self(image, tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device))

    def score(self, images: Sequence, prompts: Sequence[str], batch_size: int = 16) -> list[float]:
        """Scores of PIL images, of any sizes, with a prompt for each; without gradient and dropout.

        Raises:
            ValueError: there is not one prompt for each image.
        """
        return score(self, images, prompts, batch_size)
