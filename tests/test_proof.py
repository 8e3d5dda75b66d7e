"""The scripts around the proofs: variants that are left out in turn, and the plot of proxy and gold."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from byteedit.evaluation import TASKS
from byteedit.evaluation.picturebench import cases
from byteedit.training.boost import PeflSettings
from byteedit.training.phases import FastSettings
from byteedit.training.settings import read
from toy_rewards import VISION
from toy_training import fresh  # noqa: F401

EXAMPLES = Path(__file__).parent.parent / "examples" / "picturebook"
BENCHMARKS = EXAMPLES.parents[1] / "benchmarks"
KINDS = {"boost": PeflSettings, "fast": FastSettings}


def load(name, folder=EXAMPLES):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ablate(monkeypatch):
    """The script, and the commands that it would run, each of which writes what is expected of it."""
    module, commands = load("ablate"), []

    def launch(settings, script, *arguments):
        commands.append((script.name, *map(str, arguments)))
        if script.name.startswith("train"):
            preset = yaml.safe_load(Path(arguments[0]).read_text())
            lora = Path(preset["output"]) / (preset.get("phases") or [{"name": ""}])[-1]["name"] / "lora"
            lora.mkdir(parents=True)
            (lora / "README.md").touch()

    monkeypatch.setattr(module, "launch", launch)
    return module, commands


@pytest.mark.parametrize("stage", ["boost", "fast"])
def test_every_variant_is_trained_and_judged_once(ablate, tmp_path, stage):
    module, commands = ablate
    settings = module.Settings(stage=stage, output=tmp_path, limit=2, record=True)
    module.main(settings)
    written = yaml.safe_load(settings.variants.read_text())[stage]
    names = [*written["variants"], *written.get("asked", {})]
    assert [words[0] for words in commands].count("compare.py") == len(names)
    assert [words[0] for words in commands].count(written["script"]) == len(written["variants"])
    keys = [words[words.index("--key") + 1] for words in commands if words[0] == "compare.py"]
    assert keys == [f"ablation.{stage}.{name}" for name in names]
    runs = {name: read(KINDS[stage], tmp_path / stage / name / "preset.yaml") for name in written["variants"]}
    differs = {
        name: {key for key, value in run.course().items() if value != runs["full"].course()[key]}
        for name, run in runs.items()
    }
    start = {"boost": {"T", "T1", "T2"}, "fast": {"from_noise", "phases"}}[stage]
    assert differs.pop("from_the_masked_input") == start | {"init", "noise_share"}
    assert not differs.pop("full") and all(len(found) in (1, 2) for found in differs.values()), differs
    commands.clear()
    module.main(settings)
    assert {words[0] for words in commands} == {"compare.py"}  # what is trained is not trained again
    with pytest.raises(SystemExit, match="was made with other settings; take another --output, or delete it"):
        module.main(replace(settings, set=("batch_size=2",)))


def test_inference_from_noise_is_another_variant_asked_otherwise(ablate, tmp_path):
    module, commands = ablate
    module.main(module.Settings(stage="fast", only=("inference_from_noise",), output=tmp_path))
    [trained, judged] = commands
    masked = tmp_path / "fast" / "from_the_masked_input"
    assert trained == ("train_fast.py", str(masked / "preset.yaml"))
    assert judged[1] == f"fast_inference_from_noise={masked / 'fast4' / 'lora'},init=noise"
    with pytest.raises(SystemExit, match="no variant 'x'"):
        module.main(module.Settings(stage="fast", only=("x",), output=tmp_path))


def test_all_variants_of_acceleration_take_as_many_steps():
    stage = yaml.safe_load((EXAMPLES.parent / "configs" / "picturebook" / "ablations.yaml").read_text())["fast"]
    boosted = 80
    for values in stage["variants"].values():
        own = stage["always"] | values
        steps = sum(phase["steps"] for phase in own["phases"])
        assert steps + (boosted if own["tuned"] else 0) == 160


def test_proxy_and_gold_part_where_the_marks_are_best(tmp_path):
    pytest.importorskip("matplotlib")
    plot = load("plot_boost")
    lines = [{"step": 10, "pefl/loss": 1.0}]
    for n, (gold, proxy) in enumerate([(3.0, 0.0), (3.2, 0.5), (3.1, 0.9)]):
        scores = {"validation/score/aesthetic": proxy, "validation/score/alignment": proxy + 0.2}
        lines.append({"step": 40 * n, "validation/gold": gold} | scores)
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    points = plot.course(tmp_path / "log.jsonl")
    assert [point["proxy"] for point in points] == pytest.approx([0.1, 0.6, 1.0])
    assert plot.parting(points) == 40
    assert plot.parting(points[:2]) is None
    plot.main(plot.Settings(log=tmp_path / "log.jsonl", output=tmp_path / "plot.png"))
    assert Image.open(tmp_path / "plot.png").size == (910, 468)
    (tmp_path / "log.jsonl").write_text(json.dumps(lines[0]))
    with pytest.raises(ValueError, match="no line with validation/gold"):
        plot.course(tmp_path / "log.jsonl")


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """examples/picturebook/fresh.py as a module, with answers of noise, and of noise that ends at the mask's border."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    rng = np.random.default_rng(0)
    for split in ("validation", "test"):
        for case in (case for task in TASKS for case in cases(task, split)[:3]):
            noise = rng.integers(0, 256, case.picture.shape, np.uint8)
            for name, image in (("bad", noise), ("good", case.picture)):
                path = tmp_path / f"{name}-{split}" / f"{case.id}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(np.where(case.mask[..., None] > 127, image, case.picture)).save(path)
    values = yaml.safe_load((EXAMPLES.parent / "configs" / "picturebook" / "reward_coherence.yaml").read_text())
    tiny = {"steps": 60, "batch_size": 4, "warmup": 0, "architecture": {"vit_config": VISION}, "lr": 1e-2}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(values | tiny))
    return load("fresh")


def test_a_fresh_discriminator_tells_noise_and_not_what_is_real(judged, tmp_path):
    common = {"answers": tmp_path, "preset": tmp_path / "preset.yaml", "output": tmp_path / "run", "limit": 3}
    settings = judged.Settings(names=("good", "bad"), **common)
    found = judged.figures(judged.train(settings), settings)
    assert list(found) == ["good.pixel_auc", "bad.pixel_auc", "good-vs-bad.pixel_auc_less"]
    assert found["bad.pixel_auc"].value > found["good.pixel_auc"].value + 0.1
    assert found["bad.pixel_auc"].n == 9
    with pytest.raises(SystemExit, match="no case of the test split has answers"):
        judged.answered(judged.Settings(names=("good", "other"), **common), "test")


def test_the_time_of_an_edit_is_split_without_rest(pipe, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    bench = load("fast", BENCHMARKS)
    found = bench.split(pipe, bench.edit_of(pipe, num_inference_steps=2), rounds=3)
    assert list(found) == [*bench.PARTS, "rest", "whole"]
    assert all(0 < low <= value <= high for value, low, high in found.values())
    assert found["unet"][0] < found["whole"][0]
    assert not pipe.unet._forward_hooks and not pipe.vae.decoder._forward_hooks
