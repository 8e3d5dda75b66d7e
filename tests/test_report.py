"""Reports: what was measured fills the paper's tables, beside the paper's own; pages hold all they need."""

import json
import math
import re

import numpy as np
import pytest

from byteedit.cli import main
from byteedit.evaluation import runs
from byteedit.evaluation.comparison import Tally
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.report.charts import bars, stacked
from byteedit.evaluation.report.content import gather, to_json
from byteedit.evaluation.report.grids import mark_grid, score_grids, written
from byteedit.evaluation.report.markdown import to_markdown
from byteedit.evaluation.report.page import to_html
from byteedit.evaluation.report.pictures import extremes
from byteedit.evaluation.report.published import VOTES
from byteedit.evaluation.report.reading import read_run
from byteedit.evaluation.runs import RunSettings, evaluate
from toy_benchmarks import write_brushbench, write_editbench
from toy_reports import NAMES, marked, write_run
from toy_studies import judge, make_study


@pytest.fixture
def judged(tmp_path):
    """A run of two systems with the judge's marks, of which the second did not answer the last case."""
    ours = [marked(4.0), marked(3.0), marked(2.0, right=False)]
    return write_run(tmp_path / "run", {"zebra": ours, "apple": [marked(3.0), marked(3.01)]})


@pytest.fixture
def worded(tmp_path):
    """A run of two systems with scores of words."""
    scores = {"ours": (0.3, 0.2, 0.1), "theirs": (0.2, 0.2, 0.2)}
    lines = {
        s: [{"clip.full": v, "clip100.full": 100 * v, "seam": v, "seam_true": 0} for v in of]
        for s, of in scores.items()
    }
    return write_run(tmp_path / "words", lines)


def test_marks_fill_table_1_beside_the_papers(judged):
    grid = mark_grid(gather([read_run(judged)]))
    assert [line.label for line in grid.lines] == ["zebra", "apple", "MeiTu", "Canva", "Adobe", "ByteEdit"]
    assert [cell and cell.value for cell in grid.lines[0].cells] == [3, 3, 3, *5 * [None]]
    assert grid.lines[0].source == "the gold judge, editbench" and grid.lines[0].measured
    assert grid.lines[-1].cells == [3.73, 3.39, 3.25, 3.99, 4.03, 3.54, 3.25, 3.26] and not grid.lines[-1].measured
    assert [column.group for column in grid.columns] == [*3 * ["editing"], *2 * ["erasing"], *3 * ["outpainting"]]


def test_scores_fill_table_2_beside_the_papers(worded):
    grid, users = score_grids(gather([read_run(worded)]))
    assert [column.words for column in grid.columns] == ["seam, in levels of 255, 0 = none", "CLIPScore, full prompt"]
    assert [line.label for line in grid.lines] == ["ours", "theirs", "DiffEdit", "BLD", "EMILIE", "ByteEdit"]
    assert grid.lines[0].cells[1].value == pytest.approx(0.2)
    assert grid.lines[-1].cells == [None, 0.329]
    assert users.title == "userbench, not run here" and users.lines[-1].cells == [0.255, 0.687]


def test_comparisons_are_of_cases_that_both_answered(judged):
    content = gather([read_run(judged)], ablations=[("apple", "zebra")])
    [row] = content.votes
    assert (row["system"], row["other"], row["good"], row["same"], row["bad"]) == ("zebra", "apple", 1, 1, 0)
    assert row["superiority"].value == pytest.approx(2) and row["by"] == "the gold judge"
    rates = {row["axis"]: row["win_rate"].value for row in content.ablations}
    assert rates == {"structure_aesthetics": pytest.approx(1 / 3), "coherence": pytest.approx(1 / 3), "alignment": 0.5}
    assert gather([read_run(judged)], ours="apple").votes[0]["bad"] == 1


def test_comparisons_by_a_score_know_which_way_is_better(worded):
    run = read_run(worded)
    [row] = gather([run]).votes
    assert (row["by"], row["good"], row["same"], row["bad"]) == ("clip.full", 1, 1, 1)
    [row] = gather([run], by="seam", ablations=[("theirs", "ours")]).ablations
    assert (row["axis"], row["win_rate"].value, row["win_rate"].n) == ("seam", 0.5, 3)
    entry = run.entries[0]
    assert [(one.case, one.best) for one in extremes(entry, "seam", 1)] == [(NAMES[2], True), (NAMES[0], False)]
    assert [one.case for one in extremes(entry, "clip.full", 2)] == list(NAMES)


