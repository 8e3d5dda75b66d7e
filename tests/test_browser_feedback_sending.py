"""Answers on their way, in a real browser: whatever answers, forgets or is full, none is lost, doubled or made up."""

import json

import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import latest, read_answers
from byteedit.evaluation.human.raters import join
from toy_raters import people
from toy_studies import make_study

sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
pytestmark = pytest.mark.slow

ONLINE = "dispatchEvent(new Event('online'))"  # what is kept is sent at once
BACK = "document.dispatchEvent(new Event('visibilitychange'))"  # from another tab
FILL = """() => {
  for (let size = 2 ** 23, name = 0; size > 1; name++)
    try { localStorage.setItem(`other${name}`, "x".repeat(size)); } catch { size >>= 1; }
}"""


def sides(study):
    """What each answer that counts says, in the order of writing."""
    return [answer.value["overall"] for answer in latest(read_answers(study, Skipped()))]


def forget(study):
    """As a Space does that starts again before its first push."""
    for file in (study.folder / "answers").glob("*.jsonl"):
        file.unlink()


@pytest.mark.parametrize("status", [200, 400, 404, 405])
def test_what_something_else_says_at_this_address_takes_no_answer(chromium, tmp_path, status):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.route("**/api/answers", lambda route: route.fulfill(status=status, json={"detail": "Not Found"}))
        ann.press("ArrowLeft", "ArrowRight")
        ann.status("Something else answers at this address. 2 answers kept here, to be sent again")
        ann.page.unroute("**/api/answers")
        ann.page.evaluate(ONLINE)
        ann.status("Last: ")
    assert sides(study) == ["left", "right"]


@pytest.mark.parametrize("said", [{"error": "Bad Request."}, {"error": "Bad Request", "study": "another"}])
def test_a_refusal_that_is_not_this_study_s_takes_no_answer(chromium, tmp_path, said):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.route("**/api/answers", lambda route: route.fulfill(status=400, json=said), times=1)
        ann.press("ArrowLeft")
        ann.status("Bad Request. 1 answer kept here, to be sent again")
        ann.page.evaluate(ONLINE)
        ann.status("Last: ")
    assert sides(study) == ["left"]


