"""Studies from end to end: made, answered by simulated raters, reported, exported, all by the command line."""

import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from byteedit.cli import main
from byteedit.data.preferences import AESTHETIC, Skipped, examples, load
from byteedit.evaluation.human.creation import create_study, read_cases
from byteedit.evaluation.human.export import export_pairs
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.studies import StudySettings, open_study
from byteedit.training.reward import RewardSettings, open_rows
from toy_studies import answer, make_study, write_cases

FOUR = ("ours", "good", "fair", "poor")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with twelve cases and the pictures of four systems, which is the current one."""
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path, 12, FOUR)
    return tmp_path


def create(kind, systems, *options):
    named = [word for system in systems for word in ("--system", f"{system}={system}")]
    return main(["study", "create", "study", "--cases", "cases.jsonl", *named, "--kind", kind, *options])


def report(capsys, *options):
    assert main(["study", "report", "study", *options]) == 0
    return capsys.readouterr().out


def test_good_same_bad(folder, capsys):
    options = ["--raters", "3", "--votes", "2", "--attention", "2", "--seed", "3"]
    assert create("gsb", ("ours", "good", "poor"), *options) == 0
    assert "study: 26 questions for 3 raters, at most 18 each" in capsys.readouterr().out
    study = open_study("study")
    given = answer(study, ["Ann", "Bob", "Cem"])
    slow = Counter()
    for (_, id), value in given.items():
        question = study.questions[id]
        if question.damaged is None:
            winner = {"left": 0, "right": 1}.get(value["overall"])
            outcome = "same" if winner is None else "good" if question.systems[winner] == "ours" else "bad"
            other = next(system for system in question.systems if system != "ours")
            slow[question.task, other, outcome] += 1
    summary = json.loads(report(capsys, "--json"))
    found = {
        (row["task"], row["other"], name): row[name] for row in summary["results"] for name in ("good", "same", "bad")
    }
    assert found == {key: slow[key] for key in found} and sum(found.values()) == 48 == summary["answers"]["counted"]
    assert [(row["task"], row["other"]) for row in summary["results"]] == [
        ("editing", "good"), ("editing", "poor"), ("erasing", "good"), ("erasing", "poor"),
    ]  # fmt: skip
    good, poor = summary["results"][:2]
    assert poor["good"] > 10 and poor["net"]["value"] > good["net"]["value"]
    assert poor["preferred"]["n"] == poor["images_good"] + poor["images_bad"] <= 6
    assert all(row["checks_passed"] == row["checks"] == 2 and row["median_seconds"] == 2 for row in summary["raters"])
    assert all(row["alpha"] > 0.2 and row["judged_twice"] == 12 for row in summary["agreement"])
    twice = defaultdict(list)
    for (_, id), value in given.items():
        if study.questions[id].damaged is None:
            twice[study.questions[id].task, id].append(value["overall"])
    for row in summary["agreement"]:
        pairs = [one == other for (task, _), (one, other) in twice.items() if task == row["task"]]
        assert row["same"]["value"] == pytest.approx(np.mean(pairs)) and len(pairs) == 12
        assert row["same"]["n"] == 6  # images
    sides = [value["overall"] for (_, id), value in given.items() if study.questions[id].damaged is None]
    left = summary["answers"]["left_side"]
    assert left["value"] == pytest.approx(sides.count("left") / (sides.count("left") + sides.count("right")))
    assert left["n"] <= 12  # images, not votes


def test_too_few_raters_to_spread_the_pairs_of_a_case_is_said(folder, capsys):
    assert create("gsb", FOUR, "--raters", "5", "--votes", "2") == 0
    assert "may know it by its coming again; with --raters 6 or more nobody does." in capsys.readouterr().out
    shutil.rmtree("study")
    assert create("gsb", FOUR, "--raters", "6", "--votes", "2") == 0
    assert "coming again" not in capsys.readouterr().out


def test_scores_from_1_to_5(folder, capsys):
    assert create("scores", FOUR, "--raters", "2", "--votes", "2") == 0
    study = open_study("study")
    given = answer(study, ["Ann", "Bob"])
    slow = defaultdict(list)
    for (_, id), value in given.items():
        for axis, mark in value.items():
            slow[study.questions[id].task, axis, study.questions[id].systems[0]].append(mark)
    capsys.readouterr()
    summary = json.loads(report(capsys, "--json"))
    means = {(row["task"], row["axis"], row["system"]): row["mean"]["value"] for row in summary["results"]}
    assert means == pytest.approx({key: np.mean(marks) for key, marks in slow.items()})
    assert len(means) == 3 * 4 + 2 * 4  # no aesthetics for erasures
    zs = [row["z"]["value"] for row in summary["results"] if (row["task"], row["axis"]) == ("editing", "structure")]
    assert zs == sorted(zs, reverse=True) and sum(zs) != 0
    assert [row["system"] for row in summary["results"][:4]] == list(FOUR)
    assert all(row["mean"]["n"] == 6 and row["votes"] == 12 for row in summary["results"])
    assert all(row["alpha"] > 0.5 for row in summary["agreement"])


def test_best_and_worst_of_four_becomes_training_data(folder, capsys):
    assert create("best-worst", FOUR, "--raters", "2", "--votes", "2", "--attention", "1") == 0
    study = open_study("study")
    given = answer(study, ["Ann", "Bob"])
    capsys.readouterr()
    summary = json.loads(report(capsys, "--json"))
    rows = {(row["task"], row["system"]): row for row in summary["results"]}
    assert sum(row["best"]["value"] for row in rows.values()) == pytest.approx(2)  # one each for either task
    ours, poor = rows["editing", "ours"], rows["editing", "poor"]
    assert ours["net"]["value"] > 0.2 and poor["net"]["value"] < -0.5
    assert ours["net"]["value"] == pytest.approx(ours["best"]["value"] - ours["worst"]["value"])

    assert main(["study", "export", "study", "pairs", "--validation", "0.25"]) == 0
    assert capsys.readouterr().out == "pairs: 18 pairs to train on, 6 held out\n"
    found, skipped = defaultdict(list), Skipped()
    for split in ("train", "validation"):
        for row in examples(load("pairs", AESTHETIC, skipped, split=split), AESTHETIC, skipped):
            found[split].append(row)
            assert row["mask"].mode == "L" and row["image"].size == (24, 16)
    assert not skipped.reasons
    shown = {
        (rater, study.questions[id].prompt): [pixels(study, id, value[end]) for end in ("best", "worst")]
        for (rater, id), value in given.items()
        if study.questions[id].damaged is None and study.questions[id].task == "editing"
    }
    edits = [row for row in found["train"] + found["validation"] if row["task"] == "editing"]
    assert len(edits) == len(shown) == 12
    for row in edits:
        best, worst = shown[row["rater"], row["prompt"]]
        assert np.array_equal(np.asarray(row["chosen"]), best) and np.array_equal(np.asarray(row["rejected"]), worst)
    images = [{row["image"].tobytes() for row in found[split]} for split in ("train", "validation")]
    assert not images[0] & images[1] and len(images[1]) == 3
    settings = RewardSettings(reward="aesthetic", data="pairs", output="out", steps=1, batch_size=2, lr=1e-3)
    assert [len(open_rows(settings, split)) for split in ("train", "validation")] == [18, 6]


def pixels(study, id, position):
    return np.asarray(Image.open(study.folder / study.questions[id].pictures[position - 1]))


def test_votes_on_outpaintings_become_training_data(folder):
    folders = write_cases(folder, 4, FOUR)
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    for row in rows:
        row["task"] = "outpainting"
        Image.new("RGB", (10, 10)).save(folder / row["image"])
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = StudySettings(kind="best-worst")
    study = create_study(folder / "study", read_cases(folder / "cases.jsonl"), folders, settings)
    answer(study, ["Ann"])
    assert sum(export_pairs(study, folder / "pairs", validation=0.25).values()) == 4
    skipped = Skipped()
    assert len(list(examples(load(folder / "pairs", AESTHETIC, skipped, split="train"), AESTHETIC, skipped))) == 3
    assert not skipped.reasons


def test_an_export_that_breaks_off_leaves_nothing_behind(folder):
    study = make_study(folder / "made", "best-worst", FOUR, count=4)
    answer(study, ["Ann"])
    *_, last = study.questions.values()
    for name in last.pictures:
        (study.folder / name).unlink()
    with pytest.raises(FileNotFoundError):
        export_pairs(study, folder / "out" / "pairs", validation=0.25)
    assert not (folder / "out").exists() and not list(folder.glob(".pairs*"))


def test_the_report_is_a_page_with_every_formula_named(folder, capsys):
    create("gsb", ("ours", "poor"), "--raters", "2", "--votes", "2", "--attention", "3")
    study = open_study("study")
    answer(study, ["Ann", "Bob"])
    first = next(question for question in join(study, "Ann").questions if question.damaged is None)
    join(study, "Ann").record("again", first.id, {"overall": "same"})
    with open(study.folder / "answers" / "bob.jsonl", "ab") as file:
        file.write(b'{"id": "torn')
    capsys.readouterr()
    page = report(capsys, "--output", "out")
    head = next(line for line in page.splitlines() if line.startswith("| task"))
    for name in ("(G+S)/(S+B)", "G/B", "(G+S)/(G+2S+B)", "(G-B)/(G+S+B)", "sign test, p"):
        assert f"| {name} |" in head
    assert page.count("| editing | overall | ours | poor |") == 1
    assert "24 answers of 2 raters" in page
    assert "| ann | 15 | 3 of 3 | 2.0 |" in page
    assert "1 answers were changed" in page and "1 lines, torn line" in page
    assert Path("out/report.md").read_text() == page
    written = json.loads(Path("out/report.json").read_text())
    assert written["answers"]["left_out"] == {"torn line": 1}
    rows = page.splitlines()
    table = [row for row in rows if row.startswith("|")]
    assert {row.count("|") for row in table} == {14, 6}
    assert "| task | axis | judged twice or more | pairs of votes the same | Krippendorff's alpha, ordinal |" in table
    assert "Below 10 a bootstrapped interval is too short" in page


def test_who_fails_the_checks_can_be_left_out(folder, capsys):
    create("gsb", ("ours", "poor"), "--raters", "2", "--votes", "2", "--attention", "6")
    answer(open_study("study"), ["Ann", "Blind"], blind=["Blind"])
    capsys.readouterr()
    everyone = json.loads(report(capsys, "--json"))
    careful = json.loads(report(capsys, "--json", "--min-attention", "0.9"))
    assert (everyone["answers"]["counted"], careful["answers"]["counted"]) == (24, 12)
    assert [row["left_out"] for row in careful["raters"]] == [False, True]
    assert careful["results"][0]["net"]["value"] > everyone["results"][0]["net"]["value"]
    assert everyone["answers"]["left_side"]["value"] > careful["answers"]["left_side"]["value"]
    assert all(row["alpha"] is None for row in careful["agreement"])


def test_a_page_says_what_is_not_defined(folder, capsys):
    create("gsb", ("ours", "poor"))
    ann = join(open_study("study"), "Ann")
    for question in ann.questions:
        side = "same" if question.task == "erasing" else ("left", "right")[question.systems.index("ours")]
        ann.record(question.id, question.id, {"overall": side})
    capsys.readouterr()
    page = report(capsys)
    editing, erasing = (next(row for row in page.splitlines() if row.startswith(f"| {task}")) for task in ("ed", "er"))
    assert "| ∞ (∞ to ∞) | ∞ (∞ to ∞) | 100.0% (100.0% to 100.0%) |" in editing
    assert "| 0 | 6 | 0 | 100.0% (100.0% to 100.0%) | not defined | 50.0%" in erasing
    assert "| editing | overall | 0 | not defined |" in page
    assert json.loads(report(capsys, "--json"))["results"][0]["superiority"]["value"] is None


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("study", 2, "Expected one of {create, serve, report, export}"),
        ("study create study --cases cases.jsonl --system ours --kind gsb", 2, "--system is 'ours'; write NAME=DIR"),
        ("study create s --cases cases.jsonl --system a=ours --system a=poor --kind gsb", 2, "have the same name"),
        (
            "study create s --cases cases.jsonl --system a=ours --system b=poor --kind gsb --votes 2",
            2,
            "votes is 2 with 1",
        ),
        ("study create s --cases nowhere.jsonl --system a=ours --system b=poor --kind gsb", 1, "nowhere.jsonl"),
        ("study create s --cases cases.jsonl --system a=ours --kind gsb", 1, "1 systems for gsb"),
        ("study report nowhere", 1, "nowhere is no study"),
        ("study report study", 1, "study has no answers to count"),
        ("study export study out", 1, "is a study of gsb; only best-worst makes training pairs"),
        ("study export other out", 1, "0 cases with answers cannot be split"),
    ],
)
def test_errors_are_one_line(folder, capsys, line, code, words):
    create("gsb", ("ours", "poor"))
    make_study(folder / "more", "best-worst", FOUR, count=2).folder.rename(folder / "other")
    capsys.readouterr()
    assert main(line.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not (folder / "s").exists() and not (folder / "out").exists()


def test_missing_pictures_are_listed_by_the_command_too(folder, capsys):
    (folder / "poor" / "case-3.png").unlink()
    assert create("gsb", ("ours", "poor")) == 1
    assert "1 of 12 cases cannot be shown: case-3 (poor: missing image" in capsys.readouterr().err
    assert create("gsb", ("ours", "poor"), "--skip-missing") == 0
    assert "left out case-3: poor: missing image" in capsys.readouterr().out


def test_what_no_case_and_no_report_can_be_is_said(folder, capsys):
    line = json.loads((folder / "cases.jsonl").read_text().splitlines()[0]) | {"mask": 5}
    (folder / "wrong.jsonl").write_text(json.dumps(line))
    with pytest.raises(ValueError, match=r"wrong.jsonl, line 1: mask is 5; expected words"):
        read_cases(folder / "wrong.jsonl")
    assert create("gsb", FOUR[:2], "--attention", "2") == 0
    answer(open_study("study"), ["ann"], blind=("ann",))
    assert main(["study", "report", "study", "--min-attention", "1.1"]) == 1
    assert "all 1 raters passed less than 1.1 of their checks" in capsys.readouterr().err
