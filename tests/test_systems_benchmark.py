"""What `make results` runs and files: all that ships, named by its steps, beside the baselines; a run of few cases."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import byteedit
from byteedit.evaluation.report.content import gather
from byteedit.evaluation.report.reading import read_run
from byteedit.evaluation.scores.opening import open_score
from byteedit.evaluation.systems import open_system
from byteedit.schedule import Schedule
from byteedit.training.adapters import LoraSettings, add_lora, save_lora
from conftest import build_unet
from toy_reports import marked, write_run
from toy_rewards import coherence

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def systems(monkeypatch):
    """benchmarks/systems.py as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("systems", BENCHMARKS / "systems.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "systems", module)
    spec.loader.exec_module(module)
    return module


def test_loras_are_found_and_named_by_their_steps(systems, tmp_path):
    unet = build_unet()
    add_lora(unet, LoraSettings(rank=2))
    save_lora(unet, tmp_path / "fast8", schedule=Schedule.trained(8, 6, "masked", "trailing"))
    save_lora(unet, tmp_path / "boost")
    (tmp_path / "empty").mkdir()
    assert systems.shipped(tmp_path) == {
        "fast8": f"byteedit,lora={tmp_path / 'fast8'}",
        "boost20": f"byteedit,lora={tmp_path / 'boost'},steps=20",
        "baseline20": "byteedit,steps=20",
    }
    assert systems.name_of(Path(systems.byteedit.LORAS) / "boost", systems.byteedit.LORAS) == "boost"
    assert {"bld", "diffedit", "emilie", "emilie-pixels", "sd-inpaint", "telea"} < systems.others().keys()


def test_what_ships_goes_by_its_name(pipe, tmp_path, monkeypatch):
    pipe.save_pretrained(tmp_path / "tiny")
    unet = build_unet()
    add_lora(unet, LoraSettings(rank=2))
    save_lora(unet, tmp_path / "loras" / "fast", schedule=Schedule.trained(8, 6, "masked", "trailing"))
    coherence().save_pretrained(tmp_path / "rewards" / "coherence")
    monkeypatch.setattr(byteedit, "LORAS", str(tmp_path / "loras"))
    monkeypatch.setattr(byteedit, "REWARDS", str(tmp_path / "rewards"))
    settings = open_system(f"byteedit:{tmp_path / 'tiny'},lora=fast").settings
    assert (settings["lora"], settings["num_inference_steps"]) == ("fast", 8)
    assert open_score("reward:coherence").about.startswith("reward.coherence: coherence at ")


def test_figures_have_the_keys_of_the_results(systems, tmp_path):
    run = write_run(tmp_path / "run", {"boost20": [marked(4.0)] * 3, "baseline20": [marked(3.0)] * 3})
    found = systems.figures(gather([read_run(run)], ablations=[("boost20", "baseline20")]))
    assert found["table1.boost20.editing.coherence"].value == 4
    assert found["table2.editbench.baseline20.editing.right"].value == 1
    assert found["winrate.boost-vs-baseline.editing.structure_aesthetics"].value == 1
    assert found["winrate.boost-vs-baseline.editing.overall"].n == 3


@pytest.mark.slow
def test_a_run_of_one_case_leaves_the_docs_alone(systems, tmp_path):
    empty = {"loras": tmp_path / "none", "rewards": tmp_path / "none"}
    systems.main(systems.Settings(limit=1, output=tmp_path, device="cpu", baselines=False, **empty))
    folder = tmp_path / "limit-1"
    results = json.loads((folder / "results.json").read_text())
    assert results["table1.baseline20.erasing.structure"]["n"] == 1
    assert {key.partition(".")[0] for key in results} == {"table1", "table2"}
    assert (folder / "report" / "report.html").read_text().count('class="slider"') == 3
