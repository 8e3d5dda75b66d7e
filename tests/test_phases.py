"""Acceleration as a whole stage: phases hand on what they keep, stop and go on, and write what says how to use it."""

import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from byteedit import ByteEditInpaintPipeline
from byteedit.rewards import CoherenceReward
from byteedit.schedule import Schedule
from byteedit.training import phases
from byteedit.training.fast import Adversarial
from byteedit.training.phases import FastSettings, open_models
from byteedit.training.run import train_fast
from toy_rewards import coherence, preference
from toy_training import FORKS, equal, fresh, group, lines  # noqa: F401

SMALL = {"data": "picturebook", "size": 32, "T": 4, "T1": 3, "T2": 2, "steps": 2, "batch_size": 2, "lr": 1e-2}
SHORT, SHORTER = {"name": "short", "T": 8, "T1": 6, "T2": 3}, {"name": "shorter", "steps": 3, "lr_d": "2e-3"}


def settings_for(pipe, tokenizer, folder):
    """Settings of a tiny run: a LoRA, one reward, a discriminator, two phases."""
    pipe.save_pretrained(folder / "base")
    preference(tokenizer).save_pretrained(folder / "pretty")
    coherence().save_pretrained(folder / "seam")
    return FastSettings(
        output=folder / "run",
        base=str(folder / "base"),
        rewards={"pretty": 1},
        reward_models={"pretty": str(folder / "pretty")},
        features="",
        discriminator=str(folder / "seam"),
        lr_d=1e-3,
        rank=2,
        targets=("conv_in", "to_q"),
        log_every=1,
        ema_decay=0.5,
        phases=(SHORT, SHORTER),
        **SMALL,
    )


@pytest.fixture
def settings(pipe, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return settings_for(pipe, tokenizer, tmp_path)


@pytest.fixture
def watch(monkeypatch):
    """What each phase began with and what it kept, as `phases.fit` sees it: pairs of (generator, discriminator)."""
    seen, fit = [], phases.fit

    def watching(accelerator, pipe, discriminator, settings, judge):
        before = [{name: v.clone() for name, v in m.state_dict().items()} for m in (pipe.unet, discriminator)]
        kept, measures = fit(accelerator, pipe, discriminator, settings, judge)
        seen.append((before, [kept["generator"], kept["discriminator"]]))
        return kept, measures

    monkeypatch.setattr(phases, "fit", watching)
    return seen


def lora_of(folder):
    return load_file(folder / "lora" / "pytorch_lora_weights.safetensors")


def discriminator_of(folder):
    return CoherenceReward.from_pretrained(folder / "discriminator").state_dict()


# Settings


def test_a_phase_is_the_settings_but_for_what_it_says(settings):
    first, second = settings.each()
    assert (first.T, first.T1, first.T2, first.steps, first.lr_d, first.seed) == (8, 6, 3, 2, 1e-3, 0)
    assert (second.T, second.T1, second.T2, second.steps, second.lr_d, second.seed) == (4, 3, 2, 3, 2e-3, 1)
    assert [phase.output for phase in (first, second)] == [settings.output / "short", settings.output / "shorter"]
    assert first.phases == () and first.each() == [first]
    first, second = replace(settings, push="me/fast", soup=["other/lora"], rank=2).each()
    assert (first.push, second.push) == ("", "me/fast")
    assert (first.soup, second.soup) == ((), ("other/lora",))


def test_the_phases_are_the_papers_unless_said_otherwise(settings):
    names = {name: value for name, value in vars(settings).items() if name != "phases"}
    paper = FastSettings(**names | {"adversarial_weight": 0.05}).each()
    assert [(phase.T, phase.T1, phase.T2) for phase in paper] == [(20, 15, 10), (8, 6, 3), (4, 3, 2)]
    assert [phase.output.name for phase in paper] == ["fast20", "fast8", "fast4"]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ([{"T": 8}], r"phases are called \[None\]; give each a name"),
        ([SHORT, SHORT], "give each a name of its own"),
        ([SHORT | {"stepz": 2}], "phase short: no settings are called stepz"),
        ([SHORT | {"steps": "many"}], "steps is 'many', expected a number"),
        ([{"name": "fast", "T": 2}], "steps are 2/3/2; they must be T >= T1 >= T2 >= 1"),
    ],
)
def test_phases_that_make_no_sense_are_refused_before_anything_is_trained(settings, own, words):
    with pytest.raises(ValueError, match=words):
        replace(settings, phases=own)


# Phases


