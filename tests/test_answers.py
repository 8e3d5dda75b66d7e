"""Answers and the study that they are to: what is asked of a task, and what belongs to another study."""

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
