"""The loop closed once: votes in the app, a reward of them, a LoRA tuned on the reward, and the editor that uses it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from byteedit.cli import main
from byteedit.feedback.app import create_app
from byteedit.provenance import read_record
from test_edits import metadata_jsonl
from test_train_pefl_example import TINY as PEFL
from test_train_reward_example import TINY as REWARD
from test_train_reward_example import fresh  # noqa: F401
from toy_editor import running
from toy_feedback import Client, serving
from toy_studies import judge, make_study

pytest.importorskip("gradio")


def vote(study) -> None:
    """Two raters answer all of a study in the app."""
    with serving(create_app(study)) as address:
        for name in ("Ann", "Bob"):
            client, rng = Client(address, name), np.random.default_rng(0)
            for question in client.questions:
                value = judge(study, study.questions[question["id"]], rng)
                client.answer(f"{name}-{question['id']}", question["id"], value)


def ask(address: str, **chosen) -> Path:
    """An edit by a running editor."""
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False)
    files = {name: handle_file(f"{name}.png") for name in ("image", "mask")}
    made = client.predict(**files, prompt="a red boat", seed=3, steps=2, api_name="/make", **chosen)
    client.close()
    return Path(made)


@pytest.mark.slow
def test_votes_become_a_lora_in_the_editor(tmp_path, monkeypatch, pipe, scene):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained("model")
    pictures = metadata_jsonl(tmp_path / "pictures")
    for name, picture in zip(("image", "mask"), scene(70, 50), strict=True):
        picture.save(f"{name}.png")

    vote(make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), raters=2, votes=2))
    assert main(["study", "export", "study", "pairs", "--validation", "0.25"]) == 0
    Path("reward.yaml").write_text(f"{REWARD}data: pairs\noutput: voted\n")
    assert main(["train", "reward", "reward.yaml"]) == 0
    places = f"base: model\ndata: {pictures}\nheld_out: {pictures}\noutput: tuned\n"
    Path("pefl.yaml").write_text(f"{PEFL}reward_models: {{mine: voted/reward}}\n{places}")
    assert main(["train", "pefl", "pefl.yaml", "--set", "lr=0.1"]) == 0

    with running(model="model", lora=("tuned/lora",), device="cpu") as address:
        before, after = (ask(address, lora=lora) for lora in ("none", "tuned/lora"))
        assert read_record(after).settings["lora"] == ["tuned/lora"]
        assert np.asarray(Image.open(before)).shape == np.asarray(Image.open(after)).shape
        assert (np.asarray(Image.open(before)) != np.asarray(Image.open(after))).any()


def test_strangers_choose_among_what_is_offered():
    from byteedit.app.events import Events
    from byteedit.app.settings import Settings

    events = Events(Settings(host="0.0.0.0", lora=("tuned/lora",)))
    assert events._offered("tuned/lora") == "tuned/lora"
    with pytest.raises(ValueError, match="/etc/lora is not offered here; choose one from the list"):
        events._offered("/etc/lora")
    assert Events(Settings(lora=()))._offered("/my/lora") == "/my/lora"
