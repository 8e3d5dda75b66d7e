"""Guidance that a model takes in from pictures; and stages that go on from what an earlier one wrote."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from byteedit import ByteEditInpaintPipeline
from byteedit.diffusion import signal_and_noise
from byteedit.training.adapters import FILE
from byteedit.training.base import open_base
from byteedit.training.run import train_inpaint
from byteedit.training.sft import less_of_the_prompt, target
from conftest import build_unet
from test_training_sft import KINDS, rows, run, settings_for, stage_of, three_rows, unet_of, words
from toy_training import fresh  # noqa: F401


@pytest.fixture
def base(pipe, tmp_path):
    """The folder of a tiny pipeline."""
    pipe.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def test_what_learns_with_less_of_the_prompt_is_right_where_it_is_guided():
    true, plain, scale = rows(3, 4, 8, 8), rows(3, 4, 8, 8, seed=1), torch.tensor([1.0, 1.5, 4.0])
    guided = plain + scale.view(3, 1, 1, 1) * (true - plain)  # classifier-free guidance
    torch.testing.assert_close(less_of_the_prompt(guided, plain, scale), true)
    torch.testing.assert_close(guided[0], true[0])  # which a row of scale 1 learns as ever


@KINDS
def test_guidance_is_absorbed_where_there_is_a_prompt_and_the_answer_without_stays(kind):
    stage, unet, batch = stage_of(kind, absorbed_guidance=2.0), build_unet(), three_rows()
    asked = []
    unet.register_forward_hook(lambda unet, args, kwargs, out: asked.append((kwargs, out[0])), with_kwargs=True)
    loss = stage.loss(unet, batch)["loss"]
    (ours, answer), (theirs, plain) = asked
    assert torch.equal(ours["encoder_hidden_states"], words(batch["prompt"]))
    assert torch.equal(theirs["encoder_hidden_states"], words(["", "", ""]))
    assert not plain.requires_grad
    answers = []
    for row, scale in enumerate([2, 1, 2]):  # the prompts are "a", "", "bb"
        answers.append(plain[row] + (answer[row] - plain[row]) / scale)
    assert torch.equal(answers[1], answer[1])
    x0, _ = stage.begin(batch)
    t = stage.timestep(batch["time"])
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in signal_and_noise(stage.scheduler, t))
    error = (torch.stack(answers) - target(kind, x0, batch["noise"], alpha, sigma)).square()
    torch.testing.assert_close(loss, error.mean(), rtol=1e-4, atol=1e-6)


def test_a_lora_goes_on_and_recommends_no_guidance_where_it_absorbed_some(base, tmp_path):
    first = settings_for(tmp_path / "first", base=base, rank=2)
    run(first)
    again = replace(first, output=tmp_path / "again", tuned=str(first.written), absorbed_guidance=2.0, lr=1e-9)
    run(again)
    before, after = (load_file(settings.written / FILE) for settings in (first, again))
    assert before.keys() == after.keys() and any(
        value.abs().sum() for name, value in before.items() if "lora_B" in name
    )
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in before.items())
    pipe = ByteEditInpaintPipeline.from_pretrained(base)
    guidance = pipe.schedule.guidance_scale
    pipe.load_lora_weights(first.written)
    assert pipe.schedule.guidance_scale == guidance > 1
    pipe.load_lora_weights(again.written, adapter_name="again")
    assert pipe.schedule.guidance_scale == 1
    with pytest.raises(ValueError, match="rank 2, alpha 2"):
        open_base(replace(again, rank=4))


def test_all_weights_go_on_from_those_that_were_written(base, tmp_path):
    first = settings_for(tmp_path / "first", base=base)
    run(first)
    tuned = open_base(replace(first, tuned=str(first.written))).unet.state_dict()
    assert all(torch.equal(tuned[name], value) for name, value in unet_of(first.output).state_dict().items())
    assert replace(first, tuned="earlier/unet").start == f"{base}, with earlier/unet"


def test_what_is_to_go_on_must_be_there(base, tmp_path):
    with pytest.raises(ValueError, match="nowhere/lora, and nothing is there; run the stage that writes it"):
        open_base(settings_for(tmp_path / "run", base=base, tuned=str(tmp_path / "nowhere/lora")))


def test_guidance_below_none_is_refused():
    with pytest.raises(ValueError, match="absorbed_guidance is -2; give a number from 1"):
        settings_for("run", absorbed_guidance=-2)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_card_says_which_guidance_was_taken_in(base, tmp_path, monkeypatch, rank):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    settings = settings_for(tmp_path / "run", base=base, rank=rank, absorbed_guidance=2.5, steps=1)
    train_inpaint(settings)
    assert "taken guidance of 2.5 in: ask for none, `guidance_scale=1`." in (settings.written / "README.md").read_text()
