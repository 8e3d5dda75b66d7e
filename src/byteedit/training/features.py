"""What L_vgg compares: outputs of some layers of a network that is not trained, differentiable to the pixels.

VGG16 as the paper has it, or the vision tower of a reward of our own where no published weights can be fetched.
Source: the perceptual loss of Johnson et al. (arXiv 1603.08155); the weights are torchvision's, as timm publishes them.
"""

from pathlib import Path

from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor, nn

from byteedit.rewards import PreferenceReward
from byteedit.rewards.pixels import normalize

__all__ = ["TowerFeatures", "VGGFeatures"]

WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512)  # VGG16 up to conv4_3; M halves the sides
LAYERS = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of VGG16, at the image's own size."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width in WIDTHS:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers).requires_grad_(False).eval()

    @classmethod
    def from_pretrained(cls, name: str = "timm/vgg16.tv_in1k") -> "VGGFeatures":
        """Published weights: a folder or hub name with a model.safetensors of VGG16; its later layers are left out."""
        local = Path(name) / "model.safetensors"
        weights = load_file(local if local.is_file() else hf_hub_download(name, "model.safetensors"))
        model = cls()
        known = model.state_dict()
        if missing := sorted(set(known) - set(weights)):
            raise ValueError(f"{name} lacks {missing[0]}; it is no VGG16 in torchvision's layout.")
        model.load_state_dict({key: weights[key] for key in known})
        return model

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> (B, 64, H, W), (B, 128, H/2, W/2), (B, 256, H/4, W/4), (B, 512, H/8, W/8)"""
        x, found = normalize(image, IMAGENET_MEAN, IMAGENET_STD), []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in LAYERS:
                found.append(x)
        return found


class TowerFeatures(nn.Module):
    """Hidden states of a reward's vision tower, after every `every`-th layer."""

    def __init__(self, reward: PreferenceReward, every: int = 1):
        super().__init__()
        self.reward, self.every = reward, every
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> (B, N, D) for each layer that is compared."""
        states = self.reward.vision_model(self.reward.pixels(image), output_hidden_states=True).hidden_states
        return list(states[self.every :: self.every])
