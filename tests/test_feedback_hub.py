"""Answers on the hub: pushed, taken up again, and never written over by less. The client is the real one."""

import json
import shutil

import pytest
from huggingface_hub import HfApi, constants

from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import read_answers
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.studies import open_study
from byteedit.feedback.remote import fetch_study, merge, push_answers
from toy_feedback import serving
from toy_hub import ToyHub
from toy_studies import make_study

LEFT = {"overall": "left"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A toy hub, and the client that asks it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    toy = ToyHub()
    with serving(toy.app) as address:
        toy.client = HfApi(endpoint=address, token="hf_toy")
        yield toy


def line(id, time):
    return json.dumps({"id": id, "time": time}).encode()


def test_answers_are_pushed_as_they_grow(hub, tmp_path):
    study = make_study(tmp_path, "gsb")
    pushing = push_answers(study, hub.client, "lab/answers", every=60)
    assert hub.private == {"lab/answers": True}
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    pushing.trigger().result()
    ann.record("a2", ann.questions[1].id, LEFT)
    pushing.finish()
    file = study.folder / "answers" / "ann.jsonl"
    assert hub.files["lab/answers"] == {"answers/ann.jsonl": file.read_bytes()}
    assert len(hub.commits) >= 2 and all(names == ["answers/ann.jsonl"] for names in hub.commits)


def test_a_new_machine_goes_on_where_the_old_one_was(hub, tmp_path):
    study = make_study(tmp_path, "gsb")
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    push_answers(study, hub.client, "lab/answers", every=60).finish()
    for file in (study.folder / "answers").iterdir():
        file.unlink()
    pushing = push_answers(study, hub.client, "lab/answers", every=60)
    again = join(study, "Ann")
    assert set(again.answers()) == {ann.questions[0].id} and again.questions == ann.questions
    again.record("a2", ann.questions[1].id, LEFT)
    pushing.finish()
    assert hub.files["lab/answers"]["answers/ann.jsonl"].count(b'"a1"') == 1
    assert len(hub.files["lab/answers"]["answers/ann.jsonl"].splitlines()) == 3


def test_answers_to_another_study_are_not_taken_up(hub, tmp_path):
    study, other = make_study(tmp_path / "one", "gsb"), make_study(tmp_path / "other", "gsb", seed=1)
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    push_answers(study, hub.client, "lab/answers", every=60).finish()
    with pytest.raises(ValueError, match="lab/answers holds answers to another study; push to another data set"):
        push_answers(other, hub.client, "lab/answers", every=60)
    assert not list((other.folder / "answers").glob("*.jsonl"))


def test_a_study_comes_from_a_data_set_without_its_answers(hub, tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    names = ["study.json", "questions.jsonl", *(f"pictures/{file.name}" for file in study.folder.glob("pictures/*"))]
    hub.files["lab/study"] = {name: (study.folder / name).read_bytes() for name in names} | {
        "answers/ann.jsonl": b"{}\n", "README.md": b"a study",
    }  # fmt: skip
    fetched = open_study(fetch_study(hub.client, "lab/study", tmp_path / "fetched"))
    assert fetched.questions == study.questions
    assert sorted(file.name for file in fetched.folder.iterdir() if file.name[0] != ".") == [
        "pictures", "questions.jsonl", "study.json",
    ]  # fmt: skip


def test_a_data_set_that_gives_no_study_is_said_in_a_sentence(hub, tmp_path):
    hub.files["lab/empty"] = {"README.md": b"a study"}
    unreachable = HfApi(endpoint="http://127.0.0.1:9", token="hf_toy")
    for client, name, why in [
        (hub.client, "lab/empty", "it has no study.json"), (hub.client, "https://lab/study", "Repo id must be"),
        (unreachable, "lab/study", ".+"),
    ]:  # fmt: skip
        words = rf"no study comes from the data set '{name}' \({why}.*\); check STUDY, and that HF_TOKEN may read it"
        with pytest.raises(ValueError, match=words):
            fetch_study(client, name, tmp_path / "fetched")


def test_what_cannot_be_pushed_is_said_and_pushed_later(hub, tmp_path, capsys):
    study = make_study(tmp_path, "gsb")
    pushing = push_answers(study, hub.client, "lab/answers", every=60)
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    hub.broken = True
    pushing.trigger().result()
    out = capsys.readouterr().out
    assert out and all("answers were not pushed to lab/answers, and will be: " in line for line in out.splitlines())
    hub.broken = False
    pushing.finish()
    assert hub.files["lab/answers"] == {"answers/ann.jsonl": ann.file.read_bytes()}


def on_the_hub(hub):
    return [json.loads(row)["id"] for row in hub.files["lab/answers"]["answers/ann.jsonl"].splitlines()[1:]]


def test_two_servers_of_a_space_that_is_rebuilt_lose_nothing(hub, tmp_path):
    """The new one is up before the old one, which raters' pages still reach, is told to stop."""
    study = make_study(tmp_path, "gsb")
    new = open_study(shutil.copytree(study.folder, tmp_path / "new"))
    old_push = push_answers(study, hub.client, "lab/answers", every=60)
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    old_push.trigger().result()
    new_push = push_answers(new, hub.client, "lab/answers", every=60)
    new_push.trigger().result()
    ann.record("a2", ann.questions[1].id, LEFT)
    old_push.finish()
    assert on_the_hub(hub) == ["a1", "a2"]
    join(new, "Ann").record("a3", ann.questions[2].id, LEFT)
    new_push.finish()
    assert sorted(on_the_hub(hub)) == ["a1", "a2", "a3"]
    assert len(join(new, "Ann").answers()) == 3


def test_what_has_not_grown_is_neither_read_nor_pushed_again(hub, tmp_path, capsys):
    study = make_study(tmp_path, "gsb", raters=2)
    ann, bob = join(study, "Ann"), join(study, "Bob")
    push_answers(study, hub.client, "lab/answers", every=60).finish()
    hub.commits.clear()
    pushing = push_answers(study, hub.client, "lab/answers", every=60)
    pushing.trigger().result()
    times = [rater.file.stat().st_mtime_ns for rater in (ann, bob)]
    assert hub.commits == []
    hub.mute = True
    pushing.trigger().result()
    assert capsys.readouterr().out == ""
    hub.mute = False
    bob.record("b1", bob.questions[0].id, LEFT)
    pushing.finish()
    assert hub.commits == [["answers/bob.jsonl"]]
    assert ann.file.stat().st_mtime_ns == times[0]


def test_nothing_is_pushed_over_what_cannot_be_read(hub, tmp_path, capsys):
    study = make_study(tmp_path, "gsb")
    pushing = push_answers(study, hub.client, "lab/answers", every=60)
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    pushing.trigger().result()
    more = ann.file.read_bytes() + ann.file.read_bytes().splitlines()[1].replace(b"a1", b"a2") + b"\n"
    hub.files["lab/answers"]["answers/ann.jsonl"] = more  # by another server
    ann.record("a3", ann.questions[1].id, LEFT)
    hub.mute = True
    pushing.trigger().result()
    assert hub.files["lab/answers"]["answers/ann.jsonl"] == more
    assert "answers were not pushed to lab/answers, and will be: " in capsys.readouterr().out
    hub.mute = False
    pushing.finish()
    assert sorted(on_the_hub(hub)) == ["a1", "a2", "a3"]


def test_who_may_not_push_is_told_before_anyone_answers(hub, tmp_path):
    study = make_study(tmp_path, "gsb")
    hub.broken = True
    with pytest.raises(ValueError, match=r"answers cannot be pushed to lab/answers: .* Log in with `hf auth login`"):
        push_answers(study, hub.client, "lab/answers", every=60)
    with pytest.raises(ValueError, match="every is 0; it must be more than 0 minutes"):
        push_answers(study, hub.client, "lab/answers", every=0)
    unreachable = HfApi(endpoint="http://127.0.0.1:9", token="hf_toy")
    with pytest.raises(ValueError, match="answers cannot be pushed to lab/answers"):
        push_answers(study, unreachable, "lab/answers", every=60)


def test_two_copies_make_one_file_by_time():
    here = b"\n".join([b"head", line("a", "10:00"), line("c", "10:02"), b""])
    there = b"\n".join([b"another head", line("a", "10:00"), line("b", "10:01"), b""])
    assert merge(here, there) == b"\n".join([b"head", line("a", "10:00"), line("b", "10:01"), line("c", "10:02"), b""])
    assert merge(here, here) == here
    torn = here + b'{"id": "to'
    assert merge(torn, there).splitlines()[1] == b'{"id": "to' and merge(torn, there).endswith(b"\n")


def test_what_was_taken_up_is_read_as_answers(hub, tmp_path):
    study = make_study(tmp_path, "gsb")
    ann = join(study, "Ann")
    ann.record("a1", ann.questions[0].id, LEFT)
    hub.files["lab/answers"] = {
        "answers/ann.jsonl": (study.folder / "answers" / "ann.jsonl").read_bytes(),
        "answers/sub/other.jsonl": b"not ours",
        "other.jsonl": b"not ours",
    }
    push_answers(study, hub.client, "lab/answers", every=60).finish()
    skipped = Skipped()
    assert len(read_answers(study, skipped)) == 1 and not skipped.reasons
    assert sorted(file.name for file in (study.folder / "answers").glob("*.jsonl")) == ["ann.jsonl"]
