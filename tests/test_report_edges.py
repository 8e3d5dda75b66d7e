"""Reports on what is odd: runs of one benchmark, studies that do not fit, cases and scores that are not there."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from byteedit.cli import main
from byteedit.evaluation.human.creation import create_study, read_cases
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.studies import StudySettings, open_study
from byteedit.evaluation.human.summary import summarise
from byteedit.evaluation.report.charts import bars
from byteedit.evaluation.report.content import gather, to_json
from byteedit.evaluation.report.grids import mark_grid, score_grids
from byteedit.evaluation.report.markdown import to_markdown
from byteedit.evaluation.report.page import to_html
from byteedit.evaluation.report.reading import read_run
from toy_benchmarks import picture, save
from toy_reports import NAMES, marked, write_run
from toy_studies import judge, make_study, write_cases

ANSWERS = {"ours": [marked(4.0)] * 3, "theirs": [marked(3.0)] * 3}


def answer(study, *names):
    """Let raters answer a whole study."""
    for name in names:
        rater = join(study, name)
        while found := rater.upcoming():
            rater.record(found[0].id, found[0].id, judge(study, found[0], np.random.default_rng(0)))


def report(capsys, *words):
    """What `byteedit report` prints."""
    assert main(["report", *map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ({"benchmark": "brushbench:b,where=inside"}, {"benchmark": "brushbench:b"}, ["(where=inside)", ""]),
        ({"prompt": "full"}, {"prompt": "rich"}, ["(prompt full)", "(prompt rich)"]),
        ({"seed": 0, "prompt": "rich"}, {"seed": 1, "prompt": "rich"}, ["(seed 0)", "(seed 1)"]),
        ({"limit": 2}, {"limit": None}, ["(limit 2)", ""]),
        ({"benchmark": "editbench:a/cats"}, {"benchmark": "editbench:a/dogs"}, ["(cats)", "(dogs)"]),
        ({}, {}, ["(a/run)", "(b/run)"]),
        ({"benchmark": "editbench:b"}, {"benchmark": "brushbench:b"}, ["", ""]),
    ],
)
def test_runs_of_one_benchmark_are_told_apart(tmp_path, first, second, labels):
    runs = [read_run(write_run(tmp_path / of / "run", ANSWERS, **asked)) for of, asked in (("a", first), ("b", second))]
    content = gather([*runs, runs[0]], ablations=[("ours", "theirs")])
    assert [run.label for run in content.runs] == [
        f"{run.benchmark} {label}".strip() for run, label in zip(runs, labels, strict=True)
    ]
    rows = to_json(content)
    for part, names in (("marks", ["system", "task", "axis"]), ("scores", ["system", "task", "score"]), ("votes", [])):
        described = [tuple(row[name] for name in ["benchmark", *names]) for row in rows[part]]
        assert len(set(described)) == len(described) > 1
    assert len({row["benchmark"] for row in rows["ablations"]}) == 2
    for run in content.runs:  # each stands above its own bars
        assert f"<small>the gold judge, {run.label}</small>" in bars(mark_grid(content), 0, "ours")


def test_every_run_of_a_benchmark_keeps_its_numbers(tmp_path):
    lines = {"ours": [{"clip.full": 0.1}] * 3}, {"ours": [{"clip.full": 0.3}] * 3}
    runs = [read_run(write_run(tmp_path / str(n), of, seed=n)) for n, of in enumerate(lines)]
    content = gather(runs)
    grids = score_grids(content)
    assert [grid.title for grid in grids] == [
        "editbench (seed 0), editing",
        "editbench (seed 1), editing",
        "userbench, not run here",
    ]
    for grid, value in zip(grids, (0.1, 0.3), strict=False):
        assert grid.lines[0].cells[0].value == pytest.approx(value)
        assert [line.cells for line in grid.lines if line.label == "ByteEdit"] == [[0.329]]
    titles = re.findall(r"<summary>(ours, [^<]*)", to_html(content, pictures=1))
    assert titles == 2 * ["ours, editbench (seed 0)", "ours, editbench (seed 1)"]


def test_three_runs_two_of_which_were_asked_the_same(tmp_path):
    runs = [read_run(write_run(tmp_path / name, ANSWERS, seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    labels = [run.label for run in gather(runs).runs]
    assert labels == ["editbench (seed 0, a)", "editbench (seed 0, b)", "editbench (seed 1)"]


def test_what_people_picked_as_best_and_worst_is_shown(tmp_path, capsys):
    run = write_run(tmp_path / "run", ANSWERS)
    systems = ("ours", "good", "fair", "poor")
    study = make_study(tmp_path / "picks", "best-worst", systems=systems, count=4, raters=1)
    answer(study, "Ann")
    page = report(capsys, run, study.folder)
    results = {(row["task"], row["system"]): row for row in summarise(study)["results"]}
    heads = "editing best | editing worst | editing best - worst | erasing best | erasing worst | erasing best - worst"
    assert f"## People's picks\n\n{'How often people'}" in page and f"| Picks | source | {heads} |" in page
    [line] = re.findall(r"\| ours \| people, study \|(.*)", page)
    best = [results[task, "ours"]["best"]["value"] for task in ("editing", "erasing")]
    assert [cell.split()[0] for cell in line.split("|")[:4:3]] == [f"{value:.1%}" for value in best]
    picks = json.loads((run / "report" / "report.json").read_text())["picks"]
    assert [row["net"] for row in picks] == [row["net"] for row in results.values()]
    html = (run / "report" / "report.html").read_text()
    assert '<section id="picks"><h2>People\'s picks</h2>' in html and html.count("people, study") == 1
    assert "People's picks" not in report(capsys, run)


def test_marks_that_have_no_place_are_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", {"ours": [marked(4.0)] * 3})
    own = make_study(tmp_path / "own", "scores", count=2, axes=("coherence", "sharpness"))
    folders = write_cases(tmp_path / "bare", 2)
    cases = [replace(case, task="") for case in read_cases(tmp_path / "bare" / "cases.jsonl")]
    bare = create_study(tmp_path / "bare" / "study", cases, folders, StudySettings(kind="scores", axes=("coherence",)))
    votes = create_study(tmp_path / "votes", cases, folders, StudySettings(kind="gsb", axes=("overall", "colours")))
    for study in (own, bare, votes):
        answer(study, "Ann")
    page = report(capsys, run, own.folder, bare.folder, votes.folder)
    html = (run / "report" / "report.html").read_text()
    assert "<span>overall</span>" in html and "<span>colours</span>" in html
    for line in (
        "- own/study: Table 1 has no place for sharpness (editing), sharpness (erasing); report.json has these marks.",
        "- bare/study: Table 1 has no place for coherence (no task); report.json has these marks.",
    ):
        assert page.count(f"{line}\n") == 1
        assert f"<li>{line[2:]}</li>" in html
    assert "| people, own/study | " in page and "| people, bare/study | " not in page
    marks = json.loads((run / "report" / "report.json").read_text())["marks"]
    assert {row["axis"] for row in marks if row["task"] == ""} == {"coherence"}


def test_raters_who_do_not_look_are_left_out(tmp_path, capsys):
    run = write_run(tmp_path / "run", {"ours": [marked(4.0)] * 3})
    study = make_study(tmp_path / "votes", "gsb", count=4, raters=2, votes=2, attention=2)
    answer(study, "Ann")
    blind = join(study, "Ben")
    while found := blind.upcoming():
        side = ("left", "right")[(found[0].damaged or 1) - 1]  # the spoilt one, else the left
        blind.record(found[0].id, found[0].id, {"overall": side})
    counts = {}
    for least in (0, 0.9):
        report(capsys, run, study.folder, "--min-attention", least, "--pictures", 0)
        rows = json.loads((run / "report" / "report.json").read_text())["votes"]
        counts[least] = [sum(row[name] for row in rows) for name in ("good", "same", "bad")]
    assert sum(counts[0]) == 8 and counts[0.9] == [4, 0, 0]
    page = report(capsys, run, study.folder, "--min-attention", 0.9, "--pictures", 0)
    assert "- study: Rater ben is left out, who passed 0 of 2 attention checks.\n" in page
    assert len(open_study(study.folder).questions) == 6


@pytest.mark.parametrize(("by", "words"), [("seam", "score seam"), (None, "usual score")])
def test_runs_without_the_score_are_left_out_and_named(tmp_path, capsys, by, words):
    full = write_run(tmp_path / "full", {s: [{"seam": 1.0, "psnr.masked": 40.0}] * 3 for s in ("ours", "theirs")})
    bare = write_run(tmp_path / "bare", {s: [{"changed": v}] * 3 for s, v in (("ours", 0.1), ("theirs", 0.2))})
    page = report(capsys, full, bare, "--ablation", "ours", "theirs", *(["--by", by] if by else []))
    line = f"bare has no {words}: its answers are neither compared nor shown."
    assert page.count(f"- {line}\n") == 1
    html = (full / "report" / "report.html").read_text()
    assert html.count(f"<li>{line}</li>") == 1 and html.count('class="slider"') == 2 * 3
    assert "ours, editbench (full)" in html
    assert "| theirs | editing | overall | " in page and "editbench (bare) | 0 |" not in page
    if by:
        assert main(["report", str(bare), "--by", by]) == 1
        assert "no run has a score seam that is a number; there are changed." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores", "by"),
    [
        (["psnr.unmasked", "ssim.unmasked", "changed", "psnr"], None),
        (["psnr.unmasked", "psnr.masked"], "psnr.masked"),
        (["psnr.masked", "pickscore"], "pickscore"),
        (["pickscore", "reward.coherence", "reward.alignment"], "reward.alignment"),
        (["reward.alignment", "clip.simple", "blip_itm.full"], "clip.simple"),
    ],
)
def test_what_says_nothing_of_an_edit_is_not_what_edits_are_compared_by(tmp_path, capsys, scores, by):
    run = write_run(tmp_path / "run", {system: [dict.fromkeys(scores, 9.0)] * 3 for system in ("ours", "theirs")})
    page, line = report(capsys, run), "run: no score to compare by; name one with --by."
    html = (run / "report" / "report.html").read_text()
    assert read_run(run).main_score() == by
    assert f"| theirs | editing | overall | {by}, editbench | 0 | 3 | 0 |" in page or by is None
    assert (page.count(f"\n\n{line}\n\n"), html.count(f"<p>{line}</p>")) == ((0, 0) if by else (1, 1))
    assert ("| theirs | editing |" in page) == bool(by)
    if not by:
        assert line not in report(capsys, run, "--by", "psnr.unmasked")


def test_a_system_whose_cases_all_failed_is_named(tmp_path):
    run = write_run(tmp_path / "run", ANSWERS)
    file = run / "theirs" / "scores.jsonl"
    lines = [json.loads(line) | {"scores": {}, "error": "no memory"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    content = gather([read_run(run)], ablations=[("ours", "theirs")])
    assert content.left_out == ["run/theirs has no score quality: its answers are neither compared nor shown."]
    assert content.votes == content.ablations == []
    assert to_html(content, pictures=1).count('class="slider"') == 2


def test_cases_that_cannot_be_shown_are_left_out_and_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", {"ours": [marked(4.0), marked(3.0), marked(2.0)], "theirs": [marked(3.0)] * 3})
    (run / "ours" / f"{NAMES[0]}.png").write_text("no picture")
    (run / "theirs" / f"{NAMES[0]}.png").unlink()
    save(tmp_path / "bench" / "references_natural" / "dog-color-outdoor.png", picture()[:20])
    rows = (tmp_path / "bench" / "annotations_generated.csv").read_text().splitlines()
    (tmp_path / "bench" / "annotations_generated.csv").write_text(rows[0] + "\n")
    said = report(capsys, run)
    html = (run / "report" / "report.html").read_text()
    for system, why in (("ours", "broken image"), ("theirs", "missing image")):
        [line] = [line for line in said.splitlines() if line.startswith(f"run/{system}: not shown: ")]
        assert f"{NAMES[0]} ({run}/{system}/{NAMES[0]}.png: {why})" in line
        assert f"{NAMES[1]} ({NAMES[1]}: the picture is 48 x 20 pixels, the mask 48 x 40" in line
        assert f"{NAMES[2]} (the benchmark has it no longer)" in line
        assert f"<p>{line}</p>" in html
    assert 'class="slider"' not in html
    assert "Drag across" not in html


@pytest.mark.parametrize("values", [("a red boat", None, "a cup"), (None, None, None), [float("nan")] * 3])
def test_only_numbers_compare(tmp_path, values):
    lines = [marked(3.0) | {"seen": value, "clip.<b>": 1.0} for value in values]
    run = read_run(write_run(tmp_path / "run", {"ours": lines, "theirs": lines}))
    words = "no run has a score seen that is a number; there are aesthetics, clip.<b>, coherence, quality, right"
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        gather([run], by="seen")
    assert "\n" not in str(caught.value)


def test_an_answer_whose_score_is_no_number_is_not_compared(tmp_path):
    lines = {"ours": [{"likeness": 0.5}, {"likeness": None}, {"likeness": 0.7}], "theirs": [{"likeness": 0.6}] * 3}
    content = gather([read_run(write_run(tmp_path / "run", lines))], by="likeness")
    assert [(row["good"], row["bad"]) for row in content.votes] == [(1, 1)]
    assert to_html(content, pictures=2).count('class="slider"') == 2 + 3


def test_a_hostile_name_is_only_text(tmp_path):
    name, evil = "<img src=//x onerror=alert(1)>", "<script>alert(2)</script>"
    lines = {system: [{name: value} for value in (1.0, 2.0, 3.0)] for system in ("ours", "theirs")}
    run, other = write_run(tmp_path / "run<b>", lines), write_run(tmp_path / "other", lines, limit=evil)
    (run / "ours" / f"{NAMES[0]}.png").write_text("no picture")
    content = gather([read_run(run), read_run(other)], by=name, ablations=[("ours", "theirs")])
    said = []
    page = to_html(content, pictures=1, say=said.append)
    assert "not shown" in said[0]
    assert "&lt;img src=//x onerror=alert(1)&gt; 3</small>" in page
    assert "<img src=//" not in page and "<script>alert" not in page and "run<b>" not in page
    assert page.count("<script>") == 1


def test_n_is_shown_where_a_system_was_measured_on_fewer_cases(tmp_path):
    lines = {"ours": [marked(4.0) | {"clip.full": 0.3}] * 3, "theirs": [marked(3.0) | {"clip.full": v} for v in (0, 1)]}
    content = gather([read_run(write_run(tmp_path / "run", lines))])
    page, html = to_markdown(content), to_html(content, pictures=0)
    assert "| ours | the gold judge, editbench | 4.00 | 4.00 | 4.00 |" in page
    assert "| theirs | the gold judge, editbench | 3.00 (n = 2) | 3.00 (n = 2) | 3.00 (n = 2) |" in page
    assert "| theirs | measured | 100.0% (34.2% to 100.0%, n = 2) | 0.500 (0.000 to 1.000, n = 2) |" in page
    assert "<td>3.00<small>n = 2</small></td>" in html
    assert "<td>0.500<small>0.000 to 1.000</small><small>n = 2</small></td>" in html
    assert "n = 3" not in page and "n = 3<" not in html
    assert [said[2] for said in mark_grid(content).said(mark_grid(content).lines[-1])] == [""] * 8
