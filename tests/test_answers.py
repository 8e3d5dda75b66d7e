"""Answers and the study that they are to: what is asked of a task, what is none, and what belongs to another study."""

import json
import shutil

import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import Answer, append, read_answers
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.studies import open_study
from byteedit.evaluation.human.summary import summarise
from toy_studies import make_study

LEFT = {"overall": "left"}


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


def test_in_a_study_that_does_not_say_what_each_question_asks_a_joint_axis_counts_as_it_stands(tmp_path):
    """As those made before questions said so: what was answered then counts."""
    study = make_study(tmp_path, "gsb", axes=("structure & aesthetics", "aesthetics", "coherence"))
    file = study.folder / "questions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(row.pop("axes") for row in rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    old = open_study(study.folder)
    ann = join(old, "Ann")
    for question in ann.questions:
        ann.record(question.id, question.id, dict.fromkeys(old.axes(question), "left"))
    rows = [(row["task"], row["axis"]) for row in summarise(old)["results"] if row["task"] == "erasing"]
    assert rows == [("erasing", "structure & aesthetics"), ("erasing", "coherence")]


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


@pytest.mark.parametrize("cut", range(0, 160, 7))
def test_wherever_a_line_is_torn_the_others_stand(tmp_path, cut):
    study = make_study(tmp_path, "gsb", raters=2, votes=2)
    ann = join(study, "Ann")
    ann.record("first", ann.questions[0].id, LEFT)
    kept = len(ann.file.read_bytes())
    ann.record("torn", ann.questions[1].id, LEFT)
    ann.file.write_bytes(ann.file.read_bytes()[: kept + cut])
    ann.record("last", ann.questions[2].id, LEFT)
    ids = [answer.id for answer in read_answers(study, Skipped())]
    assert ids in (["first", "last"], ["first", "torn", "last"])


def test_lines_that_are_no_answers_are_counted(tmp_path):
    study = make_study(tmp_path, "gsb", raters=2, votes=2)
    ann = join(study, "Ann")
    good = Answer(id="good", question=ann.questions[0].id, rater="ann", value=LEFT, time="2025-01-01T00:00:00+00:00")
    append(ann.file, good)
    row = json.loads(ann.file.read_text().splitlines()[1])
    strange = [row | {"question": "q9999"}, row | {"value": 3}, row | {"id": [1]}, row | {"more": 1}, [1], 5]
    with open(ann.file, "ab") as file:
        file.write("".join(json.dumps(one) + "\n" for one in strange).encode() + b"\xff\n\n")
    skipped = Skipped()
    assert read_answers(study, skipped) == [good]
    assert skipped.reasons == {"not an answer to this study": 6, "torn line": 1}
