"""How far a study's figures can be trusted: who is left out, what checks can tell, and what few raters mean."""

from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from byteedit.cli import main
from byteedit.evaluation.figures import mean
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.summary import summarise
from byteedit.evaluation.human.tables import to_markdown
from toy_studies import answer, make_study, write_cases


def test_who_answered_no_check_is_left_out_where_checks_count_and_is_named(tmp_path):
    study = make_study(tmp_path, "gsb", raters=3, votes=3, attention=2)
    answer(study, ["Ann", "Blind"], blind=["Blind"])
    quitter = join(study, "Quitter")
    for question in [question for question in quitter.questions if question.damaged is None][:3]:
        quitter.record(question.id, question.id, {"overall": "left"})
    everyone, careful = summarise(study), summarise(study, 0.9)
    assert (everyone["answers"]["counted"], careful["answers"]["counted"]) == (8 + 8 + 3, 8)
    assert "is left out" not in to_markdown(everyone)
    page = to_markdown(careful)
    assert "- Rater blind is left out, who passed 1 of 2 attention checks.\n" in page
    assert "- Rater quitter is left out, who answered no attention check.\n" in page


def test_checks_cannot_be_asked_for_where_there_are_none(tmp_path, capsys):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"))
    answer(study, ["Ann"])
    for verb, *to in (["report"], ["export", str(tmp_path / "pairs")]):
        assert main(["study", verb, str(study.folder), *to, "--min-attention", "0.8"]) == 1
        words = "study has no attention checks, so that nobody can be left out by min_attention 0.8; leave it at 0"
        assert words in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize(("kind", "checks", "said"), [("gsb", 1, True), ("gsb", 2, False), ("best-worst", 1, False)])
def test_a_single_check_that_cannot_tell_is_remarked(tmp_path, monkeypatch, capsys, kind, checks, said):
    monkeypatch.chdir(tmp_path)
    systems = ("ours", "good", "poor")
    write_cases(tmp_path, 4, systems)
    named = [word for system in systems for word in ("--system", f"{system}={system}")]
    made = ["study", "create", "study", "--cases", "cases.jsonl", *named, "--kind", kind, "--attention", str(checks)]
    assert main(made) == 0
    assert ("One attention check cannot tell who looks" in capsys.readouterr().out) is said
    study = make_study(tmp_path / "other", kind, systems, attention=checks)
    answer(study, ["Ann"])
    assert ("\n- One attention check cannot tell who looks" in to_markdown(summarise(study))) is said


@pytest.mark.parametrize(
    ("raters", "words"),
    [
        (1, "\n\nSome figures are of one rater. Their intervals resample images alone"),
        (3, "\n\nSome figures are of 3 raters. Below 10 a bootstrapped interval is too short"),
        (10, None),
    ],
)
def test_a_page_says_that_raters_are_few(tmp_path, raters, words):
    study, names = make_study(tmp_path, "gsb", count=4, raters=raters, votes=raters), [f"r{n}" for n in range(raters)]
    answer(study, names, blind=names)
    summary = summarise(study)
    page = to_markdown(summary)
    assert words in page if words else " raters. Below" not in page
    assert "both take the raters as given" in page
    assert {row["raters"] for row in summary["results"]} == {raters}


def test_raters_of_two_minds_widen_every_interval_that_images_alone_leave_without_width(tmp_path):
    """Half of the raters find ours better everywhere, half theirs, and all images say the same."""
    study = make_study(tmp_path, "gsb", raters=4, votes=4)
    for n in range(4):
        rater = join(study, f"rater {n}")
        for question in rater.questions:
            side = ("left", "right")[question.systems.index(("ours", "poor")[n % 2])]
            rater.record(question.id, question.id, {"overall": side})
    summary = summarise(study)
    row, [agreement, _] = summary["results"][0], summary["agreement"]
    for figure in (row["win_rate"], agreement["same"]):
        assert figure["low"] <= 0.1 and figure["high"] >= 0.6 and figure["n"] == 4
    assert row["net"]["low"] == -1 and row["net"]["high"] == 1 and row["p"] == 1


def test_a_rater_who_answers_one_side_widens_the_interval_of_the_left_sides_wins(tmp_path):
    study = make_study(tmp_path, "gsb", raters=2, votes=2)
    for side in ("left", "right"):
        rater = join(study, side)
        for question in rater.questions:
            rater.record(question.id, question.id, {"overall": side})
    left = summarise(study)["answers"]["left_side"]
    assert (left["value"], left["low"], left["high"], left["n"]) == (0.5, 0, 1, 8)


def test_strict_and_mild_raters_widen_the_interval_of_a_mean_mark_and_not_of_its_z_score(tmp_path):
    """All see the same: ours a mark better, and a quarter of the cases, too; some give a mark or two more."""
    study = make_study(tmp_path, "scores", raters=6, votes=6)
    for n in range(6):
        rater = join(study, f"rater {n}")
        for question in rater.questions:
            mark = 1 + n % 3 + (question.systems == ("ours",)) + (question.case in ("case-0", "case-1"))
            rater.record(question.id, question.id, dict.fromkeys(study.axes(question), mark))
    row = summarise(study)["results"][0]
    seen = np.array([2, 1, 1, 1])  # of ours in the four cases that were edited, beyond the rater's own
    spread = np.std([0, 0, 0, 1, 2, 1, 1, 1])
    assert (row["axis"], row["system"], row["raters"], row["mean"]["n"]) == ("coherence", "ours", 6, 4)
    assert row["z"] == pytest.approx(asdict(mean((seen - 0.75) / spread)))
    images_alone = mean(seen)
    assert row["mean"]["high"] - row["mean"]["low"] > 1.5 * (images_alone.high - images_alone.low)


@pytest.mark.parametrize("systems", [("ours", "poor"), ("ours", "good", "poor"), ("ours", "good", "fair", "poor")])
def test_the_picture_of_a_check_that_comes_again_is_as_often_another_s_as_ours(tmp_path, systems):
    again = Counter()
    for seed in range(4):
        study = make_study(
            tmp_path / str(seed), "gsb", systems, 20, raters=len(systems) - 1, attention=2 * len(systems), seed=seed
        )
        for check in (one for one in study.questions.values() if one.damaged):
            sound = check.systems[2 - check.damaged]
            pairs = [one for one in study.questions.values() if one.case == check.case and not one.damaged]
            again[sound == "ours"] += sum(sound in one.systems for one in pairs)
    assert again[True] == pytest.approx(again[False], rel=0.2)


def test_an_export_names_whom_it_leaves_out_and_counts_what_it_cannot_read(tmp_path, capsys):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), raters=2, votes=2, attention=3)
    answer(study, ["Ann"])
    blind = join(study, "Blind")
    for question in blind.questions:  # calls what is spoilt the best
        best = question.damaged or 1
        blind.record(question.id, question.id, {"best": best, "worst": best % 4 + 1})
    with open(study.folder / "answers" / "ann.jsonl", "a") as file:
        file.write("torn")
    assert main(["study", "export", str(study.folder), str(tmp_path / "pairs"), "--min-attention", "0.9"]) == 0
    said = capsys.readouterr().out
    assert "left out blind, for their attention checks\n1 rows skipped (torn line: 1)\n" in said
