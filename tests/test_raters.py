"""Raters at work: order, pause, changes of mind, names; no crash and no second tab loses or doubles an answer."""

import json
import multiprocessing
import os
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import Answer, append, latest, passed, read_answers
from byteedit.evaluation.human.raters import Progress, join, rater_key
from byteedit.evaluation.human.studies import open_study
from toy_studies import judge, make_study

LEFT = {"overall": "left"}


def number(n):
    """The id of an answer."""
    return f"answer-{n}"


@pytest.fixture
def study(tmp_path):
    """Eight pairs; two raters, each of whom gets all."""
    return make_study(tmp_path, "gsb", raters=2, votes=2)


def test_a_rater_goes_through_the_questions_in_order_and_goes_on_after_a_pause(study):
    ann = join(study, "Ann")
    order = [question.id for question in ann.questions]
    assert sorted(order) == sorted(study.questions) and order != sorted(order)
    for n in range(3):
        [now, then] = ann.upcoming(2)
        assert [now.id, then.id] == order[n : n + 2]
        assert ann.record(number(n), now.id, LEFT, seconds=1.5)
    again = join(open_study(study.folder), "ann ")
    assert again.progress() == Progress(done=3, total=8)
    assert again.upcoming()[0].id == order[3]
    assert again.answers()[order[0]].value == LEFT and again.answers()[order[0]].seconds == 1.5


def test_who_changes_their_mind_is_counted_once_and_both_answers_are_kept(study):
    ann = join(study, "Ann")
    first, second = ann.questions[:2]
    for n, (question, side) in enumerate([(first, "left"), (second, "same"), (first, "right")]):
        ann.record(number(n), question.id, {"overall": side})
    assert ann.progress().done == 2
    assert ann.answers()[first.id].value == {"overall": "right"}
    written = read_answers(study, Skipped())
    assert [answer.value["overall"] for answer in written] == ["left", "same", "right"]
    assert len(latest(written)) == 2


def test_answers_count_by_when_they_were_given_and_of_one_time_in_the_order_of_writing(study):
    ann = join(study, "Ann")
    first, second = ann.questions[:2]
    ann.record("now", first.id, {"overall": "right"})
    ann.record("an-hour-ago", first.id, LEFT, waited=3600)  # came late
    assert ann.answers()[first.id].id == "now"
    whenever = {"rater": "ann", "question": second.id, "value": LEFT}
    for id, time in [("a", "2025-01-01T00:00:00+00:00"), ("b", "2025-01-01T01:00:00+01:00"), ("c", "soon"), ("d", 5)]:
        append(ann.file, Answer(id=id, time=time, **whenever))
    assert ann.answers()[second.id].id == "b"
    assert [answer.question for answer in latest(read_answers(study, Skipped()))] == [first.id, second.id]


@pytest.mark.parametrize("waited", [0.0, 0.05, 3600.0])
def test_a_clock_that_was_ahead_keeps_nobody_from_changing_their_mind(study, waited):
    ann = join(study, "Ann")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds")
    append(ann.file, Answer(id="a", question=ann.questions[0].id, rater="ann", value=LEFT, time=ahead))
    ann.record("b", ann.questions[0].id, {"overall": "right"}, waited=waited)
    assert ann.answers()[ann.questions[0].id].id == "b"
    ann.record("c", ann.questions[0].id, LEFT, waited=waited)
    assert ann.answers()[ann.questions[0].id].id == "c"


def test_a_clock_that_was_ahead_changes_no_times_of_other_questions(study):
    ann = join(study, "Ann")
    first, second = ann.questions[:2]
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds")
    append(ann.file, Answer(id="a", question=first.id, rater="ann", value=LEFT, time=ahead))
    ann.record("now", second.id, {"overall": "right"})
    ann.record("an-hour-ago", second.id, LEFT, waited=3600)
    assert ann.answers()[second.id].id == "now"
    assert datetime.fromisoformat(ann.answers()[second.id].time) <= datetime.now(UTC)


def test_a_place_is_free_again_a_day_after_who_took_it_has_answered_nothing(study):
    for name in ("Ann", "Bob", "Cid"):
        join(study, name)
    bob = study.folder / "answers" / "bob.jsonl"
    head = json.loads(bob.read_text())
    assert head["place"] == 1
    bob.write_text(json.dumps(head | {"joined": "2020-01-01T00:00:00+00:00"}) + "\n")
    assert join(study, "Dan").questions == join(study, "Bob").questions
    ann = study.folder / "answers" / "ann.jsonl"
    ann.write_text(json.dumps(json.loads(ann.read_text()) | {"joined": "2020-01-01T00:00:00+00:00"}) + "\n")
    rater = join(study, "Ann")
    rater.record(number(0), rater.questions[0].id, LEFT)  # who has answered keeps the place
    cid = study.folder / "answers" / "cid.jsonl"
    cid.unlink()
    assert [json.loads((study.folder / "answers" / f"{join(study, name).key}.jsonl").read_text())["place"]
            for name in ("Eve", "Fay")] == [0, 1]  # fmt: skip


