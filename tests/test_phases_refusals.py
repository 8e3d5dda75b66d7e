"""What phases cannot follow is said before anything is trained; what a phase goes on with fits; its base opens."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers import DDIMScheduler, PNDMScheduler

from byteedit import ByteEditInpaintPipeline
from byteedit.data.skipped import Skipped
from byteedit.diffusion import hands_on
from byteedit.training import phases
from byteedit.training.base import open_held_out
from byteedit.training.boost import PeflSettings
from byteedit.training.loop import begin
from byteedit.training.phases import FastSettings, open_models
from byteedit.training.run import train_fast
from byteedit.training.settings import read
from test_phases import SHORT, SHORTER, settings_for
from toy_training import fresh  # noqa: F401

PRESETS = Path(__file__).parent.parent / "examples" / "configs"


@pytest.fixture
def settings(pipe, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return settings_for(pipe, tokenizer, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rank", 4),
        ("alpha", 4.0),
        ("targets", ("conv_in",)),
        ("base", "another"),
        ("tuned", "lora"),
        ("mixed_precision", "bf16"),
        ("discriminator", "coherence"),
        ("architecture", {"patch": 2}),
    ],
)
def test_what_all_phases_share_is_not_a_phases_to_change(settings, name, value):
    for own in ((SHORT, SHORTER | {name: value}), (SHORT | {name: value}, SHORTER)):
        with pytest.raises(ValueError, match=rf"phase shorter has {name} .* so give {name} once, beside the phases"):
            replace(settings, phases=own)
    same = [phase | {name: value} for phase in (SHORT, SHORTER)]
    assert {str(getattr(phase, name)) for phase in replace(settings, phases=same).each()} == {str(value)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixed_precision": "fp16"}, "mixed_precision is fp16, which two optimisers cannot share; take bf16, or no"),
        ({"phases": [SHORT, SHORTER | {"output": "elsewhere"}]}, "phase shorter has output, which is not a phase's"),
        ({"phases": [SHORT | {"phases": []}]}, "phase short has phases, which is not a phase's to say"),
        ({"phases": [SHORT, SHORTER | {"clip": 0}]}, "clip is 0.0; give a norm above 0"),
        ({"accumulate": 0}, "accumulate is 0; give 1 or more"),
        ({"phases": ["fast8"]}, "phases has 'fast8'; a phase is its name and settings"),
        ({"phases": [SHORT | {"name": 8}]}, r"phases are called \[8\]; give each a name of its own"),
        ({"r1_gamma": -1}, "r1_gamma is -1; give 0 or more"),
        ({"adversarial_weight": -1.0}, "adversarial_weight is -1.0; give 0 or more"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_is_trained(settings, changes, words):
    with pytest.raises(ValueError, match=words):
        replace(settings, **changes)


@pytest.mark.parametrize("preset", ["picturebook", "sd15"])
def test_settings_that_every_phase_shadows_are_said(preset, caplog):
    file = PRESETS / preset / "fast.yaml"
    read(FastSettings, file).each()
    assert caplog.text == ""
    own = "[{name: a, T: 8, T1: 6, T2: 3, steps: 140}, {name: b, T: 4, T1: 3, T2: 2, steps: 40}]"
    read(FastSettings, file, ["steps=10", "T=30", f"phases={own}"]).each()
    assert [record.getMessage() for record in caplog.records] == [
        "No phase follows steps=10: each has its own, [140, 40]; set it there.",
        "No phase follows T=30: each has its own, [8, 4]; set it there.",
    ]


def test_a_model_that_lacks_what_the_phase_before_kept_is_not_gone_on_with(settings):
    pipe, discriminator = open_models(settings)
    kept = {
        "generator": {name: value for name, value in pipe.unet.state_dict().items() if "lora" in name},
        "discriminator": dict(discriminator.state_dict()),
    }
    open_models(settings, kept)
    for begun in ({"tuned": "gone/lora"}, {"tuned": "gone/lora", "share_from": "tuned"}):
        open_models(replace(settings, **begun), kept)  # what the first phase began with is not asked for again
    for name in kept:
        other = kept | {name: kept[name] | {"another.weight": torch.zeros(1)}}
        with pytest.raises(ValueError, match=f"The {name} of the phase before has another.weight, which this"):
            open_models(settings, other)


def test_deepspeed_is_refused(settings, monkeypatch):
    phase = settings.each()[0]
    accelerator, models = begin(phase), open_models(phase)
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.DEEPSPEED)
    with pytest.raises(ValueError, match="two models, of which DeepSpeed would step one only; launch with DDP"):
        phases.fit(accelerator, *models, phase)


def test_a_base_whose_safety_checker_does_not_open_is_tuned_whole(settings):
    """As that of a checkpoint which keeps it as a pickle, or does not have it."""
    index = Path(settings.base) / "model_index.json"
    parts = json.loads(index.read_text())
    parts["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index.write_text(json.dumps(parts))
    with pytest.raises(OSError, match="no file named"):
        ByteEditInpaintPipeline.from_pretrained(settings.base)
    settings = replace(settings, rank=0, phases=())
    train_fast(settings)
    assert ByteEditInpaintPipeline.from_pretrained(settings.written).safety_checker is None


def test_a_checkpoint_is_watched_and_written_with_the_solver_that_it_was_learnt_with(settings):
    """Another one makes more steps of few, as PNDM, or hands on all of their noise."""
    pipe = ByteEditInpaintPipeline.from_pretrained(settings.base)
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    pipe.save_pretrained(settings.base)
    settings = replace(settings, rank=0, phases=(), T=4, T1=3, T2=2, noise_scale=0.5, from_noise=True, steps=1)
    train_fast(settings)
    tuned = ByteEditInpaintPipeline.from_pretrained(settings.written)
    assert isinstance(tuned.scheduler, DDIMScheduler) and tuned.scheduler.config.timestep_spacing == "trailing"
    assert hands_on(tuned.scheduler) and not hands_on(pipe.scheduler)
    tuned.scheduler.set_timesteps(tuned.schedule.num_inference_steps)
    assert tuned.scheduler.timesteps.tolist() == [999, 749, 499, 249]


def test_what_yaml_reads_as_a_word_is_a_number_wherever_one_is_meant():
    file = PRESETS / "picturebook" / "pefl.yaml"
    asked = ["guidance_scale=2e0", "mask_probs={global: 1e-1}", f"point_weights=[{', '.join(['1e0'] * 10)}]", "T2=10"]
    made = read(PeflSettings, file, [*asked, "T=20", "T1=15"])
    assert (made.guidance_scale, made.mask_probs, made.point_weights) == (2.0, {"global": 0.1}, (1.0,) * 10)
    assert read(PeflSettings, file, ["guidance_scale=null"]).guidance_scale is None
    with pytest.raises(ValueError, match="half is 'false', expected true or false"):
        read(PeflSettings, file, ["half='false'"])


def test_a_later_phase_does_not_go_on_from_another_one_than_it_began_with(settings):
    train_fast(settings)
    train_fast(settings)  # what is finished stays so
    longer = [settings.phases[0] | {"steps": 3}, settings.phases[1]]
    with pytest.raises(
        ValueError, match=r"was written with weights of the phase before '\w+', now it is '\w+'; set it"
    ):
        train_fast(replace(settings, phases=longer))


def test_that_what_is_learnt_is_not_held_out_is_said(settings, caplog):
    pipe = open_models(settings)[0]
    for place, said in (("picturebook:validation", False), ("picturebook", True)):
        open_held_out(pipe, replace(settings, held_out=place, held_out_rows=1), Skipped())
        assert ("held_out is picturebook, as data is, so nothing is held out" in caplog.text) is said
