"""What a model card says of a training: what it began with, how long it was, and whose numbers they are."""

import json
from shutil import rmtree

import pytest
from huggingface_hub import HfApi

from byteedit.hub import push
from byteedit.training.cards import describe
from byteedit.training.loop import begin
from byteedit.training.phases import FastSettings
from byteedit.training.sft import InpaintSettings
from toy_training import fresh  # noqa: F401

COMMON = {"base": "picturebook", "data": "pages", "steps": 7, "batch_size": 2, "lr": 1e-3}


def card_of(settings, measures):
    """The card that is written beside the weights of a run."""
    settings.written.mkdir(parents=True)
    (settings.output / "log.jsonl").write_text('{"step": 1}\n')
    describe(begin(settings, cpu=True), settings, "A title", "A summary.", measures)
    return (settings.written / "README.md").read_text()


def phases_of(output, **changes):
    return FastSettings(output=output, rewards={"aesthetic": 1}, rank=2, **COMMON | changes).each()


def test_a_later_phase_started_from_the_one_before(tmp_path):
    first, second, third = phases_of(tmp_path, tuned="boost/lora", discriminator="coherence")
    card = card_of(first, {})
    assert "| started from | picturebook, with boost/lora |" in card
    assert "| tuned | boost/lora |" in card and "| discriminator | coherence |" in card
    for phase, before in ((second, first), (third, second)):
        card = card_of(phase, {})
        assert f"| started from | picturebook, with {before.written} |" in card
        assert "| tuned |" not in card and "| discriminator |" not in card and "| phases |" not in card
    assert "| started from | picturebook |" in card_of(phases_of(tmp_path / "new", phases=())[0], {})
    assert "before" not in second.course()  # so that a run of an older version can go on


def test_a_card_says_how_much_was_learnt(tmp_path):
    card = card_of(InpaintSettings(output=tmp_path, **COMMON), {})
    assert "| steps | 7 |" in card and "| processes | 1 |" in card and "| batch_size | 2 |" in card


@pytest.mark.parametrize(
    ("held_out", "measures", "words"),
    [
        ("", {}, "pages"),
        ("known", {"loss": 1, "minus_loss": -1}, "pages; the numbers are of known"),
        ("known", {"score/a": 1, "score/b": 2}, "pages; the numbers are of known"),
        (
            "known",
            {"score/a": 1, "gold": 3.1, "right": 0.5},
            "pages; score/a: of known; gold, right: a judge's, of pictures of its own",
        ),
        ("", {"gold": 3.1}, "pages; gold: a judge's, of pictures of its own"),
    ],
)
def test_a_card_says_which_pictures_its_numbers_are_of(tmp_path, held_out, measures, words):
    card = card_of(InpaintSettings(output=tmp_path, held_out=held_out, **COMMON), measures)
    assert f"| data | {words} |" in card


def test_a_card_tells_the_steps_that_were_taken_and_whose_weights_are_kept(tmp_path):
    settings = InpaintSettings(output=tmp_path, **COMMON)
    for step, best in ((4, None), (6, 2)):
        checkpoint = tmp_path / "checkpoints" / f"step-{step:08}"
        checkpoint.mkdir(parents=True)
        progress = {"step": step, "seconds": 1.0, "best": best and 0.5, "best_step": best or 0, "stale": 2}
        (checkpoint / "run.json").write_text(json.dumps({"progress": progress, "course": {}}))
        card = card_of(settings, {})
        assert f"| steps | {step} |" in card and ("| weights of step | 2 |" in card) is bool(best)
        rmtree(settings.written)


def test_a_folder_is_uploaded_as_a_model(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **options: done.append((name, options)))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **options: done.append(options))
    assert push(tmp_path, "lab/boost") == "https://huggingface.co/lab/boost"
    made, uploaded = done
    assert made == ("lab/boost", {"exist_ok": True})
    assert (uploaded["repo_id"], uploaded["folder_path"]) == ("lab/boost", tmp_path)
