"""DPM-Solver++ where few steps are taken: in rollouts, in what they write, and in the pipeline that opens it."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from byteedit import ByteEditInpaintPipeline
from byteedit.diffusion import Condition, signal_and_noise
from byteedit.schedule import Schedule
from byteedit.training.base import training_scheduler
from byteedit.training.boost import spaced
from byteedit.training.pefl import approach
from conftest import build_unet
from test_boost import run, settings  # noqa: F401
from test_pefl import SCHEDULERS, rows
from test_schedule import FAST, lora_of, timesteps_of

SOLVED = replace(FAST, solver="dpm++")
QUICK = Schedule.trained(4, 3, "masked", "trailing")


# Rollouts


def answer_of(unet, x, t, condition):
    """The clean latents that a v-predicting UNet tells of one row."""
    alpha, sigma = signal_and_noise(SCHEDULERS["v_prediction"](), t)
    seen = torch.cat([x, condition.mask, condition.masked_latents], 1)
    return alpha * x - sigma * unet(seen, t, condition.text).sample, alpha, sigma


@torch.no_grad()
def walk(unet, x, times, until, condition):
    """DPM-Solver++ (2M) from its paper, arXiv 2211.01095, Algorithm 2: one row, to the step `until` from the end."""
    earlier = None
    for t, after in pairwise(times[: len(times) - until + 1]):
        answer, alpha, sigma = answer_of(unet, x, t, condition)
        far, noise = signal_and_noise(SCHEDULERS["v_prediction"](), after)
        step = (far / noise).log() - (alpha.clamp_min(2**-12) / sigma).log()
        mixed = answer
        if earlier is not None:
            known, before = earlier
            mixed = answer + step / before * (answer - known) / 2
        x = noise / sigma * x - far * torch.expm1(-step) * mixed
        earlier = answer, step
    return x


def test_rows_come_to_their_points_by_the_papers_formula_though_others_leave_before():
    unet, scheduler = build_unet(), training_scheduler(SCHEDULERS["v_prediction"](), "dpm++")
    scheduler.set_timesteps(8)
    times, points = scheduler.timesteps, torch.tensor([[6], [3], [1], [8]])
    condition = Condition(rows(4, 16, 16), torch.ones(4, 1, 8, 8), rows(4, 4, 8, 8, seed=1))
    begun = rows(4, 4, 8, 8, seed=2)
    found, steps, of = approach(unet, scheduler, condition, begun, times, points)
    assert steps.tolist() == [8, 6, 3, 1] and of.tolist() == [3, 0, 1, 2]
    for latents, step, row in zip(found, steps, of, strict=True):
        one = slice(row, row + 1)
        there = walk(unet, begun[one], times, int(step), condition.rows(torch.tensor([int(row)])))
        torch.testing.assert_close(latents[None], there, rtol=1e-3, atol=1e-3)


def test_rollouts_have_ddim_where_no_solver_is_named():
    own = DPMSolverMultistepScheduler(thresholding=True, timestep_spacing="trailing")
    assert isinstance(training_scheduler(own), DDIMScheduler)
    solver = training_scheduler(own, "dpm++")
    assert isinstance(solver, DPMSolverMultistepScheduler) and not solver.config.thresholding
    solver.set_timesteps(8)
    ddim = training_scheduler(own)
    ddim.set_timesteps(8)
    assert torch.equal(solver.timesteps, ddim.timesteps)


def test_a_lora_recommends_the_solver_that_it_was_trained_with(settings):  # noqa: F811
    _, tuned = run(replace(settings, solver="dpm++"))
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    before = opened.schedule
    opened.load_lora_weights(settings.written)
    assert before.solver is None and opened.schedule == tuned.schedule == replace(before, solver="dpm++")
    assert isinstance(opened.scheduler, DPMSolverMultistepScheduler)


def test_a_flow_has_none(pipe, settings):  # noqa: F811
    pipe.scheduler = SCHEDULERS["flow"]()
    with pytest.raises(ValueError, match=r"solver is dpm\+\+, which is not for flow matching"):
        spaced(pipe, replace(settings, solver="dpm++"), FAST)


# The pipeline


def test_loading_sets_the_solver_and_unloading_sets_it_back(pipe, tmp_path, scene):
    own, scheduler = pipe.schedule, pipe.scheduler
    pipe.load_lora_weights(lora_of(tmp_path, SOLVED))
    assert pipe.schedule == SOLVED and isinstance(pipe.scheduler, DPMSolverMultistepScheduler)
    assert timesteps_of(pipe)(scene)[0] == [749, 624, 499, 374, 249, 124]
    pipe.unload_lora_weights()
    assert pipe.schedule == own and pipe.scheduler is scheduler


def test_a_scheduler_that_is_chosen_later_stays(pipe, tmp_path):
    own = pipe.schedule
    pipe.load_lora_weights(lora_of(tmp_path, SOLVED))
    chosen = pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    assert pipe.schedule == FAST
    pipe.unload_lora_weights()
    assert isinstance(pipe.scheduler, EulerDiscreteScheduler) and chosen.config.timestep_spacing == "trailing"
    assert pipe.schedule == own


def test_a_later_lora_without_a_solver_has_the_one_from_before(pipe, tmp_path):
    own, scheduler = pipe.schedule, pipe.scheduler
    pipe.load_lora_weights(lora_of(tmp_path / "fast", SOLVED), "fast")
    pipe.load_lora_weights(lora_of(tmp_path / "quick", QUICK), "quick")
    assert pipe.schedule == QUICK and type(pipe.scheduler) is type(scheduler)
    pipe.unload_lora_weights()
    assert pipe.schedule == own and pipe.scheduler is scheduler


def test_what_is_fused_and_saved_keeps_its_solver(pipe, tmp_path):
    pipe.load_lora_weights(lora_of(tmp_path / "fast", SOLVED))
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path / "whole")
    opened = ByteEditInpaintPipeline.from_pretrained(tmp_path / "whole")
    assert opened.schedule == SOLVED and isinstance(opened.scheduler, DPMSolverMultistepScheduler)


def test_loras_of_before_name_no_solver_and_are_read():
    said = FAST.to_lora()
    assert said.pop("schedule.solver") is None
    assert Schedule.of_lora(said) == FAST
