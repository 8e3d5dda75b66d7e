"""The editor's pictures in the making: who waits, what is seen of them, Stop, and that they are the command line's."""

import io
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.app import making, session
from byteedit.app.answering import answer
from byteedit.app.events import Events
from byteedit.app.line import Line
from byteedit.app.making import Forming, Made, Waiting, make, windows
from byteedit.app.photo import read_photo
from byteedit.app.session import Session, resumed
from byteedit.app.settings import Settings
from byteedit.cli import main
from byteedit.commands.pictures import Edit, Erase, Outpaint
from test_compare import write


def test_the_line_serves_in_order_and_says_when_it_is_full():
    line, order = Line(2), []

    def wait(number):
        with line.place() as ticket:
            while line.before(ticket, patience=1.0):
                pass
            order.append(number)

    with line.place() as first:
        assert line.before(first) == 0
        threads = [Thread(target=wait, args=(number,)) for number in (1, 2)]
        for number, thread in enumerate(threads, 2):
            thread.start()
            while len(line) < number:
                pass
        with pytest.raises(ValueError, match="2 others are waiting already"), line.place():
            pass
    for thread in threads:
        thread.join()
    assert order == [1, 2]
    assert len(line) == 0


def told_by(command, image, mask, stop: Path) -> list:
    """All that is told while a command is carried out."""
    return list(make(Line(0), command, image, mask, stop))


def test_pictures_form_before_they_are_made_and_equal_the_command_line_s(model, scene, tmp_path):
    photo, mask = scene(70, 50)
    command = Edit(prompt="a red boat", model=model, seed=3, steps=4, num_images=2, device="cpu")
    told = told_by(command, photo, mask, tmp_path / "stop")
    forming = [event for event in told if isinstance(event, Forming)]
    made = [event for event in told if isinstance(event, Made)]
    assert told[0] == Waiting(before=0)
    assert [event.step for event in forming] == [1, 2, 3, 4] * 2
    assert forming[0].patch.size == (64, 64)
    assert forming[0].window == windows(command, photo, mask, (64, 64))[0]
    assert [event.command.seed for event in made] == [3, 4]
    photo.save("photo.png")
    mask.save("mask.png")
    line = "edit photo.png --mask mask.png --model model --steps 4 --seed 4 --output out.png --prompt"
    assert main([*line.split(), "a red boat"]) == 0
    assert np.array_equal(np.asarray(Image.open("out.png")), np.asarray(made[1].image))


@pytest.mark.parametrize("guidance_end", [1.0, 0.4])
def test_the_guess_of_the_last_step_is_the_picture(pipe, scene, tmp_path, guidance_end):
    from byteedit.app.watching import Watch

    seen = []

    class Remembering(Watch):
        def __call__(self, pipe, i, t, tensors):
            seen.append((self.guess(), tensors["latents"]))
            return super().__call__(pipe, i, t, tensors)

    photo, mask = scene(64, 64)
    with Remembering(pipe, windows(Edit(), photo, mask, (64, 64)), lambda _: None, tmp_path / "stop") as watch:
        how = {"num_inference_steps": 3, "guidance_end": guidance_end}
        pipe("a red boat", photo, mask, callback_on_step_end=watch, **how)
    guess, latents = seen[-1]
    assert len(seen) == 3
    assert torch.allclose(guess, latents, atol=1e-3)


def test_stop_ends_within_one_step_and_keeps_what_there_is(model, scene, tmp_path, monkeypatch):
    monkeypatch.setattr("byteedit.app.watching.Watch._preview", lambda self: time.sleep(0.1) or {})  # time to stop in
    photo, mask = scene(70, 50)
    command = Erase(model=model, seed=3, steps=50, num_images=3, device="cpu")
    stop, events = tmp_path / "stop", []
    for event in make(Line(0), command, photo, mask, stop):
        events.append(event)
        if isinstance(event, Forming):
            stop.touch()
    made = [event for event in events if isinstance(event, Made)]
    assert len(made) == 1
    assert made[0].stopped_after <= 4
    kept, after = np.asarray(mask) == 0, np.asarray(made[0].image)
    assert np.array_equal(after[kept], np.asarray(photo)[kept])
    assert (after[~kept] != np.asarray(photo)[~kept]).any()


def test_outpainting_forms_round_by_round_in_the_result_s_own_pixels(model, scene, tmp_path):
    photo = scene(40, 40)[0]
    command = Outpaint(left=60, model=model, seed=0, steps=2, device="cpu")
    told = told_by(command, photo, None, tmp_path / "stop")
    forming = [event for event in told if isinstance(event, Forming)]
    rounds = windows(command, photo, None, (64, 64))
    assert len(rounds) > 1
    assert forming[-1].step == forming[-1].steps == 2 * len(rounds)
    assert told[-1].image.size == (100, 40)
    assert all(view.left >= -64 and view.left + view.width <= 100 for view in rounds)


