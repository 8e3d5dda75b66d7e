"""A reward's vision tower in VGG's place in L_vgg, where no published weights can be fetched; VGG16 is in `vgg`."""

from torch import Tensor, nn

from byteedit.rewards import PreferenceReward

__all__ = ["TowerFeatures"]


class TowerFeatures(nn.Module):
    """Hidden states of a reward's vision tower, after each of its layers."""

    def __init__(self, reward: PreferenceReward):
        super().__init__()
        self.reward = reward
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> (B, N, D) for each layer."""
        states = self.reward.vision_model(self.reward.pixels(image), output_hidden_states=True).hidden_states
        return list(states[1:])
