"""Measuring leaves a training as it was: models learn on in train mode, and draw what they would have drawn."""

import torch

from toy_training import equal, fresh, lines, run, settings_for, squared  # noqa: F401


def test_after_measuring_models_are_in_train_mode_again(tmp_path):
    modes = []

    def loss(model, batch):
        modes.append(model.training)
        return squared(model, batch)

    run(settings_for(tmp_path, steps=6, validate_every=2), loss=loss, validate=lambda model: {"mark": 0.5})
    assert modes == [True] * 6


def test_what_training_draws_does_not_depend_on_how_often_is_measured(tmp_path):
    """Dropout and measures draw from the same generator."""
    seldom, often = (settings_for(tmp_path / str(every), steps=8, validate_every=every) for every in (0, 2))
    kept = [run(one, validate=lambda model: {"mark": torch.rand(()).item()}) for one in (seldom, often)]
    assert equal(*kept)
    assert [len([line for line in lines(one, "validation/mark") if line]) for one in (seldom, often)] == [1, 4]