def test_a_phase_goes_on_with_the_means_and_the_discriminator_of_the_one_before(settings, watch):
    assert train_fast(settings) == {}
    ((base, untaught), first), (begun, second) = watch
    for start, kept in zip(begun, first, strict=True):
        assert all(torch.equal(start[name], value) for name, value in kept.items())
    assert all(not torch.equal(base[name], value) for name, value in first[0].items() if "lora_B" in name)
    assert not torch.equal(untaught["head.0.weight"], first[1]["head.0.weight"])
    assert not torch.equal(begun[1]["head.0.weight"], second[1]["head.0.weight"])
    means = load_file(settings.output / "short" / "checkpoints" / "step-00000002" / "means.safetensors")
    assert equal({name.removeprefix("generator/"): value for name, value in means.items()}, first[0])
    states = [
        torch.load(settings.output / name / f"checkpoints/step-0000000{n}/optimizer.bin", weights_only=True)["state"]
        for name, n in (("short", 2), ("shorter", 3))
    ]
    assert [state[0]["step"].item() for state in states] == [2, 3]  # the second's is new


def test_a_phase_goes_on_from_all_that_was_learnt_though_a_share_is_written(settings, watch):
    train_fast(replace(settings, share=0.5))
    (_, first), (begun, second) = watch
    assert all(torch.equal(begun[0][name], value) for name, value in first[0].items())
    for name, (kept, _) in (("short", first), ("shorter", second)):
        for layer, written in lora_of(settings.output / name).items():
            learnt = kept[layer.removeprefix("unet.").replace(".weight", ".default.weight")]
            torch.testing.assert_close(written, learnt * (0.5 if "lora_B" in layer else 1))


def test_each_phase_writes_a_lora_that_says_how_to_use_it(settings, scene):
    own = (SHORT, SHORTER | {"grad_steps": 2, "noise_scale": 0.9})
    settings = replace(settings, held_out="picturebook:validation", held_out_rows=2, half=True, phases=own)
    measures = train_fast(settings)
    assert measures.keys() == {"score/pretty"}
    pipe = ByteEditInpaintPipeline.from_pretrained(settings.base)
    pipe.set_progress_bar_config(disable=True)
    calls = []
    pipe.unet.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    for phase, (steps, run, noise) in zip(settings.each(), ((8, 6, 1.0), (4, 3, 0.9)), strict=True):
        pipe.load_lora_weights(phase.written)
        assert pipe.schedule == replace(Schedule.trained(steps, run, "masked", "trailing"), noise_scale=noise)
        calls.clear()
        pipe("a red boat", *scene())
        assert calls == [1] * run
        pipe.unload_lora_weights()
        card = (phase.written / "README.md").read_text()
        assert f"# Inpainting model for {steps} steps" in card and "share 0.75 is run, without guidance" in card
        assert ("hands on 0.9 of its noise" in card) == (noise < 1)
    assert {value.dtype for value in lora_of(settings.output / "shorter").values()} == {torch.float16}


def test_what_is_held_out_is_edited_as_the_phase_will_be_used(settings):
    seen = []

    def judge(pipe):
        seen.append(pipe.schedule)
        return {"gold": len(seen)}

    measures = train_fast(replace(settings, watch="gold", validate_every=2, T=4), judge)
    short, shorter = (Schedule.trained(T, T1, "masked", "trailing") for T, T1 in ((8, 6), (4, 3)))
    assert seen == [short] * 3 + [shorter] * 4  # before, as often as due, and what was kept
    assert measures == {"gold": 7}
    logged = [line["validation/gold"] for line in lines(settings.each()[1], "validation/gold") if line]
    assert logged == [4, 5, 6]


def test_inference_may_begin_with_noise_though_training_does_not(settings):
    settings = replace(settings, from_noise=True, phases=())
    pipe, _ = open_models(settings)
    assert phases.recommended_schedule(pipe, settings) == Schedule.trained(4, 4, "noise", "trailing")
    assert phases.recommended_schedule(pipe, replace(settings, guidance_scale=None)).guidance_scale == 1.0


def test_a_run_that_was_killed_goes_on_in_its_phase(settings, monkeypatch):
    """Killed in the first phase, then in the second, where the first is not repeated."""
    train_fast(settings)
    parts, learn, calls = replace(settings, output=settings.output / "parts", checkpoint_every=1), Adversarial.loss, []
    stops = []

    def stopping(self, unet, batch):
        calls.append(self.settings.T)
        if len(calls) in stops:
            raise KeyboardInterrupt
        return learn(self, unet, batch)

    monkeypatch.setattr(Adversarial, "loss", stopping)
    for stop, seen in ((2, [8, 8]), (3, [8, 4, 4])):
        calls.clear()
        stops[:] = [stop]
        with pytest.raises(KeyboardInterrupt):
            train_fast(parts)
        assert calls == seen
        torch.manual_seed(99)
    stops.clear()
    for seen in ([4, 4], []):
        calls.clear()
        train_fast(parts)
        assert calls == seen
    for phase in ("short", "shorter"):
        ours, theirs = parts.output / phase, settings.output / phase
        assert equal(lora_of(ours), lora_of(theirs))
        assert equal(discriminator_of(ours), discriminator_of(theirs))
    logged = [lines(each.each()[1], "step", "generator/loss", "discriminator/loss") for each in (parts, settings)]
    assert logged[0] == logged[1] and len(logged[0]) == 3


