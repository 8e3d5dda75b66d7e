"""What a LoRA by feedback learning recommends where that is chosen when it is learnt."""

from dataclasses import replace

import pytest

from byteedit import ByteEditInpaintPipeline
from byteedit.training import boost
from byteedit.training.adapters import read_lora
from byteedit.training.base import open_base
from byteedit.training.boost import open_rewards, spaced
from byteedit.training.loop import begin
from byteedit.training.run import train_pefl
from test_boost import lora_of, run, settings, watched  # noqa: F401
from toy_training import equal, lines, reset


def test_what_a_lora_recommends_can_be_chosen_when_it_is_learnt(settings):  # noqa: F811
    settings = replace(settings, held_out="picturebook:validation", held_out_rows=2, guidance_scale=1.5)
    measured = train_pefl(settings)
    learnt, losses = lora_of(settings), lines(settings, "pefl/loss")
    chosen = {"guidance_scale": 2.0, "guidance_end": 0.5, "noise_scale": 0.9}
    assert train_pefl(replace(settings, recommends=chosen)) == measured  # as before the first step, so comparable
    assert equal(lora_of(settings), learnt) and lines(settings, "pefl/loss") == losses  # nothing is learnt anew
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    before = opened.schedule
    opened.load_lora_weights(settings.written)
    assert opened.schedule == replace(before, **chosen)
    card = (settings.written / "README.md").read_text()
    assert "To be used with guidance 2 in the first 50 % of the steps (`guidance_end`); each step" in card
    assert "each step hands on 0.9 of its noise (`noise_scale`)." in card


def test_what_is_watched_hands_on_as_much_noise_as_rollouts(settings):  # noqa: F811
    settings = replace(settings, noise_scale=0.7)
    pipe = open_base(settings)
    assert pipe.schedule.num_inference_steps != settings.T
    watched = spaced(pipe, settings, pipe.schedule)
    assert watched.asked(num_inference_steps=settings.T).noise_scale == pytest.approx(0.7)


def test_a_card_promises_no_schedule_that_the_lora_lacks(settings):  # noqa: F811
    for own, carried in ({}, False), ({"guidance_scale": 1.5}, True):
        chosen = replace(settings, output=settings.output / str(carried), **own)
        train_pefl(chosen)
        assert ("To be used with" in (chosen.written / "README.md").read_text()) is carried
        assert any(name.startswith("schedule.") for name in read_lora(chosen.written)[1]) is carried


def test_what_is_neither_followed_nor_measured_is_not_opened(settings, caplog):  # noqa: F811
    idle = replace(settings, rewards={"pretty": 1, "alignment": 0}, validate_every=2)
    accelerator = begin(idle, cpu=True)
    assert set(open_rewards(accelerator, idle)) == {"pretty"}
    held_out = replace(idle, held_out="picturebook:validation")
    assert set(open_rewards(accelerator, held_out)) == {"pretty", "alignment"}
    train_pefl(idle)
    assert "validate_every is 2, but nothing is held out, so nothing is measured." in caplog.messages


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"recommends": {"steps": 4}},
            "recommends has steps; a LoRA recommends guidance_scale, guidance_end, noise_scale",
        ),
        ({"recommends": {"noise_scale": 0.0}}, "noise_scale is 0.0; give a number above 0"),
        ({"recommends": {"noise_scale": 0.9}, "rank": 0}, "recommends is what a LoRA recommends, and rank is 0"),
    ],
)
def test_it_recommends_nothing_else_and_whole_weights_nothing(settings, wrong, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        replace(settings, **wrong)


def test_what_is_held_out_is_watched_at_the_size_that_is_learnt(settings):  # noqa: F811
    settings = replace(settings, held_out="picturebook:validation", held_out_rows=2)
    seen = []
    pipe = open_base(settings)
    pipe.unet.register_forward_pre_hook(lambda unet, args: seen.append(args[0].shape[-2:]))
    boost.fit(begin(settings, cpu=True), pipe, settings)
    assert set(seen) == {(16, 16)} != {tuple(side // 2 for side in pipe.native_size())}


def test_whole_rollouts_draw_no_steps(settings):  # noqa: F811
    for drawn in ({"points": 2}, {"point_weights": (1.0, 2.0)}):
        with pytest.raises(ValueError, match="grad_steps is 4, so whole rollouts are judged and no step t' is drawn"):
            replace(settings, grad_steps=4, **drawn)


def test_a_reward_that_no_held_out_row_asks_is_said_before_the_first_step(settings):  # noqa: F811
    with pytest.raises(ValueError, match="No row that is held out has a prompt, without which pretty says nothing"):
        run(watched(settings, prompted=("pretty",), drop_prompt=1.0, mask_probs={"square": 1}))
    assert not (settings.output / "checkpoints").exists()


def test_a_schedule_that_is_not_gone_on_with_is_said(settings, caplog):  # noqa: F811
    run(replace(settings, recommends={"guidance_scale": 2.0, "noise_scale": 0.9}))
    reset()
    tuned = {"tuned": str(settings.output / "lora"), "output": settings.output.with_name("on")}
    for changes, said in (({"recommends": {"guidance_scale": 2.0}}, False), ({}, True)):
        caplog.clear()
        run(replace(settings, **tuned, **changes))
        reset()
        tuned["output"] = settings.output.with_name("again")
        assert ("is made for guidance 2 and noise 0.9, which is not gone on with" in caplog.text) is said


def test_a_folder_has_one_training_at_a_time_until_its_card_is_written(settings, monkeypatch):  # noqa: F811
    described = []

    def describe(*args):
        with pytest.raises(ValueError, match="another training is at work in"):
            train_pefl(settings)
        described.append(settings.written.is_dir())

    monkeypatch.setattr("byteedit.training.run.describe", describe)
    train_pefl(settings)
    assert described == [True]
    reset()
    train_pefl(replace(settings, steps=1))  # and afterwards it is free
    assert described == [True, True]
