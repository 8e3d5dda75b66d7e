"""Consistency distillation, the rival: its formulas beside diffusers' scheduler, its target, and a tiny run."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from byteedit.diffusion import Condition
from byteedit.training.settings import read
from test_compare import write
from toy_training import fresh  # noqa: F401

EXAMPLE = Path(__file__).parent.parent / "examples" / "picturebook" / "train_lcm.py"
CONFIGS = EXAMPLE.parents[1] / "configs" / "picturebook"
SCHEDULE = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
SCHEDULE |= {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}  # as the checkpoint says them


@pytest.fixture
def lcm(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    spec = importlib.util.spec_from_file_location("train_lcm", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_lcm", module)
    spec.loader.exec_module(module)
    return module


def settings_of(lcm, folder, **changes):
    values = {"base": str(folder / "base"), "tuned": str(folder / "boost"), "data": "picturebook"}
    tiny = {"output": folder / "run", "rank": 2, "size": 32, "steps": 2, "batch_size": 2, "lr": 1e-2}
    return lcm.LcmSettings(**values | tiny | changes)


def stage(lcm, folder, teacher):
    return lcm.Consistency(
        teacher, None, lambda words: torch.zeros(len(words), 3, 2), SCHEDULER, settings_of(lcm, folder)
    )


SCHEDULER = DDIMScheduler(set_alpha_to_one=True, clip_sample=False, **SCHEDULE)


class Constant(torch.nn.Module):
    """Says v, or with a prompt twice as much."""

    def __init__(self, v):
        super().__init__()
        self.v = v

    def forward(self, sample, t, encoder_hidden_states, return_dict):
        asked = encoder_hidden_states.flatten(1).any(1).view(-1, 1, 1, 1)
        return (self.v[: len(sample)].repeat(len(sample) // len(self.v), 1, 1, 1) * (1 + asked.float()),)


def test_the_answer_is_the_schedulers(lcm, tmp_path):
    torch.manual_seed(0)
    v, noisy = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    condition = Condition(torch.zeros(1, 3, 2), torch.ones(1, 1, 2, 2), torch.zeros(1, 4, 2, 2))
    scheduler = LCMScheduler.from_config(SCHEDULER.config)
    for t in (999, 519, 19):
        scheduler.set_timesteps(50)
        expected = scheduler.step(v, torch.tensor(t), noisy).denoised
        answer = stage(lcm, tmp_path, None).answer(Constant(v), noisy, torch.tensor([t]), condition)
        torch.testing.assert_close(answer, expected)


def test_the_teacher_follows_its_guidance_by_ddim(lcm, tmp_path):
    torch.manual_seed(0)
    v, noisy = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    condition = Condition(torch.ones(1, 3, 2), torch.ones(1, 1, 2, 2), torch.zeros(1, 4, 2, 2))
    found = stage(lcm, tmp_path, Constant(v)).follow(noisy, torch.tensor([999]), torch.tensor([979]), condition)
    SCHEDULER.set_timesteps(50)
    assert SCHEDULER.timesteps[:2].tolist() == [999, 979]
    expected = SCHEDULER.step(v + 2.5 * (2 * v - v), 999, noisy).prev_sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_at_the_last_step_the_answer_is_what_is_seen(lcm):
    skip, out = lcm.scalings(torch.tensor([0, 999]))
    assert skip.flatten().tolist() == pytest.approx([1, 0], abs=1e-5)
    assert out.flatten().tolist() == pytest.approx([0, 1], abs=1e-5)


def test_a_run_trains_the_boosts_lora_and_writes_it(lcm, pipe, tmp_path):
    pipe.scheduler = DDIMScheduler.from_config(SCHEDULER.config)
    pipe.save_pretrained(tmp_path / "base")
    write(tmp_path / "boost", 0)
    lcm.main(settings_of(lcm, tmp_path))
    pipe.load_lora_weights(tmp_path / "run" / "lora")
    moved = [value for name, value in pipe.unet.named_parameters() if "lora_B" in name]
    assert moved and all(value.abs().sum() > 0 for value in moved)


def test_what_it_would_not_do_is_refused(lcm, tmp_path):
    for asked in ({"held_out": "picturebook"}, {"push": "me/mine"}):
        with pytest.raises(ValueError, match="neither measured nor uploaded here; leave held_out and push empty"):
            settings_of(lcm, tmp_path, **asked)


def test_it_takes_the_data_layers_and_updates_of_the_acceleration(lcm):
    import yaml

    ours = read(lcm.LcmSettings, CONFIGS / "lcm.yaml")
    fast = yaml.safe_load((CONFIGS / "fast.yaml").read_text())
    for name in ("base", "data", "rank", "batch_size", "half"):
        assert getattr(ours, name) == fast[name]
    assert list(ours.targets) == fast["targets"]
    assert ours.steps == sum(phase.get("steps", fast["steps"]) for phase in fast["phases"])
