"""The scripts that trained the shipped checkpoint: killed and started again, they end where an undisturbed run does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPTS = Path(__file__).parent.parent / "examples" / "picturebook"
AUTOENCODER = [str(SCRIPTS / "train_autoencoder.py"), "--batch", "1", "--steps", "60", "--checkpoint-minutes", "0"]


def start(arguments, output):
    """Begin a training in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *arguments, "--output", str(output)], env=environment)


def test_the_tokenizer_is_the_same_in_every_process(monkeypatch):
    """The library that learns it numbers some tokens by chance."""
    monkeypatch.syspath_prepend(SCRIPTS)
    from models import build_tokenizer

    first, again = build_tokenizer(), build_tokenizer()
    assert first.get_vocab() == again.get_vocab()
    assert first("a small red balloon at sunset").input_ids == again("a small red balloon at sunset").input_ids


@pytest.mark.slow
def test_a_killed_autoencoder_training_resumes_to_the_same_weights(tmp_path):
    undisturbed = start(AUTOENCODER, tmp_path / "undisturbed")
    assert undisturbed.wait(timeout=300) == 0

    killed = start(AUTOENCODER, tmp_path / "killed")
    while not (tmp_path / "killed" / "checkpoint").is_dir():
        assert killed.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "vae").exists()

    resumed = start(AUTOENCODER, tmp_path / "killed")
    assert resumed.wait(timeout=300) == 0
    ours, theirs = (
        load_file(tmp_path / run / "vae" / "diffusion_pytorch_model.safetensors") for run in ("killed", "undisturbed")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_the_base_trains_from_an_autoencoder_and_saves_a_pipeline(tmp_path):
    tiny = ["--batch", "1", "--steps", "20", "--checkpoint-minutes", "0"]
    assert start([str(SCRIPTS / "train_autoencoder.py"), *tiny], tmp_path / "vae").wait(timeout=300) == 0
    base = [str(SCRIPTS / "train_base.py"), "--vae", str(tmp_path / "vae" / "vae"), "--pool", "60", "--batch", "2"]
    assert start([*base, "--steps", "3"], tmp_path / "base").wait(timeout=300) == 0
    assert (tmp_path / "base" / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size < 33e6