def test_less_than_the_true_contrast_is_no_better_a_seam(tmp_path):
    lines = {"ours": [3.0, 0.0, 1.0], "theirs": [2.0, 2.0, 2.0]}
    scores = {system: [{"seam": seam, "seam_true": 2.0} for seam in seams] for system, seams in lines.items()}
    [row] = gather([read_run(write_run(tmp_path / "seams", scores))], by="seam").votes
    assert (row["good"], row["same"], row["bad"]) == (0, 2, 1)


def test_several_runs_are_one_report(judged, worded):
    content = gather([read_run(judged), read_run(worded)], ours="ours")
    assert {row["system"] for row in content.votes} == {"ours"}
    assert {row["system"] for row in content.scores} == {"zebra", "apple", "ours", "theirs"}
    assert list(to_json(content)["runs"][0]["systems"]) == ["zebra", "apple"]


def test_what_people_say_in_studies_stands_beside(judged, tmp_path, capsys):
    for kind in ("scores", "gsb"):
        study = make_study(tmp_path / kind, kind, count=2, raters=1, votes=1, attention=0)
        rater = join(study, "Ann")
        while found := rater.upcoming():
            rater.record(found[0].id, found[0].id, judge(study, found[0], np.random.default_rng(0)))
    folders = [str(judged), *(str(tmp_path / kind / "study") for kind in ("scores", "gsb"))]
    assert main(["report", *folders, "--pictures", "0"]) == 0, capsys.readouterr().err
    page = capsys.readouterr().out
    assert "| ours | people, scores/study | " in page and "| zebra | the gold judge, editbench | " in page
    assert "| poor | erasing | overall | people, gsb/study | 1 | 0 | 0 | ∞" in page
    assert main(["report", folders[1]]) == 2
    assert "no run is named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ours": "adobe"}, "no run has adobe; there are zebra, apple"),
        ({"ablations": [("zebra", "adobe")]}, "no run has zebra and adobe"),
        (
            {"by": "clip.full"},
            "no run has a score clip.full that is a number; there are aesthetics, coherence, quality",
        ),
    ],
)
def test_what_is_not_there_is_said(judged, changes, words):
    with pytest.raises(ValueError, match=words):
        gather([read_run(judged)], **changes)


def test_folders_that_are_no_runs(tmp_path, judged):
    with pytest.raises(ValueError, match=r"is no run: it has no run.json"):
        read_run(tmp_path)
    for folder in ("zebra", "apple"):
        (judged / folder / "scores.jsonl").unlink()
    with pytest.raises(ValueError, match="has no answers yet"):
        read_run(judged)


def test_markdown_has_every_value_with_its_interval(judged):
    page = to_markdown(gather([read_run(judged)], ablations=[("zebra", "apple")]))
    assert "| zebra | the gold judge, editbench | 3.00 (2.00 to 4.00) |" in page
    assert "| Adobe | published: ByteEdit (arXiv 2404.04860) | 3.46 | 3.60 | 3.22 |" in page
    assert "| apple | editing | overall | the gold judge, editbench | 1 | 1 | 0 | 200.0%" in page
    assert (
        "| Adobe | editing | overall | published, which reports 163% | 5605 | 3295 | 3448 | 132.0% | 162.6% |" in page
    )
    assert "| editing | structure and aesthetics | the gold judge, editbench | 66.7%" in page
    assert "- zebra: system zebra, steps 20\n" in page
    assert "nan" not in page


def test_the_papers_counts_give_what_its_formulas_do():
    for task, superiority in (("outpainting", 1.12), ("editing", 1.32), ("erasing", 1.06)):
        tally = Tally(**{name: VOTES[task][name] for name in ("good", "same", "bad")})
        assert round(tally.superiority, 2) == superiority
    assert round(VOTES["editing"]["good"] / VOTES["editing"]["bad"], 2) == VOTES["editing"]["reported"]


