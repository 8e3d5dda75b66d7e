"""VGG16's features from a file in the published layout, and LPIPS on them beside its formula written out."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from byteedit.evaluation.scores.opening import open_score
from byteedit.evaluation.scores.perceptual import LPIPS
from byteedit.vgg import LAYERS, VGGFeatures
from toy_scores import edit


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


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with random weights of VGG16 in the published layout."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vgg")
    save_file(VGGFeatures(tuple(LAYERS)).state_dict(), folder / "model.safetensors")
    return str(folder)


def test_lpips_is_its_formula(weights):
    """Eq. 1 of the paper, place by place: channels of unit length, weighed squares, summed over layers."""
    model = LPIPS.from_pretrained(weights)
    torch.manual_seed(1)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    total = 0.0
    for x, y, head in zip(model.features(a), model.features(b), model.heads, strict=True):
        sums = []
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                u, v = x[0, :, i, j], y[0, :, i, j]
                sums.append(float((head * (u / u.norm() - v / v.norm()) ** 2).sum()))
        total += np.mean(sums)
    assert [len(head) for head in model.heads] == [64, 128, 256, 512, 512]
    np.testing.assert_allclose(float(model(a, b).mean()), total, rtol=1e-3)
    assert float(model(a, a).abs().max()) == 0


def test_lpips_looks_where_it_is_told(weights):
    """Outside the mask to the picture, inside to the right answer; what is changed in one place counts there only."""
    page = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[40:, 40:] = 255
    inside = page.copy()
    inside[56:, 56:] = 0
    found = open_score(f"lpips:{weights}").measure([edit(page, mask, page)] * 2, [page, inside])
    assert found[0] == {"lpips.unmasked": 0.0, "lpips.masked": 0.0}
    assert found[1]["lpips.masked"] > 5 * found[1]["lpips.unmasked"]
    assert set(open_score(f"lpips:{weights}").measure([edit(page, mask)], [page])[0]) == {"lpips.unmasked"}


def test_lpips_says_what_it_lacks(weights, monkeypatch):
    monkeypatch.setattr("byteedit.evaluation.scores.perceptual.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="LPIPS takes its weights from torchmetrics; pip install"):
        open_score(f"lpips:{weights}")
