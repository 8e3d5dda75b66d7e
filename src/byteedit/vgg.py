"""VGG16's features, differentiable to the pixels: what L_vgg and LPIPS compare. Its classifier is left out.

Source: Simonyan and Zisserman (arXiv 1409.1556); the weights are torchvision's, as timm publishes them.
"""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor, nn

from byteedit.image import normalize

__all__ = ["VGG16", "VGGFeatures"]

VGG16 = "timm/vgg16.tv_in1k"
"""The hub's name of the published weights."""
WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)  # M halves the sides
LAYERS = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}
PERCEPTUAL = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # of Johnson et al. (arXiv 1603.08155)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """Outputs of some layers of VGG16, at the image's own size.

    layers: names of `LAYERS`, in their order; those of the perceptual loss, unless said otherwise.
    """

    def __init__(self, layers: Sequence[str] = PERCEPTUAL):
        super().__init__()
        self.taken = [LAYERS[name] for name in layers]
        modules, channels = [], 3
        for width in WIDTHS:
            if width == "M":
                modules.append(nn.MaxPool2d(2))
            else:
                modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*modules[: self.taken[-1] + 1]).requires_grad_(False).eval()

    @classmethod
    def from_pretrained(cls, name: str = VGG16, layers: Sequence[str] = PERCEPTUAL) -> "VGGFeatures":
        """Published weights: a folder or hub name with a model.safetensors of VGG16; later layers are left out.

        Raises:
            ValueError: the folder has no such file, or the weights are no VGG16's.
        """
        local = Path(name) / "model.safetensors"
        if local.parent.is_dir() and not local.is_file():
            raise ValueError(f"{name} has no model.safetensors; name a folder or a hub name, owner/name, of a VGG16.")
        weights = load_file(local if local.is_file() else hf_hub_download(name, "model.safetensors"))
        model = cls(layers)
        known = model.state_dict()
        if missing := sorted(set(known) - set(weights)):
            raise ValueError(f"{name} lacks {missing[0]}; it is no VGG16 in torchvision's layout.")
        model.load_state_dict({key: weights[key] for key in known})
        return model

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> of relu1_2 (B, 64, H, W), of relu2_2 (B, 128, H/2, W/2), and so on."""
        x, found = normalize(image, IMAGENET_MEAN, IMAGENET_STD), []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taken:
                found.append(x)
        return found
