"""Answers and the study that they are to: what is asked of a task, and what belongs to another study."""

import shutil

import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import read_answers
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.summary import summarise
from toy_studies import make_study


def test_of_a_joint_axis_an_erasure_is_answered_and_reported_without_aesthetics(tmp_path):
    study = make_study(tmp_path, "gsb", axes=("structure & aesthetics", "coherence"))
    ann = join(study, "Ann")
    for question in ann.questions:
        ann.record(question.id, question.id, dict.fromkeys(study.axes(question), "left"))
    summary = summarise(study)
    expected = [
        ("editing", "structure & aesthetics"),
        ("editing", "coherence"),
        ("erasing", "structure"),
        ("erasing", "coherence"),
    ]
    for rows in (summary["results"], summary["agreement"]):
        assert [(row["task"], row["axis"]) for row in rows] == expected


def answered(study, name):
    """A rater who answered everything."""
    rater = join(study, name)
    for question in rater.questions:
        rater.record(question.id, question.id, {"overall": "left"})
    return rater


def test_answers_to_another_study_are_none_to_this_one(tmp_path):
    study, other = make_study(tmp_path / "one", "gsb", raters=2), make_study(tmp_path / "other", "gsb", seed=1)
    ann = answered(other, "Ann")
    shutil.copy(ann.file, study.folder / "answers")
    skipped = Skipped()
    assert not read_answers(study, skipped) and skipped.reasons == {"not an answer to this study": 8}
    with pytest.raises(ValueError, match=r"ann\.jsonl holds answers to another study; take another name"):
        join(study, "Ann")
    with pytest.raises(ValueError, match=r"no answers to count \(8 rows skipped \(not an answer to this study: 8\)\)"):
        summarise(study)
    assert join(study, "Bob").questions == [study.questions[id] for id in study.places[0]]  # Ann took none


@pytest.mark.parametrize("head", [b'{"rater": "ann", "place": 0, "joined": "2025-01-01"}', b'{"tor', b"[1]", b"null"])
def test_answers_under_a_head_that_names_no_study_count(tmp_path, head):
    study = make_study(tmp_path, "gsb")
    ann = answered(study, "Ann")
    ann.file.write_bytes(head + b"\n" + ann.file.read_bytes().split(b"\n", 1)[1])
    assert len(read_answers(study, Skipped())) == 8