def test_a_lora_counts_as_much_as_its_weight_says(model, scene, tmp_path):
    write(tmp_path / "mine", 1)
    photo, mask = scene(70, 50)
    pictures = {}
    for weight in ("1", "0.5", "none"):
        lora = () if weight == "none" else (f"mine:{weight}",)
        command = Erase(model=model, lora=lora, seed=3, steps=2, device="cpu")
        pictures[weight] = np.asarray(told_by(command, photo, mask, tmp_path / "stop")[-1].image)
    assert not np.array_equal(pictures["1"], pictures["0.5"])
    assert not np.array_equal(pictures["none"], pictures["0.5"])
    photo.save("photo.png")
    mask.save("mask.png")
    line = "erase photo.png --mask mask.png --model model --lora mine:0.5 --steps 2 --seed 3 --output out.png"
    assert main(line.split()) == 0
    assert np.array_equal(np.asarray(Image.open("out.png")), pictures["0.5"])


def test_a_photo_that_is_opened_meanwhile_is_not_the_before(model, scene):
    session, events = Session(), Events(Settings(model=model, device="cpu"))
    photos = [read_photo(encode(scene(side, 40)[0]), "photo.png", 1, 1) for side in (40, 60)]
    session.open(photos[0])
    first = session.copy
    for n, _ in enumerate(events._run(session, Outpaint(left=8, model=model, steps=2, seed=0, device="cpu"), None)):
        if n == 0:
            session.open(photos[1])
    assert session.copy != first
    assert (session.results[0].before, session.results[0].photo) == (first, photos[0])


def test_a_token_brings_its_own_session_back_as_long_as_it_is_held():
    first, second = (resumed("", Session()) for _ in range(2))
    assert first.token != second.token and len(first.token) > 40
    assert resumed(first.token, Session()) is first
    assert resumed("guessed", Session()) not in (first, second)
    token, first = first.token, None
    fresh = Session()
    assert resumed(token, fresh) is fresh
    assert fresh.token != token


def test_stop_says_so_where_nothing_runs(tmp_path):
    session, events = Session(stop=tmp_path / "gone" / "stop"), Events(Settings())
    assert events.stop(session)["kind"] == "idle"
    session.stop = tmp_path / "stop"
    events.stop(session)
    assert session.stop.exists()


def test_one_model_is_held_at_a_time(monkeypatch):
    held = []

    def load(command):
        held.append(list(making._held))
        return object()

    monkeypatch.setattr(making.work, "load", load)
    monkeypatch.setattr(making, "_held", {})
    one = making.opened("a", (), None, "float32")
    assert making.opened("a", (), None, "float32") is one
    assert making.opened("b", (), None, "float32") is not one
    assert held == [[], []]


def encode(image):
    """The picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_programs_wait_in_the_same_line(model, scene):
    photo, mask = map(encode, scene(70, 50))
    settings, line = Settings(model=model, device="cpu"), Line(0)
    with line.place(), pytest.raises(ValueError, match="0 others are waiting already"):
        answer(settings, photo, mask, "a boat", line=line, steps=1)
    assert answer(settings, photo, mask, "a boat", line=line, steps=1).image.size == (70, 50)


def test_what_takes_too_long_is_stopped_for_strangers(model, scene, tmp_path):
    photo, mask = scene(70, 50)
    command = Edit(prompt="a boat", model=model, seed=3, steps=500, device="cpu")
    *_, made = make(Line(0), command, photo, mask, tmp_path / "stop", minutes=0.01)
    assert 1 <= made.stopped_after < 500
    stranger = Settings(model=model, device="cpu", host="0.0.0.0", minutes=0.01)
    with pytest.raises(ValueError, match=r"took more than 0\.01 minutes; ask for less of it, or fewer steps"):
        answer(stranger, encode(photo), encode(mask), "a boat", steps=500)
    assert (stranger.limit, Settings(minutes=0.01).limit) == (0.01, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": "long " * 300}, "The words are 1500 letters; 1000 are the most"),
        ({"prompt": "a \ud800"}, "The words hold half a character"),
        ({"seed": 2**70}, "seed is 1180591620717411303424; give a whole number from 0 to"),
    ],
)
def test_what_a_program_cannot_ask_is_said(model, scene, changes, words):
    photo, mask = map(encode, scene(70, 50))
    with pytest.raises(ValueError, match=words):
        answer(Settings(model=model, device="cpu"), photo, mask, **{"prompt": "a boat"} | changes)


def test_who_was_here_longest_ago_makes_room(monkeypatch):
    monkeypatch.setattr(session, "ALL_PIXELS", 1000)
    photos = [read_photo(encode(Image.new("RGB", (20, 20))), f"{n}.png", 1, 1) for n in range(3)]
    visitors = [Session(), Session(), Session()]
    for visitor, photo in zip(visitors, photos, strict=True):
        visitor.open(photo)
    assert [visitor.photo for visitor in visitors] == [None, photos[1], photos[2]]
    visitors[1].open(photos[1])
    visitors[0].open(photos[0])
    assert [visitor.photo for visitor in visitors] == [photos[0], photos[1], None]
