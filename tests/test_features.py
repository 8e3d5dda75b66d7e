"""L_vgg's features from a reward's own tower."""

import torch

from byteedit.training.features import TowerFeatures
from toy_rewards import preference


def test_a_rewards_tower_gives_its_layers(tokenizer):
    reward = preference(tokenizer)
    features = TowerFeatures(reward)
    image = torch.rand(2, 3, 40, 30, requires_grad=True)
    found = features(image)
    assert len(found) == reward.config.vision_config.num_hidden_layers
    assert found[0].shape[2] == reward.config.vision_config.hidden_size
    assert not torch.equal(features(image.detach() * 0.5)[-1], found[-1])
    found[-1].sum().backward()
    assert image.grad.abs().sum() > 0


def test_a_tower_that_sees_what_is_left_gets_it_here_too(tokenizer):
    """With a `residual_gain`, twice the channels go in; the last state is then the one that the reward itself reads."""
    reward = preference(tokenizer, stem_widths=(8, 16, 16), residual_gain=16.0)
    image = torch.rand(2, 3, 40, 30) * 2 - 1
    assert reward.pixels(image).shape[1] == 6
    last = reward.vision_model.post_layernorm(TowerFeatures(reward)(image)[-1])
    torch.testing.assert_close(last, reward.see(image))