def test_a_file_without_a_head_keeps_nobody_else_out(study):
    folder = study.folder / "answers"
    (folder / "carl.jsonl").write_bytes(b"")
    (folder / "dora.jsonl").write_bytes(b"torn\n")
    assert join(study, "Ann").progress().total == 8
    assert join(study, "Carl").progress().total == 8
    with pytest.raises(ValueError, match=r"dora\.jsonl does not begin as a rater's answers do"):
        join(study, "Dora")


def test_a_name_of_long_letters_fits_into_a_file_s_name(study):
    name = "\N{GOTHIC LETTER AHSA}" * 60
    assert join(study, name).record(number(0), join(study, name).questions[0].id, LEFT)


def test_an_answer_that_is_sent_twice_is_kept_once(study):
    ann = join(study, "Ann")
    question = ann.questions[0]
    assert ann.record("one", question.id, LEFT) is True
    assert ann.record("one", question.id, {"overall": "right"}) is False
    assert ann.answers()[question.id].value == LEFT
    assert len(ann.file.read_text().splitlines()) == 2
    copied = ann.file.read_text() + ann.file.read_text().splitlines()[1] + "\n"  # as when two copies are joined
    ann.file.write_text(copied)
    skipped = Skipped()
    assert len(read_answers(study, skipped)) == 1
    assert skipped.reasons == {"sent twice": 1}


def test_raters_get_places_in_turn_and_keep_them(tmp_path):
    study = make_study(tmp_path, "gsb", raters=4, votes=1)
    names = ["Ann", "Bob", "Cem", "Dee", "Eve", "Bob"]
    orders = [[question.id for question in join(study, name).questions] for name in names]
    assert [study.places.index(tuple(order)) for order in orders] == [0, 1, 2, 3, 0, 1]
    assert Counter(id for order in orders[:4] for id in order) == dict.fromkeys(study.questions, 1)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Ann Lee", "ann-lee"),
        ("  ANN   lee ", "ann-lee"),
        ("Dr. O'Neil", "dr-o-neil"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\x.jsonl", "c-x-jsonl"),
        ("Grüße", "grüsse"),
        ("प्रिया", "प्रिया"),
        ("a\0b\n", "a-b"),
    ],
)
def test_a_name_is_no_path(tmp_path, name, key):
    study = make_study(tmp_path, "gsb", count=2)
    rater = join(study, name)
    assert rater.key == rater_key(name) == key
    assert [file.name for file in (study.folder / "answers").glob("*.jsonl")] == [f"{key}.jsonl"]


@pytest.mark.parametrize("name", ["", " ", "../..", "!", "x" * 61])
def test_a_name_without_letters_or_too_long_is_refused(study, name):
    with pytest.raises(ValueError, match="is not usable; expected 1 to 60 letters or digits"):
        join(study, name)
    assert not list((study.folder / "answers").glob("*.jsonl"))


@pytest.mark.parametrize("value", [{}, {"overall": "best"}, {"other": "left"}, {"overall": 1}, "left", None])
def test_a_comparison_needs_a_side_for_each_axis(study, value):
    ann = join(study, "Ann")
    with pytest.raises(ValueError, match="expected one of left, same, right for each of overall"):
        ann.record("one", ann.questions[0].id, value)
    assert ann.progress().done == 0


@pytest.mark.parametrize("mark", [0, 6, 3.0, True, "3", None])
def test_a_mark_is_a_whole_number_from_1_to_5(tmp_path, mark):
    study = make_study(tmp_path, "scores", count=1)
    ann = join(study, "Ann")
    value = {"coherence": 3, "structure": 3, "aesthetics": mark}
    with pytest.raises(ValueError, match="a whole mark from 1 to 5 for each of coherence, structure, aesthetics"):
        ann.record("one", ann.questions[0].id, value)
    assert ann.record("one", ann.questions[0].id, value | {"aesthetics": 5})


@pytest.mark.parametrize(
    "value", [{"best": 1}, {"best": 1, "worst": 1}, {"best": 1, "worst": 5}, {"best": 0, "worst": 2}]
)
def test_best_and_worst_are_two_of_those_shown(tmp_path, value):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), count=1)
    ann = join(study, "Ann")
    with pytest.raises(ValueError, match="expected best and worst, two positions from 1 to 4"):
        ann.record("one", ann.questions[0].id, value)
    assert ann.record("one", ann.questions[0].id, {"best": 4, "worst": 1})


