"""What is watched in a phase chooses the weights of both its models."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from byteedit.training.run import train_fast
from test_phases import discriminator_of, settings_for
from toy_training import fresh  # noqa: F401


@pytest.fixture
def settings(pipe, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return settings_for(pipe, tokenizer, tmp_path)


def test_the_discriminator_of_the_best_step_is_written(settings):
    gold = iter([0.25, 0.75, 0.5, 0.75])  # before the first step, after each, and in the end
    settings = replace(settings, phases=(), watch="gold", validate_every=1)
    assert train_fast(settings, lambda pipe: {"gold": next(gold)}) == {"gold": 0.75}
    written, best = discriminator_of(settings.output), load_file(settings.output / "best-00000001.safetensors")
    kept = {name.removeprefix("discriminator/"): best[name] for name in best if name.startswith("discriminator/")}
    assert kept.keys() == written.keys()
    assert all(torch.equal(written[name], value) for name, value in kept.items())
    last = load_file(settings.output / "checkpoints" / "step-00000002" / "model_1.safetensors")
    assert not torch.equal(last["head.0.weight"], written["head.0.weight"])