def test_answers_wait_for_a_file_that_cannot_be_read_and_keep_nobody_else_s_waiting(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann") as [ann]:
        file = study.folder / "answers" / "ann.jsonl"
        kept = file.read_bytes()
        file.write_bytes(b"torn\n")
        ann.press("ArrowLeft")
        trouble = "ann.jsonl does not begin as a rater's answers do; take another name, or tell who runs the study"
        ann.status(f"{trouble}. 1 answer kept here, to be sent again")
        ann.press("p")
        ann.page.click("#leave")
        ann.page.fill("#name", "Bob")
        ann.page.keyboard.press("Enter")
        ann.press("ArrowRight")
        ann.status(f"{trouble}. 1 answer kept here, to be sent again")
        assert sides(study) == ["right"]
        file.write_bytes(kept)
        ann.page.evaluate(ONLINE)
        ann.status("Last: ")
    assert sides(study) == ["left", "right"]


def test_pages_go_on_where_they_were_when_the_server_has_forgotten_them(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=8, raters=2, votes=1)
    with people(chromium, study, "Ann", "Bob") as [_, bob]:
        forget(study)
        bob.press("ArrowLeft")
        bob.status("Last: ")
        assert sides(study) == ["left"]
        bob.page.route("**/api/answers", lambda route: route.abort())
        bob.press("ArrowRight")
        bob.status("1 answer kept here")
        forget(study)
        bob.page.unroute("**/api/answers")
        bob.page.reload()
        bob.status("the first is better")  # the first question is asked again, and nothing is underway
        assert bob.count() == "1 of 4"
    assert sides(study) == ["right"]


def test_a_refusal_is_said_until_the_next_answer_and_other_questions_are_asked(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=8, raters=2, votes=1)
    with people(chromium, study, "Ann", "Bob") as [_, bob]:
        forget(study)
        others = {question.id for question in join(study, "Bob").questions}  # from another device, the first there
        bob.press("ArrowLeft")
        bob.status(f"An answer was not taken: question '{study.places[1][0]}' is not asked of bob.")
        sync_api.expect(bob.page.locator("#count")).to_have_text("0 of 4")
        bob.page.wait_for_load_state("networkidle")
        bob.status("An answer was not taken")
        bob.press("ArrowRight")
        bob.status("Last: 2 is better")
        bob.press(*["ArrowRight"] * 3)
        bob.page.wait_for_selector("text=Thank you. That was all.")
        sync_api.expect(bob.page.locator("#pause-status")).to_be_empty()
    assert {answer.question for answer in read_answers(study, Skipped())} == others and sides(study) == ["right"] * 4


def test_an_answer_that_waited_does_not_overrule_a_newer_one(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    with people(chromium, study, "Ann", "Ann") as [laptop, phone]:
        laptop.page.route("**/api/answers", lambda route: route.abort())
        laptop.press("ArrowLeft")
        laptop.status("1 answer kept here")
        phone.press("ArrowRight")
        phone.status("Last: ")
        laptop.page.unroute("**/api/answers")
        laptop.page.evaluate(ONLINE)
        laptop.status("Last: ")
    assert sides(study) == ["right"] and len(read_answers(study, Skipped())) == 2


def test_on_a_line_that_stalls_the_changed_mind_counts(chromium, tmp_path):
    study, stalled = make_study(tmp_path, "gsb", count=4), []
    with people(chromium, study, "Ann") as [ann]:
        ann.page.route("**/api/answers", lambda route: stalled.append(route), times=1)
        ann.press("ArrowLeft", "Backspace", "ArrowRight")
        ann.ready()
        ann.page.wait_for_timeout(500)
        stalled[0].continue_()  # after the mind was changed
        ann.status("Last: 2 is better")
    assert sides(study) == ["right"] and len(read_answers(study, Skipped())) == 2


def test_a_reply_that_is_lost_on_a_slow_line_does_not_undo_the_changed_mind(chromium, tmp_path):
    study, slow = make_study(tmp_path, "gsb", count=4), []
    with people(chromium, study, "Ann") as [ann]:
        ann.page.route("**/api/answers", lambda route: slow.append(route), times=1)
        ann.press("ArrowLeft", "Backspace", "ArrowRight")
        ann.ready()
        ann.page.wait_for_timeout(500)
        slow[0].fetch()  # after the mind was changed, the server notes what it was
        slow[0].abort()
        ann.status("2 answers kept here, to be sent again")
        ann.page.evaluate(ONLINE)
        ann.status("Last: 2 is better")
    assert sides(study) == ["right"] and len(read_answers(study, Skipped())) == 2


def test_what_is_answered_while_the_page_asks_how_far_it_is_stays_on_it(chromium, tmp_path):
    study, late = make_study(tmp_path, "gsb", count=4), []
    with people(chromium, study, "Ann") as [ann]:
        ann.press("ArrowLeft")
        ann.status("Last: ")
        ann.page.route("**/api/join", lambda route: late.append((route, route.fetch())))
        ann.page.evaluate(BACK)
        ann.press("ArrowRight", "ArrowRight")
        ann.status("Last: ")
        [(route, answer)] = late
        assert len(json.loads(answer.body())["answers"]) == 1
        with ann.page.expect_response("**/api/join"):
            route.fulfill(response=answer)
        ann.press("ArrowLeft")
        ann.page.wait_for_selector("text=Thank you. That was all.")
    assert sides(study) == ["left", "right", "right", "left"] and len(read_answers(study, Skipped())) == 4


def test_a_join_that_tells_no_place_locks_no_name_out(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4)

    def without_place(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={name: said for name, said in answer.json().items() if name != "place"})

    with people(chromium, study, "Ann") as [ann]:
        ann.page.route("**/api/join", without_place, times=1)
        ann.page.reload()
        ann.ready()
        [seat] = ann.page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('byteedit/place/'))")
        for kept in (None, "undefined", "", "{}", "0.5"):  # None: what that join left
            if kept is not None:
                ann.page.evaluate("([seat, kept]) => localStorage.setItem(seat, kept)", [seat, kept])
            ann.page.reload()
            ann.page.wait_for_selector("#work:not([hidden]), #welcome:not([hidden])")
            assert ann.page.is_visible("#work"), kept
            ann.ready()
            assert ann.page.evaluate("(seat) => localStorage.getItem(seat)", seat) == "0"


def test_a_browser_whose_storage_is_full_sends_what_it_counts(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.evaluate(FILL)
        ann.page.route("**/api/answers", lambda route: route.abort())
        ann.press("ArrowLeft", "ArrowRight")
        ann.status("2 answers kept here, to be sent again")
        assert ann.count() == "2 of 4"
        ann.page.unroute("**/api/answers")
        ann.page.evaluate(ONLINE)
        ann.status("Last: ")
        assert sides(study) == ["left", "right"]
        ann.page.reload()
        ann.ready()
        assert ann.count() == "2 of 4"
