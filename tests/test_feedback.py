"""The feedback app as a client sees it: joining, answering, pictures, and what is refused. No browser here."""

import json
import os
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import latest, read_answers
from byteedit.evaluation.human.studies import open_study
from byteedit.feedback.app import create_app
from byteedit.feedback.demonstration import make_demonstration
from toy_feedback import Client, get, serving
from toy_studies import make_study

FOUR = ("ours", "good", "fair", "poor")
RIGHT = {"gsb": {"overall": "left"}, "best-worst": {"best": 1, "worst": 4}, "scores": {"coherence": 4, "structure": 2}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Sixteen questions of two pictures, one of them a check, for two raters."""
    return make_study(tmp_path_factory.mktemp("gsb"), "gsb", raters=2, votes=2, attention=1, instructions="Look.")


@pytest.fixture(scope="module")
def address(study):
    with serving(create_app(study)) as address:
        yield address


def recorded(study):
    return [(answer.rater, answer.question, answer.value) for answer in read_answers(study, Skipped())]


def test_a_rater_is_told_what_is_asked_and_nothing_of_the_systems(address, study):
    ann = Client(address, "Ann Lee")
    assert ann.study["kind"] == "gsb" and ann.study["instructions"] == "Look."
    assert ann.rater == "ann-lee" and ann.joined["answers"] == {}
    assert [question["id"] for question in ann.questions] == list(study.places[0])
    for question in ann.questions:
        assert set(question) == {"id", "task", "prompt", "image", "mask", "pictures", "axes"}
    assert not any(word in json.dumps(ann.joined) for word in ("ours", "poor", "case", "damaged"))


def test_answers_are_on_the_disk_once_and_come_back(address, study):
    bob = Client(address, "Bob")
    first, second = (question["id"] for question in bob.questions[:2])
    assert bob.answer("a1", first, {"overall": "left"}) == (200, {"new": True})
    assert bob.answer("a1", first, {"overall": "left"}) == (200, {"new": False})
    assert bob.answer("a2", second, {"overall": "same"}, seconds=None) == (200, {"new": True})
    assert bob.answer("a3", first, {"overall": "right"}) == (200, {"new": True})
    assert [row for row in recorded(study) if row[0] == "bob"] == [
        ("bob", first, {"overall": "left"}), ("bob", second, {"overall": "same"}), ("bob", first, {"overall": "right"}),
    ]  # fmt: skip
    again = Client(address, " BOB ")
    assert again.joined["answers"] == {first: {"overall": "right"}, second: {"overall": "same"}}


def test_a_server_that_has_lost_its_files_gives_a_page_its_place_again(tmp_path):
    study = make_study(tmp_path, "gsb", raters=3, votes=1)
    with serving(create_app(study)) as address:
        _, bob = Client(address, "Ann"), Client(address, "Bob")
        assert bob.joined["place"] == 1
        for answering in (True, False):
            for file in (study.folder / "answers").glob("*.jsonl"):
                file.unlink()
            if answering:
                said = bob.answer("b1", bob.questions[0]["id"], {"overall": "left"}, place=1)
                assert said == (200, {"new": True})
            again = json.loads(get(f"{address}/api/join", {"name": "Bob", "place": 1})[2])
            assert again["place"] == 1 and again["questions"] == bob.questions
        for strange in (3, -1, 10**30, None):
            again = get(f"{address}/api/join", {"name": f"Cid {strange}", "place": strange})[2]
            assert json.loads(again)["place"] in range(3)
        assert json.loads(get(f"{address}/api/join", {"name": "Bob", "place": 2})[2])["place"] == 1


def test_an_older_answer_that_comes_late_does_not_overrule_the_newer_one(tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    with serving(create_app(study)) as address:
        ann = Client(address, "Ann")
        question = ann.questions[0]["id"]
        assert ann.answer("new", question, {"overall": "right"}, waited=0.02)[0] == 200
        assert ann.answer("old", question, {"overall": "left"}, waited=3600.5) == (200, {"new": True})
        assert Client(address, "Ann").joined["answers"] == {question: {"overall": "right"}}
    assert [value["overall"] for _, _, value in recorded(study)] == ["right", "left"]  # both are kept
    assert [answer.id for answer in latest(read_answers(study, Skipped()))] == ["new"]


@pytest.mark.parametrize("waited", [-1e9, None, 1e300, float("inf"), float("nan")])
def test_a_clock_that_is_wrong_loses_no_answer(address, study, waited):
    gus = Client(address, f"Gus {waited}")
    assert gus.answer("g1", gus.questions[0]["id"], {"overall": "left"}, waited=waited) == (200, {"new": True})
    [answer] = [answer for answer in read_answers(study, Skipped()) if answer.rater == gus.rater]
    assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(answer.time) <= timedelta(days=30, minutes=1)


def test_raters_and_tabs_at_once_lose_and_double_nothing(address, study):
    def work(name, tab):
        client = Client(address, name)
        for question in client.questions[:4]:
            for _ in range(2):  # each is sent twice
                client.answer(f"{tab}-{question['id']}", question["id"], {"overall": tab})

    threads = [threading.Thread(target=work, args=(name, tab)) for name in "XY" for tab in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mine = [row for row in recorded(study) if row[0] in "xy"]
    assert len(mine) == 2 * 2 * 4 and len({str(row) for row in mine}) == 16


def test_a_server_that_is_started_again_goes_on(study):
    with serving(create_app(study)) as address:
        cem = Client(address, "Cem")
        assert cem.answer("c1", cem.questions[0]["id"], {"overall": "left"})[0] == 200
    with serving(create_app(open_study(study.folder))) as address:
        again = Client(address, "Cem")
        assert again.joined["answers"] == {cem.questions[0]["id"]: {"overall": "left"}}
        assert again.study == cem.study


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"value": {"overall": "best"}}, 400, "expected one of left, same, right for each of overall"),
        ({"value": {}}, 400, "expected one of left"),
        ({"value": "left"}, 400, "Expected an object with study, rater, id, question, value, seconds"),
        ({"question": "q9999"}, 400, "is not asked of dan"),
        ({"id": "../../x"}, 400, "expected 1 to 64 letters, digits"),
        ({"rater": "../"}, 400, "is not usable; expected 1 to 60 letters or digits"),
        ({"seconds": -1}, 400, "expected a number from 0"),
        ({"seconds": float("nan")}, 400, "expected a number from 0"),
        ({"seconds": "1"}, 400, "Expected an object"),
        ({"study": "another"}, 409, "belongs to another study"),
    ],
)
def test_what_is_no_answer_is_refused_in_words(address, study, changes, status, words):
    dan, before = Client(address, "Dan"), len(recorded(study))
    said = dan.answer(**{"id": "d1", "question": dan.questions[0]["id"], "value": {"overall": "left"}} | changes)
    assert said[0] == status and words in said[1]["error"]
    assert len(recorded(study)) == before


@pytest.mark.parametrize(
    "changes", [{"value": {"overall": "best"}}, {"question": "q9999"}, {"id": "../../x"}, {"seconds": 1e9}]
)
def test_a_refusal_of_an_answer_names_the_study_and_nothing_else_does(address, study, changes):
    hal = Client(address, "Hal")
    answer = {"id": "h1", "question": hal.questions[0]["id"], "value": {"overall": "left"}}
    status, said = hal.answer(**answer | changes)
    assert status == 400 and said["study"] == study.token
    for strange in ({"study": "another"}, {"value": "left"}, {"rater": "../"}):
        assert set(hal.answer(**answer | changes | strange)[1]) == {"error"}


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"torn\n", "ida.jsonl does not begin as a rater's answers do"),
        (b'{"rater": "ida", "place": 99}\n', "ida.jsonl does not begin as a rater's answers do"),
        (b'{"rater": "ida", "place": 0, "study": "another"}\n', "ida.jsonl holds answers to another study"),
    ],
)
def test_what_is_wrong_with_a_rater_s_file_refuses_no_answer(address, study, head, words):
    (study.folder / "answers" / "ida.jsonl").unlink(missing_ok=True)
    ida = Client(address, "Ida")
    file, answer = study.folder / "answers" / "ida.jsonl", ("i1", ida.questions[0]["id"], {"overall": "left"})
    kept = file.read_bytes()
    file.write_bytes(head)
    status, said = ida.answer(*answer)
    assert status == 409 and words in said["error"] and "study" not in said
    assert file.read_bytes() == head
    file.write_bytes(kept)
    assert ida.answer(*answer) == (200, {"new": True})


@pytest.mark.parametrize("name", ["", "  ", "../..", "/", "\\", "\x00", "a" * 61, "\ud800"])
def test_a_name_is_never_a_path(address, study, name):
    status, _, body = get(f"{address}/api/join", {"name": name})
    assert status == 400 and "is not usable" in json.loads(body)["error"]


def test_a_name_that_looks_like_a_path_is_a_plain_file(address, study):
    assert Client(address, "../../etc/passwd").rater == "etc-passwd"
    assert (study.folder / "answers" / "etc-passwd.jsonl").is_file()


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{", "application/json", 400, "no JSON"),
        (b"[" * 60000, "application/json", 400, "no JSON"),
        (b'"Ann"', "application/json", 400, "Expected an object with name"),
        (b'{"name": 3}', "application/json", 400, "Expected an object with name"),
        (b'{"name": "Ann"}', "text/plain", 415, "application/json"),  # what another site's page could send
        (b" " * 70000, "application/json", 413, "more than 65536 bytes"),
    ],
)
def test_requests_that_are_none(address, body, kind, status, words):
    got, _, said = get(f"{address}/api/join", body, kind)
    assert got == status and words in json.loads(said)["error"]


def test_only_the_study_s_pictures_are_served(address, study):
    question = Client(address, "Eva").questions[0]
    for name in (*question["pictures"], question["image"], question["mask"]):
        status, headers, body = get(f"{address}/{name}")
        assert status == 200 and body == (study.folder / name).read_bytes()
        assert headers["Content-Type"] == "image/png" and "immutable" in headers["Cache-Control"]
    (study.folder / "pictures" / "other.png").write_bytes(b"not of this study")
    for path in ("pictures/other.png", "pictures/..%2fstudy.json", "pictures/%2e%2e/study.json", "study.json"):
        assert get(f"{address}/{path}")[0] == 404
    for path in ("page/..%2fapp.py", "page/%2e%2e/app.py", "answers/eva.jsonl", "docs", "openapi.json"):
        assert get(f"{address}/{path}")[0] == 404


def test_a_picture_is_kept_by_browsers_and_its_headers_tell_nothing_but_its_content(address, study):
    [name, other] = Client(address, "Eva").questions[0]["pictures"]
    url = f"{address}/{name}"
    first = {key: value for key, value in get(url)[1].items() if key != "date"}
    assert not {"last-modified", "accept-ranges"} & {key.lower() for key in first}
    os.utime(study.folder / name, (1, 1))
    assert {key: value for key, value in get(url)[1].items() if key != "date"} == first
    assert get(f"{address}/{other}")[1]["etag"] != first["etag"]
    request = urllib.request.Request(url, headers={"If-None-Match": first["etag"]})
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(request, timeout=10)


def test_the_page_may_load_from_here_only(address):
    for path, kind in (("", "text/html"), ("page/main.js", "javascript"), ("page/style.css", "text/css")):
        status, headers, body = get(f"{address}/{path}")
        assert status == 200 and kind in headers["Content-Type"] and b"http" not in body.replace(b"http://www.w3", b"")
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["Cache-Control"] == "no-cache"


def test_a_disk_that_fails_is_a_sentence_and_another_try(address, study, capsys):
    fay = Client(address, "Fay")
    file = study.folder / "answers" / "fay.jsonl"
    kept = file.read_bytes()
    file.unlink()
    file.mkdir()
    status, said = fay.answer("f1", fay.questions[0]["id"], {"overall": "left"})
    assert status == 500 and "cannot keep answers at the moment" in said["error"] and "Traceback" not in said["error"]
    assert "byteedit: /api/answers: IsADirectoryError" in capsys.readouterr().out
    file.rmdir()
    file.write_bytes(kept)
    assert fay.answer("f1", fay.questions[0]["id"], {"overall": "left"}) == (200, {"new": True})


@pytest.mark.parametrize("kind", RIGHT)
def test_each_kind_is_asked_and_answered(tmp_path, kind):
    study = make_study(tmp_path, kind, ("ours", "poor") if kind == "gsb" else FOUR, count=2)
    with serving(create_app(study)) as address:
        ann = Client(address, "Ann")
        question = next(question for question in ann.questions if question["task"] == "erasing")
        assert question["axes"] == (["coherence", "structure"] if kind == "scores" else ["overall"])
        assert ann.answer("a", question["id"], RIGHT[kind]) == (200, {"new": True})
    assert recorded(study) == [("ann", question["id"], RIGHT[kind])]


def test_the_demonstration_is_a_study_of_drawn_erasures(tmp_path):
    study = make_demonstration(tmp_path / "study", count=2, raters=3)
    assert len(study.questions) == 2 and len(study.places) == 3
    question = next(iter(study.questions.values()))
    assert sorted(question.systems) == ["blur", "mean", "shift", "truth"] and question.task == "erasing"
    assert len(set(question.pictures)) == 4
