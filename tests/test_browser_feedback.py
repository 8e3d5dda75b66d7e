"""The feedback app in a real browser: keys, reloads, changed minds, two raters at once, a phone, a lost connection."""

import pytest

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import latest, read_answers
from byteedit.feedback.app import create_app
from toy_browser import PHONE
from toy_feedback import serving
from toy_raters import people
from toy_studies import make_study

sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
pytestmark = pytest.mark.slow

FOUR = ("ours", "good", "fair", "poor")


def thoughts(study):
    """The last answers by rater and question."""
    return {(answer.rater, answer.question): answer.value for answer in latest(read_answers(study, Skipped()))}


def test_twenty_votes_by_keyboard_with_a_reload_in_between(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=20)
    keys = ["ArrowLeft", "ArrowRight", "ArrowDown", "1", "2"] * 4
    sides = ["left", "right", "same", "left", "right"] * 4
    with people(chromium, study, "Ann") as [ann]:
        ann.press(*keys[:9])
        ann.page.reload()
        ann.ready()
        assert ann.count() == "9 of 20"
        ann.press(*keys[9:])
        ann.page.wait_for_selector("text=Thank you. That was all.")
        sync_api.expect(ann.page.locator("#pause-status")).to_be_empty()
    answers = read_answers(study, skipped := Skipped())
    assert [answer.question for answer in answers] == list(study.places[0]) and not skipped.reasons
    assert [answer.value["overall"] for answer in answers] == sides
    assert all(0 <= answer.seconds < 60 for answer in answers)


def test_the_next_pictures_are_loaded_before_they_are_asked_for(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=6)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.wait_for_load_state("networkidle")
        asked = []
        ann.page.on("request", lambda request: asked.append(request.url))
        ann.press("ArrowLeft")
        ann.ready()
        shown = ann.page.eval_on_selector_all("#stage img", "images => images.map(image => image.src)")
        assert len(shown) == 2 and not set(shown) & set(asked)


