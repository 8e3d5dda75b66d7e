"""The scripts that trained the shipped checkpoint: killed and started again, they end where an undisturbed run does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

SCRIPTS = Path(__file__).parent.parent / "examples" / "picturebook"
AUTOENCODER = [str(SCRIPTS / "train_autoencoder.py"), "--batch-size", "1", "--steps", "60", "--checkpoint-every", "20"]


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


@pytest.mark.parametrize(
    ("instructions", "gpu", "expected"), [("AVX512", False, "bf16"), ("AVX2", False, "no"), ("AVX2", True, "bf16")]
)
def test_processors_without_instructions_for_bfloat16_train_in_float32(monkeypatch, instructions, gpu, expected):
    monkeypatch.syspath_prepend(SCRIPTS)
    from models import precision

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert precision() == expected


def test_a_pool_that_is_filled_anew_gives_the_batches_that_it_would_have_given(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    from models import build_tokenizer
    from train_autoencoder import build
    from train_base import BaseSettings, Pool

    settings = BaseSettings(output=tmp_path, batch_size=2, pool=8, renew=2)
    parts = build().eval(), build_tokenizer(), settings, Accelerator(cpu=True)
    batches = list(Pool(*parts).stream(0, 5))
    resumed = list(Pool(*parts).stream(2, 5))
    assert [batch["latents"].shape[-1] for batch in batches] == [16, 16, 16, 32, 32]  # windows, three times out of four
    for ours, theirs in zip(resumed, batches[2:], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_killed_autoencoder_training_resumes_to_the_same_weights(tmp_path):
    undisturbed = start(AUTOENCODER, tmp_path / "undisturbed")
    assert undisturbed.wait(timeout=300) == 0

    killed = start(AUTOENCODER, tmp_path / "killed")
    while not (tmp_path / "killed" / "checkpoints" / "step-00000020").is_dir():
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
    tiny = ["--batch-size", "1", "--steps", "2"]
    assert start([str(SCRIPTS / "train_autoencoder.py"), *tiny], tmp_path / "vae").wait(timeout=300) == 0
    base = [str(SCRIPTS / "train_base.py"), "--vae", str(tmp_path / "vae" / "vae"), "--pool", "60", "--batch-size", "2"]
    assert start([*base, "--steps", "3"], tmp_path / "base").wait(timeout=300) == 0
    assert (tmp_path / "base" / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size < 33e6
