"""CLIPScore and BLIPScore: how well a picture fits words, by CLIP's cosine, and by BLIP's match and cosine.

CLIPScore is written in three ways: the plain cosine, 100 times it, and 2.5 max(cosine, 0); 0.329 is a close fit as
a cosine, and next to none as the last. BLIP's is the probability that its head for image-text matching gives,
and its cosine. Both models are transformers' own.
Sources: CLIPScore (arXiv 2104.08718); BLIP (arXiv 2201.12086), its blip_itm with pictures stretched to a square.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from torch import Tensor, nn
from transformers import BlipForImageTextRetrieval

from byteedit.image import normalize, resize, to_tensor
from byteedit.reading import read_pictures
from byteedit.rewards.pixels import CLIP_MEAN, CLIP_STD
from byteedit.rewards.scoring import evaluating
from byteedit.rewards.tokens import fitting_tokenizer

__all__ = ["BLIPScore", "clip_forms"]

LONGEST = 35  # tokens of a prompt, as in BLIP
WEIGHT = 2.5  # CLIPScore's w


def clip_forms(cosine: float) -> dict[str, float]:
    """CLIPScore in its three forms: `clip`, the cosine in [-1, 1]; `clip100`; `clip_w`, in [0, 2.5]."""
    return {"clip": cosine, "clip100": 100 * cosine, "clip_w": WEIGHT * max(cosine, 0.0)}


class BLIPScore(nn.Module):
    """How well images fit prompts, by transformers' `BlipForImageTextRetrieval`, which stays reachable as `model`."""

    def __init__(self, model: BlipForImageTextRetrieval, tokenizer):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    @classmethod
    def from_pretrained(cls, name: str, **kwargs) -> "BLIPScore":
        """From a folder or a hub name such as "Salesforce/blip-itm-large-coco"; in float32 unless `dtype` is given."""
        kwargs.setdefault("dtype", torch.float32)
        model = BlipForImageTextRetrieval.from_pretrained(name, **kwargs)
        return cls(model, fitting_tokenizer(name, model.config.text_config.vocab_size))

    @property
    def size(self) -> int:
        """Pixels a side that images are stretched to."""
        return self.model.config.vision_config.image_size

    def forward(self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """pixels (B, 3, S, S) normalised, input_ids and attention_mask (B, L) -> match in [0, 1] and cosine, (B,) each.

        As the model's own forward pass, which makes a tensor on the processor and a cosine of every pair.
        """
        model, words = self.model, {"input_ids": input_ids, "attention_mask": attention_mask}
        seen = model.vision_model(pixels.to(model.dtype)).last_hidden_state  # (B, N, Dv)
        together = model.text_encoder(**words, encoder_hidden_states=seen, is_decoder=False).last_hidden_state
        match = model.itm_head(together[:, 0]).float().softmax(-1)[:, 1]  # (B,)
        alone = model.text_encoder(**words, is_decoder=False).last_hidden_state  # (B, L, Dt)
        cosine = F.cosine_similarity(model.vision_proj(seen[:, 0]).float(), model.text_proj(alone[:, 0]).float())
        return match, cosine

    def score(self, images: Sequence, prompts: Sequence[str], batch_size: int = 16) -> list[dict[str, float]]:
        """`blip_itm`, the match, and `blip_itc`, the cosine, of PIL images of any sizes with a prompt for each."""
        found = []
        with evaluating(self):
            for first in range(0, len(images), batch_size):
                part = slice(first, first + batch_size)
                pixels = torch.stack([self._read(image) for image in images[part]]).to(self.model.device)
                options = {"padding": True, "truncation": True, "max_length": LONGEST, "return_tensors": "pt"}
                tokens = self.tokenizer(list(prompts[part]), **options).to(self.model.device)
                match, cosine = self(pixels, tokens.input_ids, tokens.attention_mask)
                pairs = zip(match.tolist(), cosine.tolist(), strict=True)
                found += [{"blip_itm": itm, "blip_itc": itc} for itm, itc in pairs]
        return found

    def _read(self, image) -> Tensor:  # (3, S, S)
        pixels = resize(read_pictures(image)[0].pixels, (self.size, self.size), Resampling.BICUBIC)
        return normalize(to_tensor(pixels[None]), CLIP_MEAN, CLIP_STD)[0]
