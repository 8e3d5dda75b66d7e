"""Systems side by side: what a name stands for, whose answers are kept, how they are judged and shown."""

import importlib.util
import json
import os
import runpy
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from accelerate import PartialState
from PIL import Image

import byteedit
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.systems import answers
from byteedit.schedule import Schedule
from byteedit.training.adapters import LoraSettings, add_lora, save_lora
from conftest import build_unet, build_vae
from toy_training import FORKS, group

EXAMPLE = Path(__file__).parent.parent / "examples" / "picturebook" / "compare.py"
PAIR = "winrate.baseline20-vs-fast4"


@pytest.fixture
def compare(pipe, tmp_path, monkeypatch):
    """examples/picturebook/compare.py as a module, with the LoRAs of tiny models."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained(tmp_path / "tiny")
    monkeypatch.setattr(byteedit, "PICTUREBOOK", str(tmp_path / "tiny"))
    for seed, (name, own) in enumerate({"boost": None, "fast4": Schedule.trained(4, 3, "masked", "trailing")}.items()):
        write(tmp_path / "loras" / name, seed, own)
    spec = importlib.util.spec_from_file_location("compare", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare", module)
    spec.loader.exec_module(module)
    return module


def write(folder, seed, schedule=None):
    """A LoRA that changes the tiny model a little."""
    unet = build_unet()
    add_lora(unet, LoraSettings(rank=2))
    torch.manual_seed(seed)
    for name, value in unet.named_parameters():
        if "lora_B" in name:
            value.data.normal_(0, 0.05)
    save_lora(unet, folder, schedule=schedule)


def test_a_name_is_a_system_or_any_lora(compare):
    assert compare.system("fast4") == compare.System(lora="fast4")
    assert compare.system("mine=a/b") == compare.System(lora="a/b")
    assert compare.system("mine=a/b,init=noise") == compare.System(lora="a/b", init="noise")
    assert compare.system("mine=a/b,noise_scale=0.9") == compare.System(lora="a/b", noise_scale=0.9)
    calm = compare.System(guidance_scale=2.0, noise_scale=0.98)
    assert compare.system("calm=,noise_scale=0.98,guidance_scale=2") == calm
    with pytest.raises(SystemExit, match="mine=a/b,steps=4: 'steps' is nothing to ask; there are init, guidance_scale"):
        compare.system("mine=a/b,steps=4")
    with pytest.raises(SystemExit, match="there is no system 'fast3'"):
        compare.system("fast3")


def test_the_checkpoint_is_asked_as_the_boost_recommends(compare):
    preset = EXAMPLE.parents[1] / "configs" / "picturebook" / "boost.yaml"
    asked = {scale: getattr(compare.SYSTEMS["calm20"], scale) for scale in compare.SCALES}
    assert asked == yaml.safe_load(preset.read_text())["recommends"]


def test_a_pair_is_filed_as_the_tables_name_it(compare):
    assert compare.pair_key("boost20", "baseline20") == "winrate.boost-vs-baseline"
    assert compare.pair_key("fast8", "boost20") == "winrate.fast8-vs-boost20"
    assert {"boost20", "baseline20", "fast8"} < set(compare.SYSTEMS)


@pytest.mark.parametrize("name", ["fast4", "lcm4", "dpm8"])
def test_a_system_answers_by_its_schedule_and_solver(compare, tmp_path, name):
    asked = compare.SYSTEMS[name]
    pipe = compare.open_system(asked, tmp_path / "loras" / ("fast4" if name == "fast4" else "boost"))
    assert type(pipe.scheduler).__name__.startswith({"fast4": "DDIM", "lcm4": "LCM", "dpm8": "DPMSolver"}[name])
    assert (pipe.schedule.num_inference_steps == 4) == (name == "fast4")
    options = {"num_inference_steps": asked.steps, "guidance_scale": asked.guidance_scale, "init": asked.init}
    [image] = answers(pipe, cases("editing")[:1], **options)
    assert image.shape == (128, 128, 3)
    assert np.ptp(image[cases("editing")[0].mask > 127]) > 0


def test_the_ceiling_is_the_true_picture_through_the_autoencoder(compare, pipe):
    [case] = compare.cases("editing", "validation", 1)
    [image] = compare.rebuild(pipe, [case])
    inside = case.mask > 127
    assert (image[~inside] == case.picture[~inside]).all()
    assert (image[inside] != case.picture[inside]).any()


def test_answers_of_other_weights_are_not_taken_for_these(compare, tmp_path, monkeypatch):
    state = compare.PartialState(cpu=True)
    monkeypatch.setattr(compare, "TASKS", ("editing",))
    settings = compare.Settings(names=("fast4",), limit=1, loras=tmp_path / "loras", output=tmp_path / "out")
    compare.run("fast4", settings, state)
    [made] = (tmp_path / "out" / "fast4-test").glob("*.png")
    before = made.stat().st_mtime_ns
    compare.run("fast4", settings, state)
    assert made.stat().st_mtime_ns == before
    write(tmp_path / "loras" / "fast4", 7, Schedule.trained(4, 3, "masked", "trailing"))
    with pytest.raises(ValueError, match="was begun with other settings: lora was"):
        compare.run("fast4", settings, state)


def test_the_best_of_several_answers_is_by_rewards_and_by_the_judge(compare, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("best_of", EXAMPLE.with_name("best_of.py"))
    best_of = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(best_of)
    for module in (compare, best_of):
        monkeypatch.setattr(module, "TASKS", ("editing",))
    bright = SimpleNamespace(score=lambda images, prompts: [float(np.mean(np.asarray(image))) for image in images])
    monkeypatch.setattr(best_of, "open_reward", lambda text: bright)
    marked = []
    monkeypatch.setattr(compare, "show", lambda key, found, record: marked.append((key, found["editing.coherence"].n)))
    best_of.main(best_of.Settings(limit=2, of=3, output=tmp_path / "out"))
    assert marked == [(f"best_of.{name}", 2) for name in ("judge", "aesthetic", "alignment", "both")]
    asked = compare.Settings(
        names=("baseline20", *best_of_names(3)), split="validation", output=tmp_path / "out", limit=2
    )
    compare.run("baseline20", asked, compare.PartialState(cpu=True))
    for number, case in enumerate(cases("editing", "validation")[:2]):
        first, *noises = (compare.read(name, case, asked) for name in asked.names)
        assert (first == noises[0]).all() and (first != noises[1]).any() and (first != noises[2]).any()
        brightest = best_of.by_rewards(replace(asked, names=best_of_names(3)), tmp_path)["both"][number]
        assert noises[brightest].mean() == max(image.mean() for image in noises)


def best_of_names(of):
    return tuple(f"baseline20-noise{n}" for n in range(of))


def test_answers_climb_to_where_a_reward_finds_them_better(compare, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("climb", EXAMPLE.with_name("climb.py"))
    climb = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(climb)
    vae = build_vae().requires_grad_(False)
    bright = SimpleNamespace(rate=lambda image, prompt: image.mean((1, 2, 3)))
    images = np.random.default_rng(0).integers(60, 180, (2, 32, 32, 3)).astype(np.uint8)
    masks = np.zeros((2, 32, 32), bool)
    masks[:, 8:24, 4:20] = True
    legs = climb.climb(images, masks, ["a", "b"], vae, [bright, bright])
    assert len(legs) == 1 + len(climb.LEGS)
    for leg in legs:
        assert (leg[~masks] == images[~masks]).all()
    means = [[page[mask].mean() for page, mask in zip(leg, masks, strict=True)] for leg in legs]
    assert np.all(np.diff(means, axis=0) > 0)

    marked = {}
    reward = torch.nn.Identity()
    reward.rate = bright.rate
    monkeypatch.setattr(climb, "open_reward", lambda text: reward)
    monkeypatch.setattr(compare, "TASKS", ("editing",))
    monkeypatch.setattr(climb, "TASKS", ("editing",))
    monkeypatch.setattr(compare, "show", lambda key, found, record: marked.update({key: found["editing.coherence"].n}))
    climb.main(climb.Settings(limit=1, output=tmp_path / "out"))
    rewards = ("aesthetic", "alignment", "both")
    assert marked == {f"climb.{name}_by_{far}": 1 for name in rewards for far in ("04", "10", "20")}


@pytest.mark.slow
def test_two_systems_are_judged_and_shown(compare, tmp_path, monkeypatch, capsys):
    filed = {}
    show = compare.show
    monkeypatch.setattr(compare, "show", lambda key, found, record: (filed.update({key: record}), show(key, found, 0)))
    names = (f"mine={tmp_path / 'loras' / 'boost'},init=masked", "fast4")
    common = {"limit": 1, "loras": tmp_path / "loras", "output": tmp_path / "out", "sheet": tmp_path / "sheet.png"}
    compare.main(compare.Settings(names=names, key="ablation.fast.mine", record=True, **common))
    assert filed == {"picturebench.mine": False, "picturebench.fast4": False, "ablation.fast.mine": True}
    printed = capsys.readouterr().out
    assert "ablation.fast.mine.editing.coherence" in printed and "ablation.fast.mine.editing.seam_less" in printed
    asked = json.loads((tmp_path / "out" / "mine-test" / "settings.json").read_text())
    assert len(asked["lora"]) == 64 and asked["init"] == "masked"
    assert Image.open(tmp_path / "sheet.png").size == (3 * 130, 15 + 3 * 143)
    with pytest.raises(SystemExit, match="name two"):
        compare.main(compare.Settings(names=("boost20",), key="k"))


@pytest.mark.parametrize(
    ("asked", "filed"),
    [
        ({"record": True}, {"picturebench.baseline20": True, "picturebench.fast4": True, PAIR: True}),
        ({"record": False}, {"picturebench.baseline20": False, "picturebench.fast4": False, PAIR: False}),
        ({"record": True, "key": "k"}, {"picturebench.baseline20": False, "picturebench.fast4": False, "k": True}),
        ({"record": True, "limit": 239}, {"picturebench.baseline20": False, "picturebench.fast4": False, PAIR: True}),
        (
            {"record": True, "split": "validation"},
            {"picturebench.baseline20": False, "picturebench.fast4": False, PAIR: True},
        ),
    ],
)
def test_what_a_system_reaches_is_filed_of_all_cases_alone(compare, monkeypatch, asked, filed):
    found = {}
    monkeypatch.setattr(compare, "run", lambda *_: None)
    monkeypatch.setattr(compare, "lines_of", lambda *_: [])
    monkeypatch.setattr(compare, "show", lambda key, figures, record: found.update({key: record}))
    compare.main(compare.Settings(names=("baseline20", "fast4"), **asked))
    assert found == filed


def test_sheets_show_cases_of_each_task_that_nobody_picked(compare, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run", lambda *_: None)
    monkeypatch.setattr(compare, "lines_of", lambda *_: [])
    monkeypatch.setattr(compare, "read", lambda name, case, settings: case.picture)
    compare.main(compare.Settings(names=("baseline20",), sheets=tmp_path))
    made = sorted(tmp_path.glob("picturebench_*.png"))
    assert [path.stem.split("_")[1] for path in made] == ["editing", "erasing", "outpainting"]
    assert {Image.open(path).size for path in made} == {(4 * 258 + 3 * 8, 6 * 143)}
    with pytest.raises(SystemExit, match="leave --limit and --split as they are"):
        compare.main(compare.Settings(names=("baseline20",), sheets=tmp_path, limit=24))


def finish(environment, folder):
    """A process of a comparison's end: the first still files figures when the others have nothing more to do."""
    os.environ.update(environment)
    compare = runpy.run_path(str(EXAMPLE), run_name="compare")
    if PartialState(cpu=True).is_main_process:
        time.sleep(1)
        (folder / "filed").touch()
    compare["leave_together"]()
    sys.exit(not (folder / "filed").exists())


def test_no_process_leaves_before_the_figures_are_filed(tmp_path):
    processes = [FORKS.Process(target=finish, args=(rank, tmp_path)) for rank in group(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
