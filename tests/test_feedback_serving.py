"""`byteedit study serve` and the Space: started, answered, stopped, as processes; from people's votes to a reward."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml  # comes with transformers

from byteedit.cli import main
from byteedit.feedback.app import create_app
from byteedit.rewards import PreferenceReward
from byteedit.training.reward import RewardSettings, open_rows
from test_train_reward_example import TINY, fresh, run_example  # noqa: F401  (fresh is a fixture)
from toy_feedback import Client, get, serving
from toy_hub import ToyHub
from toy_studies import judge, make_study

ROOT = Path(__file__).parent.parent
SPACE = ROOT / "spaces" / "feedback" / "app.py"
SERVE = "import sys; from byteedit.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def started(*arguments, cwd, **environment):
    """A process that serves: itself, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert "http://" in line, line + process.stderr.read()
        yield process, line.split(" at ")[1].split()[0].replace("0.0.0.0", "127.0.0.1")
    finally:
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_stopped(tmp_path):
    study = make_study(tmp_path, "gsb", count=2)
    with started("-c", SERVE, "study", "serve", study.folder, "--port", 0, cwd=tmp_path) as (process, address):
        ann = Client(address, "Ann")
        assert ann.answer("a1", ann.questions[0]["id"], {"overall": "left"}) == (200, {"new": True})
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "") and out == "stopped; all answers are kept\n"
    assert (study.folder / "answers" / "ann.jsonl").read_text().count('"a1"') == 1


@pytest.mark.slow
def test_what_is_left_is_pushed_when_the_machine_is_taken_away(tmp_path):
    study, hub = make_study(tmp_path, "gsb", count=2), ToyHub()
    command = ("-c", SERVE, "study", "serve", study.folder, "--port", 0, "--push", "lab/answers", "--every", 60)
    with (
        serving(hub.app) as endpoint,
        started(*command, cwd=tmp_path, HF_ENDPOINT=endpoint, HF_TOKEN="hf_toy", HF_HUB_OFFLINE="0") as run,
    ):
        process, address = run
        ann = Client(address, "Ann")
        ann.answer("a1", ann.questions[0]["id"], {"overall": "left"})
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[1] == ""
    assert hub.files["lab/answers"]["answers/ann.jsonl"] == (study.folder / "answers" / "ann.jsonl").read_bytes()


@pytest.mark.slow
def test_the_space_runs_as_it_stands(tmp_path):
    with started(SPACE, cwd=tmp_path, PORT="0", MINUTES="", STUDY="") as (_, address):
        ann = Client(address, "Ann")
        assert ann.study["kind"] == "best-worst" and "demonstration" in ann.study["instructions"]
        assert len(ann.questions) == 12 and get(f"{address}/{ann.questions[0]['image']}")[0] == 200


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"STUDY": "lab/none"}, "no study comes from the data set 'lab/none' "),  # offline
        ({"MINUTES": "often"}, "MINUTES is 'often'; give a number, or leave it out for 5."),
        ({"MINUTES": "0", "ANSWERS": "lab/x"}, "every is 0.0; it must be more than 0 minutes."),
    ],
)
def test_a_space_that_cannot_start_says_why_in_a_line(tmp_path, monkeypatch, variables, words):
    monkeypatch.chdir(tmp_path)
    for name, value in ({"PORT": "0"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^byteedit: {words}"):
        runpy.run_path(str(SPACE), run_name="__main__")


def test_the_space_pins_what_it_was_tested_with():
    head = yaml.safe_load((ROOT / "spaces" / "feedback" / "README.md").read_text().split("---")[1])
    assert head["sdk_version"] == version("gradio") and head["app_file"] == "app.py"


def test_errors_are_one_line(tmp_path, capsys):
    study = make_study(tmp_path, "gsb", count=2)
    capsys.readouterr()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        lines = {
            f"study serve {tmp_path / 'nowhere'}": "nowhere is no study",
            f"study serve {study.folder} --port {port}": f"cannot listen on port {port} of 127.0.0.1: it is taken",
            f"study serve {study.folder} --port 99999": "cannot listen on port 99999",
            f"study serve {study.folder} --port 0 --push lab/x --every 0": "every is 0.0; it must be more than 0",
            f"study serve {study.folder} --port 0 --push lab/x": "answers cannot be pushed to lab/x: ",  # offline
        }
        for line, words in lines.items():
            assert main(line.split()) == 1
            err = capsys.readouterr().err
            assert words in err and err.count("\n") == 1


@pytest.mark.usefixtures("fresh")
def test_from_votes_to_a_reward(tmp_path, monkeypatch, capsys):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), raters=2, votes=2)
    with serving(create_app(study)) as address:
        for name in ("Ann", "Bob"):
            client, rng = Client(address, name), np.random.default_rng(0)
            for question in client.questions:
                value = judge(study, study.questions[question["id"]], rng)
                assert client.answer(f"{name}-{question['id']}", question["id"], value)[0] == 200
    assert main(["study", "report", str(study.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"]["counted"] == 16
    monkeypatch.chdir(tmp_path)
    assert main(["study", "export", str(study.folder), "pairs", "--validation", "0.25"]) == 0
    settings = RewardSettings(reward="aesthetic", data="pairs", output="out", steps=1, batch_size=2, lr=1e-3)
    assert [len(open_rows(settings, split)) for split in ("train", "validation")] == [12, 4]
    Path("tiny.yaml").write_text(f"{TINY}data: pairs\noutput: run\n")
    run_example(monkeypatch, "tiny.yaml", "--steps", 1)
    reward = PreferenceReward.from_pretrained("run/reward")
    assert f"{Path('run') / 'reward'}: pair_accuracy " in capsys.readouterr().out
    assert reward.config.score_std != 1.0  # standardised on the votes