def test_a_question_of_another_rater_and_a_strange_id_are_refused(tmp_path):
    study = make_study(tmp_path, "gsb", raters=2, votes=1)
    ann, bob = join(study, "Ann"), join(study, "Bob")
    with pytest.raises(ValueError, match="is not asked of ann"):
        ann.record("one", bob.questions[0].id, LEFT)
    for strange in ("", "a b", "x" * 65, "ü", 7):
        with pytest.raises(ValueError, match="expected 1 to 64 letters, digits, - or _"):
            ann.record(strange, ann.questions[0].id, LEFT)


def test_an_answer_is_on_the_disk_when_it_is_said_to_be(study, monkeypatch):
    ann, synced = join(study, "Ann"), []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    assert ann.record(number(0), ann.questions[0].id, LEFT)
    assert ann.file.stat().st_size in synced


def test_a_torn_line_is_survived_and_its_question_asked_again(study):
    ann = join(study, "Ann")
    for n in range(3):
        ann.record(number(n), ann.upcoming()[0].id, LEFT)
    last = ann.questions[2]
    whole = ann.file.read_bytes()
    ann.file.write_bytes(whole[:-20])
    again = join(study, "Ann")
    assert again.progress().done == 2 and again.upcoming()[0].id == last.id
    assert again.record("after", last.id, LEFT)
    skipped = Skipped()
    assert [answer.id for answer in read_answers(study, skipped)] == [number(0), number(1), "after"]
    assert skipped.reasons == {"torn line": 1}


@pytest.mark.parametrize("kind", ["gsb", "scores", "best-worst"])
def test_a_rater_who_looks_passes_the_checks_and_one_who_does_not_fails(tmp_path, kind):
    study = make_study(tmp_path, kind, ("ours", "good", "fair", "poor"), attention=6)
    checks = [question for question in study.questions.values() if question.damaged is not None]
    assert all(passed(check, judge(study, check, np.random.default_rng(0))) for check in checks)
    blind = {
        "gsb": lambda check: {"overall": "same"},
        "scores": lambda check: dict.fromkeys(study.axes(check), 3),
        "best-worst": lambda check: {"best": check.damaged, "worst": check.damaged % 4 + 1},
    }[kind]
    assert not any(passed(check, blind(check)) for check in checks)


def work(folder, name, tab, start):
    """A tab: answers all questions, from the first or from the last on, and sends every answer twice."""
    rater = join(open_study(folder), name)
    start.wait()
    for n, question in enumerate(rater.questions if tab else rater.questions[::-1]):
        for _ in range(2):
            rater.record(f"{tab}-{n}", question.id, {"overall": ("left", "right")[tab]}, seconds=float(n))


def test_two_raters_and_two_tabs_of_one_lose_and_double_nothing(study):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(3)
    tabs = [("Ann", 0), ("Ann", 1), ("Bob", 0)]
    processes = [spawn.Process(target=work, args=(study.folder, name, tab, start)) for name, tab in tabs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    skipped = Skipped()
    written = read_answers(study, skipped)
    expected = {(name.lower(), f"{tab}-{n}") for name, tab in tabs for n in range(8)}
    assert {(answer.rater, answer.id) for answer in written} == expected
    assert len(written) == len(expected) == 24
    assert not skipped.reasons
    assert {answer.seconds for answer in written} == set(map(float, range(8)))
    assert Counter(answer.rater for answer in latest(written)) == {"ann": 8, "bob": 8}
    assert join(study, "Ann").file.read_bytes().count(b"\n") == 17
    assert {place(study, name) for name in ("ann", "bob")} == {0, 1}


def place(study, key):
    return json.loads((study.folder / "answers" / f"{key}.jsonl").read_text().splitlines()[0])["place"]


def test_many_who_join_at_once_get_different_places(tmp_path):
    study = make_study(tmp_path, "gsb", raters=4, votes=1)
    names = [f"rater {n}" for n in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        raters = list(pool.map(lambda name: join(study, name), names))
    assert Counter(place(study, rater.key) for rater in raters[:8]) == dict.fromkeys(range(4), 2)
    ids = [uuid.uuid4().hex for _ in raters]
    with ThreadPoolExecutor(8) as pool:
        pairs = zip(raters, ids, strict=True)
        list(pool.map(lambda pair: pair[0].record(pair[1], pair[0].questions[0].id, LEFT), pairs))
    assert sorted(answer.id for answer in read_answers(study, Skipped())) == sorted(ids)
