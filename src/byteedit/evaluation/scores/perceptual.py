"""LPIPS: how far two pictures are apart to people, by what VGG16 sees of them; as a map, so that a mask can choose.

The weights of the layers are the authors', version 0.1, as torchmetrics ships them. torchmetrics' own metric is not
used: it needs torchvision, and gives a mean over the whole picture.
Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (arXiv 1801.03924).
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from byteedit.vgg import LAYERS, VGG16, VGGFeatures

__all__ = ["LPIPS"]

HEADS = "functional/image/lpips_models/vgg.pth"


class LPIPS(nn.Module):
    """A distance of pictures, 0 for the same.

    features: VGG16 with all of `LAYERS`. heads: the weight of each channel, (C,) for each layer.
    """

    def __init__(self, features: VGGFeatures, heads: list[Tensor]):
        super().__init__()
        self.features = features
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)

    @classmethod
    def from_pretrained(cls, name: str = VGG16) -> "LPIPS":
        """Published weights; `name` is where VGG16's are, a folder or a hub name.

        Raises:
            ValueError: torchmetrics is not installed, or there is no VGG16.
        """
        package = find_spec("torchmetrics")
        if package is None:
            raise ValueError('LPIPS takes its weights from torchmetrics; pip install "byteedit[eval]".')
        weights = torch.load(Path(package.origin).parent / HEADS, map_location="cpu", weights_only=True)
        heads = [weights[f"lin{n}.model.1.weight"].flatten() for n in range(len(LAYERS))]
        return cls(VGGFeatures.from_pretrained(name, tuple(LAYERS)), heads)

    @torch.no_grad()
    def forward(self, image: Tensor, truth: Tensor) -> Tensor:
        """The distance at each pixel: (B, 3, H, W) in [-1, 1] twice -> (B, H, W); its mean is the published LPIPS."""
        apart = 0
        for a, b, head in zip(self.features(image), self.features(truth), self.heads, strict=True):
            weighed = (head[:, None, None] * (_unit(a) - _unit(b)) ** 2).sum(1, keepdim=True)  # (B, 1, h, w)
            apart = apart + F.interpolate(weighed, image.shape[-2:], mode="bilinear")
        return apart.squeeze(1)


def _unit(features: Tensor) -> Tensor:
    """Each place's channels as a vector of length 1."""
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()
