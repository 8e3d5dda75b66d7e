"""Runs: everything kept, a stopped one gone on with to the same end, a failing case ends nothing; the command line."""

import json
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, CLIPConfig, CLIPModel

from byteedit.cli import main
from byteedit.evaluation import runs
from byteedit.evaluation.lines import folder_of, read_lines, summarise
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.evaluation.scores import pixel_scores
from byteedit.evaluation.systems import open_system
from toy_benchmarks import mask, picture, save, write_brushbench, write_editbench

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def model(pipe, tmp_path):
    """A checkpoint of tiny random weights; its text as it is typed."""
    pipe.save_pretrained(tmp_path / "tiny")
    return f"byteedit:{tmp_path / 'tiny'},steps=1"


@pytest.fixture
def bench(tmp_path):
    """An EditBench of three cases."""
    (tmp_path / "bench").mkdir()
    return write_editbench(tmp_path / "bench")


@pytest.fixture
def settings(model, bench, tmp_path):
    """Function that makes settings of a run in a folder of its own: settings(systems=..., limit=...)."""

    def build(**changes) -> RunSettings:
        values = {"benchmark": f"editbench:{bench}", "systems": (model,), "output": tmp_path / "run"}
        return RunSettings(**values | changes)

    return build


def without_times(folder) -> list[dict]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_lines(folder)]


def test_a_run_keeps_every_answer_with_its_settings(settings, model):
    said = []
    figures = evaluate(settings(seed=7), said.append)[model]
    folder = folder_of(settings().output, model)
    run = json.loads((settings().output / "run.json").read_text())
    assert (run["seed"], run["cases"], run["prompt"]) == (7, 3, None)
    assert run["versions"][0]["torch"] == version("torch")
    assert json.loads((folder / "system.json").read_text())["num_inference_steps"] == 1
    lines = read_lines(folder)
    names = ["natural-cat-material-indoor", "natural-dog-color-outdoor", "generated-cup-size-art"]
    assert [line["id"] for line in lines] == names
    assert [line["seed"] for line in lines] == [7, 8, 9]
    assert lines[0]["prompt"] == "a cat-material-indoor, in a room"
    assert lines[0]["attributes"]["category"] == "common"
    cases = runs.asking(runs.open_benchmark(settings().benchmark), None)
    for case, line in zip(cases, lines, strict=True):
        assert line["scores"] == pixel_scores(case, np.asarray(Image.open(folder / f"{case.id}.png")))
    assert figures["editing.changed"].value == 0
    assert figures["editing.border_contrast"].n == 3 and "editing.seam" not in figures  # there is no right answer
    written = json.loads((settings().output / "figures.json").read_text())
    assert written[model]["editing.changed"]["value"] == 0
    assert said[0].startswith(f"editbench:{settings().benchmark.partition(':')[2]}: 3 cases; masks cover 6.8%")
    assert said[1:] == ["pixels: at the picture's own size", f"{model}: 3 cases of editing"]


def test_a_run_that_was_stopped_goes_on_to_the_same_end(settings, model, tmp_path, monkeypatch):
    whole = settings(output=tmp_path / "whole")
    expected = evaluate(whole, print)
    asked, real = [], runs.answer_to

    def stopping(system, case):
        asked.append(case.id)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(system, case)

    monkeypatch.setattr(runs, "answer_to", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings(), print)
    folder = folder_of(settings().output, model)
    assert [line["id"] for line in read_lines(folder)] == asked[:1]
    assert evaluate(settings(), print) == expected
    assert asked == [*asked[:2], asked[1], "generated-cup-size-art"]  # the first is not made again
    assert without_times(folder) == without_times(folder_of(whole.output, model))
    for file in folder_of(whole.output, model).glob("*.png"):
        assert (folder / file.name).read_bytes() == file.read_bytes()
    assert evaluate(settings(), print) == expected
    assert len(asked) == 4


def test_a_failing_case_ends_nothing_and_is_tried_again(settings, tmp_path):
    made, system = tmp_path / "made", f"folder:{tmp_path / 'made'}"
    made.mkdir()
    (made / "system.json").write_text('{"system": "someone\'s editor"}')
    for name in ("natural-cat-material-indoor", "generated-cup-size-art"):
        Image.new("RGB", (48, 40), "red").save(made / f"{name}.png")
    said = []
    figures = evaluate(settings(systems=(system,)), said.append)[system]
    assert figures["editing.changed"].n == 2
    assert said[-2] == f"{system}: 3 cases of editing"
    assert said[-1].strip() == (
        f"1 failed: natural-dog-color-outdoor; the first because {made} has no natural-dog-color-outdoor.png."
    )
    Image.new("RGB", (48, 40), "red").save(made / "natural-dog-color-outdoor.png")
    assert evaluate(settings(systems=(system,)), said.append)[system]["editing.changed"].n == 3
    assert "failed" not in said[-1]


def test_what_cannot_be_scored_ends_nothing(settings, model):
    evaluate(settings(), print)
    folder = folder_of(settings().output, model)
    (folder / "natural-dog-color-outdoor.png").write_bytes(b"no picture")
    lines = read_lines(folder)
    for line in lines:
        line["by"], line["scores"] = [], {}
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = []
    assert evaluate(settings(), said.append)[model]["editing.changed"].n == 2
    assert "1 failed: natural-dog-color-outdoor" in said[-1] and "broken image" in said[-1]