def test_the_page_asks_nothing_of_the_network(judged):
    page = to_html(gather([read_run(judged)], ablations=[("zebra", "apple")]), pictures=1)
    assert re.findall(r'(?:src|href)="(?!data:image/webp;base64,|#)', page) == []
    assert "url(" not in page and "@import" not in page
    assert page.count("data:image/webp") == 2 * 2 * 2  # systems, best and worst, input and answer
    assert "a &lt;0&gt; boat" in page and "<0>" not in page
    assert page.count('class="slider"') == 4
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page


def test_a_page_without_pictures_needs_no_benchmark(judged):
    content = gather([read_run(judged)])
    for file in (judged.parent / "bench").glob("*.csv"):
        file.unlink()
    with pytest.raises(ValueError, match=r"its inputs cannot be shown.*--pictures 0"):
        to_html(content, pictures=1)
    assert "slider" not in to_html(content, pictures=0).partition("</style>")[2].replace("slider {", "")


def test_bars_are_as_long_as_their_values(judged):
    grid = mark_grid(gather([read_run(judged)]))
    chart = bars(grid, 0, "zebra", (1, 5))
    assert re.findall(r'width="([\d.]+)"', chart) == ["50.0", "50.12"] and chart.count('"bar ours"') == 1
    assert bars(grid, 3, "zebra") == ""  # nothing was erased
    assert re.findall(r'class="(\w+)" x="([\d.]+)"', stacked([2, 1, 1])) == [
        ("good", "0.00"),
        ("same", "50.00"),
        ("bad", "75.00"),
    ]


def test_values_in_words():
    figure = Tally(good=3, same=0, bad=0).preferred
    assert written(figure, "{:.2f}") == ("1.00", "0.44 to 1.00")
    assert written(None, "{}") == ("", "") and written(0.5, "{:.0%}") == ("50%", "")
    assert written(type(figure)(value=math.inf, low=2, high=math.inf, n=3), "{:.1f}") == ("∞", "2.0 to ∞")


def test_a_run_that_was_killed_and_gone_on_with_gives_the_same_report(pipe, tmp_path, monkeypatch, capsys):
    pipe.save_pretrained(tmp_path / "tiny")
    (tmp_path / "bench").mkdir()
    asked = {"benchmark": f"editbench:{write_editbench(tmp_path / 'bench')}", "systems": ()}
    asked["systems"] = tuple(f"{name}=byteedit:{tmp_path / 'tiny'},steps={n}" for n, name in ((1, "one"), (2, "two")))
    evaluate(RunSettings(output=tmp_path / "whole" / "run", **asked), print)
    calls, real = [], runs.answer_to

    def stopping(system, case):
        calls.append(case.id)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return real(system, case)

    monkeypatch.setattr(runs, "answer_to", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(RunSettings(output=tmp_path / "parts" / "run", **asked), print)
    evaluate(RunSettings(output=tmp_path / "parts" / "run", **asked), print)
    for name in ("whole", "parts"):
        line = ["report", str(tmp_path / name / "run"), "--ablation", "two", "one", "--output", str(tmp_path / name)]
        assert main(line) == 0, capsys.readouterr().err
    for name in ("report.md", "report.json", "report.html"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "## Table 1: marks" in capsys.readouterr().out
    report = json.loads((tmp_path / "whole" / "report.json").read_text())
    assert report["runs"][0]["systems"]["two"]["settings"]["num_inference_steps"] == 2
    assert [row["score"] for row in report["scores"] if row["system"] == "one"] == ["changed", "border_contrast"]
    assert report["published"]["scores"]["benchmarks"]["editbench"]["ByteEdit"] == [0.329, 0.691]


def test_the_shipped_model_on_both_layouts_to_one_report(tmp_path, capsys):
    folders = []
    for name, write in (("editbench", write_editbench), ("brushbench", write_brushbench)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
        folders.append(str(tmp_path / "runs" / name))
        line = f"evaluate --benchmark {name}:{tmp_path / name} --system ours=byteedit,steps=1 --limit 1 --device cpu"
        assert main([*line.split(), "--output", folders[-1]]) == 0
    assert main(["report", *folders, "--by", "psnr.unmasked"]) == 0
    page = (tmp_path / "runs" / "editbench" / "report" / "report.html").read_text()
    assert page.count('class="slider"') == 2
    assert "<h3>brushbench, editing</h3>" in page
    capsys.readouterr()
    assert main(["report", str(tmp_path / "runs")]) == 1
    assert "is no run" in capsys.readouterr().err
