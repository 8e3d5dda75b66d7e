"""L_vgg's features: the right layers of VGG16 from a file in the published layout, or a reward's own tower."""

import pytest
import torch
from safetensors.torch import save_file

from byteedit.training.features import TowerFeatures, VGGFeatures
from toy_rewards import preference


def test_vgg_gives_the_four_layers_of_the_paper():
    features = VGGFeatures()
    image = torch.rand(2, 3, 32, 48, requires_grad=True)
    found = features(image)
    assert [tuple(layer.shape) for layer in found] == [
        (2, 64, 32, 48), (2, 128, 16, 24), (2, 256, 8, 12), (2, 512, 4, 6)
    ]  # fmt: skip
    assert all(layer.min() == 0 for layer in found), "taken after the activation"
    sum(layer.sum() for layer in found).backward()
    assert image.grad.abs().sum() > 0
    assert not any(value.requires_grad for value in features.parameters())


def test_published_weights_open(tmp_path):
    """Names as in torchvision and timm, with the classifier and the last block, which are not used."""
    torch.manual_seed(0)
    weights = VGGFeatures().state_dict()
    extra = {"features.24.weight": torch.zeros(1), "head.fc.weight": torch.zeros(1)}
    save_file(weights | extra, tmp_path / "model.safetensors")
    opened = VGGFeatures.from_pretrained(str(tmp_path))
    image = torch.rand(1, 3, 16, 16)
    twin = torch.relu(
        torch.nn.functional.conv2d(
            (image / 2 + 0.5 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
            / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
            weights["features.0.weight"], weights["features.0.bias"], padding=1,
        )
    )  # fmt: skip
    twin = torch.relu(
        torch.nn.functional.conv2d(twin, weights["features.2.weight"], weights["features.2.bias"], padding=1)
    )
    torch.testing.assert_close(opened(image)[0], twin)
    del weights["features.0.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks features\.0\.bias; it is no VGG16"):
        VGGFeatures.from_pretrained(str(tmp_path))


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