def test_a_run_takes_more_systems_and_scores_but_no_other_cases(settings, model, tmp_path):
    evaluate(settings(limit=2), print)
    again = f"folder:{folder_of(settings().output, model)}"
    figures = evaluate(settings(limit=2, systems=(model, again)), print)
    assert figures[again] == figures[model]
    with pytest.raises(ValueError, match="run was begun with other settings: limit was 2, is None, "):
        evaluate(settings(), print)
    (folder_of(settings().output, model) / "system.json").write_text('{"system": "another"}')
    with pytest.raises(ValueError, match="was begun with other settings: system was 'another', "):
        evaluate(settings(limit=2), print)


def test_labels_name_systems_and_earlier_figures_are_kept(settings, model):
    evaluate(settings(systems=(f"ours={model}",)), print)
    assert list(evaluate(settings(systems=(f"again={model}",)), print)) == ["again"]
    written = json.loads((settings().output / "figures.json").read_text())
    assert list(written) == ["ours", "again"] and written["ours"] == written["again"]
    assert len(list((settings().output / "ours").glob("*.png"))) == 3
    assert json.loads((settings().output / "run.json").read_text())["scores"] == ["pixels: at the picture's own size"]
    for texts, words in (((model, model), "have the same name; give each a label"), (("a b=x",), "'a b' is no label")):
        with pytest.raises(ValueError, match=words):
            evaluate(settings(systems=texts), print)


def test_scores_of_models_and_of_whole_sets(settings, model, tmp_path):
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat"]
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": None, "eos_token_id": 3}
    eye = {**SMALL, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=eye, projection_dim=8)).save_pretrained(tmp_path / "clip")
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(tmp_path / "clip")
    said, place = [], tmp_path / "clip"
    asked = settings(scores=(f"clip:{place}", f"sets:{place}"), prompt="rich")
    figures = evaluate(asked, said.append)[model]
    assert {"editing.clip.full", "editing.clip.rich", "editing.clip_w.simple"} <= figures.keys()
    assert figures["editing.clip_fid"].value > 0 and figures["editing.clip_kid"].n == 3
    assert read_lines(folder_of(asked.output, model))[0]["prompt"] == "a big, old cat-material-indoor"
    assert f"CLIPScore: {place} at 16 px, cosine, 100 x cosine and w = 2.5" in said


def test_what_is_installed_and_broken_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text('raise ImportError("built for another numpy")')
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="built for another numpy"):
        open_system("telea")


def test_systems_answer_only_what_they_can(tmp_path):
    pytest.importorskip("cv2")
    save(tmp_path / "one.png", picture(0))
    save(tmp_path / "mask.png", mask())
    common = {"file_name": "one.png", "mask_file_name": "mask.png"}
    tasks = ({"id": "a", "task": "editing", "prompt": "a boat"}, {"id": "b", "task": "erasing"})
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(common | task) for task in tasks))
    settings = RunSettings(benchmark=f"userbench:{tmp_path}", systems=("telea",), output=tmp_path / "run")
    assert {name.partition(".")[0] for name in evaluate(settings, print)["telea"]} == {"erasing"}
    assert [line["id"] for line in read_lines(tmp_path / "run" / "telea")] == ["b"]
    assert open_system("telea").tasks == ("erasing",)


def test_figures_of_lines():
    def line(task, **scores):
        return {"id": "x", "task": task, "scores": scores}

    lines = [
        line("editing", seam=3.0, seam_true=2.0, right=True, seen="a boat"),
        line("editing", seam=1.0, seam_true=2.0, right=False, seen=None),
        line("editing", seam=9.0),  # without a right answer, so not in the mean
        line("erasing", seam=4.0, psnr=20.0),
        {"id": "y", "task": "erasing", "scores": {}, "error": "broken"},
    ]
    found = {name: (figure.value, figure.n) for name, figure in summarise(lines).items()}
    assert found == {
        "editing.seam": (0.5, 2),  # 3 is 1 more than 2, and 1 is not less than none
        "editing.seam_true": (2.0, 2),
        "editing.right": (0.5, 2),
        "erasing.border_contrast": (4.0, 1),
        "erasing.psnr": (20.0, 1),
    }


def test_the_shipped_model_on_both_layouts_from_the_command_line(tmp_path, capsys):
    for name, write, share in (("editbench", write_editbench, "6.5%"), ("brushbench", write_brushbench, "6.6%")):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
        line = f"evaluate --benchmark {name}:{tmp_path / name} --system byteedit,steps=1 --limit 2 --device cpu"
        assert main(f"{line} --output {tmp_path / 'run' / name}".split()) == 0
        printed = capsys.readouterr().out
        assert f"{name}:{tmp_path / name}: 2 cases; masks cover {share}" in printed
        assert "editing.changed" in printed and " 0.0000  [0.0000, 0.0000]  n = 2" in printed
        assert len(list((tmp_path / "run" / name / "byteedit-steps=1").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("evaluate", 2, "--output is missing"),
        ("evaluate --output run --benchmark drawbench", 1, "no benchmark called 'drawbench'"),
        ("evaluate --output run --benchmark editbench:. --system adobe", 1, "no system called 'adobe'"),
        ("evaluate --output run --benchmark editbench:. --prompt poor", 2, "--prompt"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, capsys, line, code, words):
    monkeypatch.chdir(write_editbench(tmp_path))
    assert main(line.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