def test_going_back_and_changing_a_vote(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", FOUR, count=4)
    with people(chromium, study, "Ann") as [ann]:
        ann.press("2", "4", "1", "3")
        ann.press("Backspace", "Backspace")
        ann.status("You said: best 2, worst 4")
        ann.press("3", "3")  # the best, and taken back
        ann.press("4", "1")
        ann.ready()
        assert ann.count() == "2 of 4"
        ann.press("p")
        ann.page.click("#resume")
        ann.press("1", "2")
        ann.page.click("#back")
        ann.ready()
        ann.page.click("figure:nth-child(3) >> text=Best")
        ann.status("best 3, worst 2")
    assert list(thoughts(study).values()) == [
        {"best": 4, "worst": 1}, {"best": 1, "worst": 3}, {"best": 3, "worst": 2},
    ]  # fmt: skip
    assert len(read_answers(study, Skipped())) == 5


def test_marks_by_keyboard_and_what_an_erasure_is_not_asked(chromium, tmp_path):
    study = make_study(tmp_path, "scores", ("ours",), count=2)
    with people(chromium, study, "Ann") as [ann]:
        for question in study.places[0]:
            axes = study.axes(study.questions[question])
            ann.ready()
            assert ann.page.locator(".axis b").all_inner_texts() == [axis.capitalize() for axis in axes]
            ann.press("5", "ArrowUp", "4", *"32"[: len(axes) - 1])
        ann.page.wait_for_selector("text=Thank you")
    values = {study.questions[question].task: value for (_, question), value in thoughts(study).items()}
    assert values["editing"] == {"coherence": 4, "structure": 3, "aesthetics": 2}
    assert values["erasing"] == {"coherence": 4, "structure": 3}


def test_two_raters_at_once_and_one_of_them_in_two_tabs(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=6, raters=2, votes=2)
    with people(chromium, study, "Ann", "Bob", "bob") as [ann, bob, bob_too]:
        for _ in range(3):
            ann.press("ArrowLeft")
            bob.press("ArrowRight")
            bob_too.press("ArrowRight")
        ann.press(*["ArrowLeft"] * 3)
        bob.press(*["ArrowDown"] * 3)
        for rater in (ann, bob):
            rater.page.wait_for_selector("text=Thank you")
        bob_too.page.reload()
        bob_too.page.wait_for_selector("text=Thank you")
    said = thoughts(study)
    assert [value["overall"] for (rater, _), value in said.items() if rater == "ann"] == ["left"] * 6
    assert (
        sorted(value["overall"] for (rater, _), value in said.items() if rater == "bob") == ["right"] * 3 + ["same"] * 3
    )


def test_a_phone(chromium, tmp_path):
    study = make_study(tmp_path, "best-worst", FOUR, count=2)
    with people(chromium, study, "Ann", **PHONE) as [ann]:
        page = ann.page
        page.tap("figure:nth-child(2) .picture")
        page.wait_for_selector("#closer[open] >> text=Picture 2 of 4")
        page.tap("#closer-picture")
        page.wait_for_selector("#closer[open] >> text=Picture 3 of 4")
        page.tap("#closer >> text=Close")
        page.tap("figure:nth-child(1) >> text=Worst")
        page.tap("figure:nth-child(4) >> text=Best")
        ann.status("Last: best 4, worst 1")
        width, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner == 390
        small = page.eval_on_selector_all(
            "#work button",
            "all => all.filter(one => one.checkVisibility() && one.offsetHeight < 44).map(one => one.id)",
        )
        assert small == []
        boxes = page.eval_on_selector_all("figure", "all => all.map(one => one.getBoundingClientRect().bottom)")
        assert max(boxes) < page.evaluate("document.querySelector('footer').getBoundingClientRect().top")
    assert list(thoughts(study).values()) == [{"best": 4, "worst": 1}]


def test_a_lost_connection_loses_no_answer_even_over_a_reload(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.wait_for_load_state("networkidle")
        ann.page.route("**/api/answers", lambda route: route.abort())
        ann.press("ArrowLeft", "ArrowRight")
        ann.status("The server does not answer. 2 answers kept here, to be sent again")
        ann.page.reload()
        ann.ready()
        assert ann.count() == "2 of 4" and not thoughts(study)
        ann.page.unroute("**/api/answers")
        ann.page.evaluate("dispatchEvent(new Event('online'))")
        ann.status("Last: ")
    assert [value["overall"] for value in thoughts(study).values()] == ["left", "right"]


def test_a_double_click_answers_one_question(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=6)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.locator(".choice").first.dblclick()
        ann.ready()
        assert ann.count() == "1 of 6"
        ann.page.keyboard.press("ArrowLeft")
        ann.page.keyboard.press("ArrowLeft")  # before anyone can have seen the next one
        ann.press("ArrowRight")
        ann.ready()
        assert ann.count() == "3 of 6"
        ann.status("Last: 2 is better")
    answers = read_answers(study, Skipped())
    assert [answer.question for answer in answers] == list(study.places[0][:3])
    assert [answer.value["overall"] for answer in answers] == ["left", "left", "right"]


def test_who_comes_next_in_a_browser_sends_what_is_left_and_is_not_taken_for_who_was_there(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=4, raters=2, votes=2)
    with people(chromium, study, "Ann") as [ann]:
        ann.page.wait_for_load_state("networkidle")
        ann.page.route("**/api/answers", lambda route: route.abort())
        ann.press("ArrowLeft", "p")
        ann.page.wait_for_selector("text=Keep this page open until the answers are sent")
        ann.page.unroute("**/api/answers")
        ann.page.click("#leave")
        ann.page.wait_for_selector("#welcome:not([hidden])")
        assert ann.page.input_value("#name") == ""
        ann.page.fill("#name", "Bob")
        ann.page.keyboard.press("Enter")
        ann.press("ArrowRight")
        ann.status("Last: ")
    assert sorted((rater, value["overall"]) for (rater, _), value in thoughts(study).items()) == [
        ("ann", "left"), ("bob", "right"),
    ]  # fmt: skip


def test_pictures_that_do_not_come_cannot_be_judged(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    with people(chromium, study, "Ann") as [ann]:
        second = study.questions[study.places[0][1]]
        ann.page.route("**/pictures/*", lambda route: route.abort())
        ann.page.reload()
        ann.page.wait_for_selector("text=A picture could not be loaded.")
        ann.page.keyboard.press("ArrowLeft")
        assert ann.count() == "0 of 2"
        ann.page.unroute("**/pictures/*")
        ann.page.click("text=Try again")
        ann.press("ArrowLeft", "ArrowLeft")
        ann.page.wait_for_selector("text=Thank you")
    assert ("ann", second.id) in thoughts(study)


def test_a_name_that_is_none_is_a_sentence(chromium, tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    with serving(create_app(study)) as address:
        page = chromium.new_page()
        page.goto(address)
        page.fill("#name", "../..")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=the name '../..' is not usable; expected 1 to 60 letters or digits.")
        page.close()
    assert not list((study.folder / "answers").glob("*.jsonl"))
