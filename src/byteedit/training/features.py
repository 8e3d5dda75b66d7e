"""A reward's vision tower in VGG's place in L_vgg, where no published weights can be fetched; VGG16 is in `vgg`."""

import torch
from torch import Tensor, nn

from byteedit.rewards import PreferenceReward

__all__ = ["TowerFeatures"]


class TowerFeatures(nn.Module):
    """Hidden states of a reward's vision tower, after each of its layers; `lowered`: by autocast in bfloat16."""

    def __init__(self, reward: PreferenceReward, *, lowered: bool = False):
        super().__init__()
        self.reward, self.lowered = reward, lowered
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> (B, N, D) for each layer."""
        with torch.autocast(image.device.type, torch.bfloat16, self.lowered):
            states = self.reward.vision_model(self.reward.pixels(image), output_hidden_states=True).hidden_states
        return list(states[1:])