def test_a_phase_goes_on_only_with_its_own_settings(settings):
    train_fast(settings)
    longer = replace(settings, phases=(SHORT, SHORTER | {"steps": 4}))
    train_fast(longer)
    assert [line["step"] for line in lines(longer.each()[1], "step")] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="written with T2 3, now it is 2"):
        train_fast(replace(settings, phases=(SHORT | {"T2": 2}, SHORTER)))


def share(settings, environment):
    """One process of a run."""
    os.environ |= environment
    torch.set_num_threads(1)
    measures = train_fast(settings, judge=lambda pipe: {"rank": int(environment.get("RANK", 0))})
    (settings.output / f"measures-{environment.get('RANK', 0)}.json").write_text(json.dumps(measures))


@pytest.mark.slow
def test_two_processes_equal_one_with_batches_twice_as_large(settings):
    """Through both phases, the second of whole rollouts; rows of the first pass all points, so no chance is left."""
    own = (SHORT | {"T2": 2, "points": 2}, SHORTER | {"grad_steps": 3})
    one = replace(settings, output=settings.output / "one", phases=own, batch_size=4, lr=1e-4)
    two = replace(one, output=settings.output / "two", batch_size=2)
    processes = [FORKS.Process(target=share, args=job) for job in ((one, {}), *((two, rank) for rank in group(2)))]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
        assert process.exitcode == 0
    for phase in ("short", "shorter"):
        ours, theirs = one.output / phase, two.output / phase
        torch.testing.assert_close(lora_of(ours), lora_of(theirs), atol=1e-5, rtol=0)
        torch.testing.assert_close(discriminator_of(ours), discriminator_of(theirs), atol=1e-5, rtol=0)
    files = one.output / "measures-0.json", two.output / "measures-0.json", two.output / "measures-1.json"
    assert [json.loads(file.read_text())["rank"] for file in files] == [0, 0.5, 0.5]


# What is trained


def test_an_earlier_lora_goes_on_being_trained(settings):
    train_fast(settings)
    tuned = settings.output / "short" / "lora"
    pipe, discriminator = open_models(replace(settings, tuned=str(tuned)))
    state = pipe.unet.state_dict()
    earlier = lora_of(tuned.parent)
    assert torch.equal(state["conv_in.lora_B.default.weight"], earlier["unet.conv_in.lora_B.weight"])
    assert {name for name, value in pipe.unet.named_parameters() if value.requires_grad} == {
        name for name in state if "lora" in name
    }
    assert all(value.requires_grad for value in discriminator.parameters())
    with pytest.raises(ValueError, match="set rank, alpha and targets as it was trained with"):
        open_models(replace(settings, tuned=str(tuned), rank=4))


def test_without_a_rank_a_whole_checkpoint_is_written(settings, scene):
    settings = replace(settings, rank=0, half=True, phases=(), T1=3)
    train_fast(settings)
    opened = ByteEditInpaintPipeline.from_pretrained(settings.written)
    assert opened.schedule == Schedule.trained(4, 3, "masked", "trailing")
    for part, kind in (("unet", torch.float16), ("vae", torch.float32)):
        file = settings.written / part / "diffusion_pytorch_model.safetensors"
        assert {value.dtype for value in load_file(file).values()} == {kind}
    base = ByteEditInpaintPipeline.from_pretrained(settings.base)
    assert not torch.equal(opened.unet.conv_in.weight, base.unet.conv_in.weight)
    assert opened("a red boat", *scene()).images[0].size == (64, 64)
    again, _ = open_models(replace(settings, tuned=str(settings.written / "unet")))
    assert torch.equal(again.unet.conv_in.weight, opened.unet.conv_in.weight)
    assert f'from_pretrained("{settings.written}")' in (settings.written / "README.md").read_text()


def test_a_new_discriminator_is_as_large_as_it_is_said(settings):
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    own = {"discriminator": "", "architecture": {"vit_config": sizes | {"image_size": 32, "patch_size": 8}}}
    assert open_models(replace(settings, **own))[1].config.vit_config.hidden_size == 8


def test_nothing_is_sharded(settings, monkeypatch):
    monkeypatch.setattr(phases, "sharded", lambda accelerator: True)
    with pytest.raises(ValueError, match="launch with DDP, not FSDP or ZeRO-3"):
        train_fast(settings)
