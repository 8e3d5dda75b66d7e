import numpy as np
import pytest
import torch

from byteedit.training.augment import Augmentation, moved


def test_a_move_reflects_the_edge():
    row = torch.arange(5.0).view(1, 1, 5)
    assert moved(row, 0, 2).flatten().tolist() == [2, 1, 0, 1, 2]
    assert moved(row, 0, -2).flatten().tolist() == [2, 3, 4, 3, 2]
    assert moved(row.mT, -1, 0).flatten().tolist() == [1, 2, 3, 4, 3]
    assert moved(row, 0, 4).flatten().tolist() == [4, 3, 2, 1, 0]


def pictures():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(3, 12, 16, generator=generator) * 1.6 - 0.8 for name in ("chosen", "rejected")}


@pytest.mark.parametrize("how", [{"mirror": 1.0}, {"shift": 5}, {"tint": 0.05}, {"mirror": 0.5, "shift": 99}])
def test_all_pictures_and_maps_are_changed_alike_and_each_time_anew(how):
    images = dict.fromkeys(("chosen", "rejected"), pictures()["chosen"])
    maps = {"real": images["chosen"][:1] * 1}
    found = [Augmentation(**how)(images, maps, None, np.random.default_rng(seed)) for seed in range(8)]
    for row in found:
        assert torch.equal(row["chosen"], row["rejected"]) and row["real"].shape == (1, 12, 16)
        assert "tint" in how or torch.equal(row["real"], row["chosen"][:1])
    assert len({float((row["chosen"] * torch.arange(16)).sum()) for row in found}) > (
        0 if how == {"mirror": 1.0} else 1
    )


def test_without_settings_nothing_changes():
    images = pictures()
    found = Augmentation()(images, {}, None, np.random.default_rng(0))
    assert all(torch.equal(found[name], image) for name, image in images.items())


def test_what_was_generated_at_a_border_stays_there():
    generated = torch.zeros(12, 16, dtype=torch.bool)
    generated[2:5, :6] = True  # at the left border: moved up and down only
    marks = {"mark": generated.float()[None]}
    for seed in range(20):
        found = Augmentation(shift=8)({}, marks, generated, np.random.default_rng(seed))["mark"][0] > 0
        assert found.any(0).nonzero().flatten()[:6].tolist() == list(range(6))
        assert found.sum() >= generated.sum()


def test_a_tint_stays_small_and_in_range():
    images = pictures()
    for seed in range(20):
        found = Augmentation(tint=0.05)(images, {}, None, np.random.default_rng(seed))
        for name, image in images.items():
            assert found[name].abs().max() <= 1
            assert 0 < (found[name] - image).abs().max() <= 0.1 * (1 + image.abs().max()) + 1e-6


@pytest.mark.parametrize(
    ("wrong", "words"), [({"mirror": 2}, "a share in"), ({"shift": -1}, "0 or"), ({"tint": -0.1}, "0 or")]
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; give {words}"):
        Augmentation(**wrong)
