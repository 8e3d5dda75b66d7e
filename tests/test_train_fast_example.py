"""The example runs in a tiny form, and so does the command; presets fit the settings and hold the paper's numbers."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from byteedit import ByteEditInpaintPipeline
from byteedit.cli import main as byteedit
from byteedit.schedule import Schedule
from byteedit.training.phases import FastSettings
from byteedit.training.settings import read
from byteedit.training.sft import InpaintSettings
from toy_rewards import coherence, preference
from toy_training import fresh  # noqa: F401

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_fast.py"
PRESETS = {name: EXAMPLE.parent / "configs" / name / "fast.yaml" for name in ("picturebook", "sd15")}


@pytest.fixture
def preset(pipe, tokenizer, tmp_path, monkeypatch):
    """The picturebook's preset on tiny models, with one phase of two steps."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained(tmp_path / "base")
    preference(tokenizer).save_pretrained(tmp_path / "pretty")
    coherence().save_pretrained(tmp_path / "seam")
    values = yaml.safe_load(PRESETS["picturebook"].read_text())
    places = {name: str(tmp_path / name) for name in ("base", "output")}
    tiny = {"steps": 2, "batch_size": 2, "size": 32, "warmup": 0, "held_out_rows": 2, "tuned": "", "rank": 2}
    own = {"data": "picturebook", "held_out": "picturebook:validation", "targets": ["conv_in"]}
    models = {"aesthetic": str(tmp_path / "pretty"), "alignment": str(tmp_path / "pretty")}
    own |= {"reward_models": models, "discriminator": str(tmp_path / "seam")}
    phases = [{"name": "fast4", "T": 4, "T1": 3, "T2": 2}]
    (tmp_path / "fast.yaml").write_text(yaml.safe_dump(values | tiny | own | places | {"phases": phases}))
    return tmp_path / "fast.yaml"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example_writes_a_lora_with_its_schedule(preset, monkeypatch, capsys):
    run(monkeypatch, preset, "--steps", 1)
    folder = preset.parent / "output" / "fast4" / "lora"
    assert capsys.readouterr().out.startswith(f"{folder}: score/aesthetic ")
    pipe = ByteEditInpaintPipeline.from_pretrained(preset.parent / "base")
    pipe.load_lora_weights(folder)
    assert pipe.schedule == Schedule.trained(4, 3, "noise", "trailing")


def test_the_command_does_the_same(preset, capsys):
    assert byteedit(["train", "fast", str(preset), "--set", "steps=1", "--set", "held_out="]) == 0
    assert "nothing is held out" in capsys.readouterr().out


def test_the_example_asks_for_a_preset(monkeypatch):
    with pytest.raises(SystemExit, match="Name a preset first"):
        run(monkeypatch, "--help")


def test_presets_are_settings_and_the_papers_numbers_stand_in_them():
    small, paper = (read(FastSettings, PRESETS[name]) for name in ("picturebook", "sd15"))
    assert [(phase.T, phase.T1, phase.T2) for phase in paper.each()] == [(20, 15, 10), (8, 6, 3), (4, 3, 2)]
    assert [phase.output.name for phase in paper.each()] == ["fast20", "fast8", "fast4"]
    assert [(phase.output.name, phase.T, phase.grad_steps, phase.noise_scale) for phase in small.each()] == [
        ("eight", 8, 0, 1), ("whole", 8, 8, 1), ("fast4", 4, 0, 0.88)
    ]  # fmt: skip
    first, longer, mean = (
        read(FastSettings, PRESETS["picturebook"].with_name(f"{name}.yaml")).each()
        for name in ("fast8_first", "fast8_longer", "fast8")
    )
    assert [phase.output.name for phase in (*first, *longer, *mean)] == ["eight", "fast8", "fast8", "fast8"]
    for phase, before in (
        (first[1], None),
        (longer[0], ".runs/fast8_more/fast8"),
        (mean[0], ".runs/fast8_whole/fast8"),
    ):
        assert (phase.T, phase.grad_steps, phase.noise_scale, phase.lr) == (8, 8, 0.93, 2e-4)
        assert phase.recommends == {"noise_scale": 0.62}
        assert before is None or (phase.tuned, phase.discriminator) == (f"{before}/lora", f"{before}/discriminator")
    assert (longer[0].soup, longer[0].share, mean[0].share) == ((), 1, 0.88)
    assert mean[0].soup == tuple(f".runs/fast8_{run}_longer/fast8/lora" for run in ("more", "seed"))
    assert small.each()[-1].soup == (*mean[0].soup, str(mean[0].written))
    assert {phase.init for phase in small.each()} == {"image"}
    assert [(each.weight, each.adversarial_weight) for each in (small, paper)] == [(0.01, 0.015), (0.01, 0.05)]
    assert (small.from_noise, paper.from_noise) == (True, False)
    assert (paper.init, paper.d_real, paper.d_labels) == ("masked", "image", "all")
    assert (paper.lr, paper.warmup, paper.ema_decay, paper.lr_d, paper.rank) == (2e-6, 1000, 0.9999, 1e-5, 0)
    assert paper.base == "stable-diffusion-v1-5/stable-diffusion-inpainting"


def test_the_robust_preset_is_the_papers_but_for_what_is_real():
    robust = read(FastSettings, PRESETS["sd15"].with_name("fast_robust.yaml"))
    said = {"d_real": "reconstruction", "d_labels": "masked", "output": Path(".runs/sd15/fast_robust")}
    assert robust == replace(read(FastSettings, PRESETS["sd15"]), **said)


@pytest.mark.parametrize(("stage", "before"), [("guidance", "boost"), ("fast", "guidance"), ("lcm", "boost")])
def test_the_lora_of_the_stage_before_can_go_on_being_trained(stage, before):
    """Rank and layers of the presets of the two stages are the same."""
    now, earlier = (
        yaml.safe_load((PRESETS["picturebook"].parent / f"{name}.yaml").read_text()) for name in (stage, before)
    )
    assert {now[name] == earlier[name] for name in ("base", "rank")} == {True}
    assert now["targets"] == earlier["targets"] and now.get("alpha", 0) == earlier.get("alpha", 0)
    assert now["tuned"] == f"{earlier['output']}/lora"


def test_what_is_accelerated_has_taken_guidance_in():
    settings = read(InpaintSettings, PRESETS["picturebook"].with_name("guidance.yaml"))
    assert settings.absorbed_guidance == 2
