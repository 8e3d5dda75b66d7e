"""A small training for the tests of the loop: 40 points, 41 parameters, dropout, augmentation; here or in a process.

Processes are children of a fork server that has imported torch once.
"""

import json
import multiprocessing
import os
import socket
import time

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import save_file
from torch import nn

from byteedit.training.batches import Batches
from byteedit.training.loop import Objective, begin, train
from byteedit.training.settings import Settings

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["byteedit.training.loop"])

POINTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
ROWS = [{"x": point, "y": point @ np.float32([1, -2, 3])} for point in POINTS]


def reset():
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def fresh():
    """accelerate keeps precision and accumulation for the whole process; each test begins and ends without."""
    reset()
    yield
    reset()


def build(dropout=0.1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


class Prepared(nn.Module):
    """A module as accelerate prepares it, which counts the calls that a gradient can come back from."""

    def __init__(self, module):
        super().__init__()
        self.module, self.graded = module, 0

    def forward(self, *args, **kwargs):
        self.graded += torch.is_grad_enabled()
        return self.module(*args, **kwargs)


def squared(model, batch):
    error = (model(batch["x"]).squeeze(-1) - batch["y"]) ** 2
    return {"loss": error.mean(), "worst": error.max()}


def jitter(row, rng):
    """Augmentation: every part of a batch depends on the row's own generator."""
    return {"x": torch.from_numpy(row["x"] + 0.01 * rng.normal(size=3).astype(np.float32)), "y": torch.tensor(row["y"])}


def plain(row, rng):
    return {"x": torch.from_numpy(row["x"]), "y": torch.tensor(row["y"])}


def slow(row, rng):
    time.sleep(0.01)
    return jitter(row, rng)


def settings_for(output, **changes):
    values = {"output": output, "steps": 24, "batch_size": 4, "lr": 0.05, "log_every": 4, "warmup": 3}
    return Settings(**values | changes)


def run(settings, *, prepare=jitter, dropout=0.1, loss=squared, validate=None, rows=ROWS):
    """Train the small model; the kept weights, with the model and the accelerator."""
    accelerator = begin(settings, cpu=True)
    model = build(dropout)
    share = {"process": accelerator.process_index, "processes": accelerator.num_processes}
    batches = Batches(dataset=rows, prepare=prepare, batch_size=settings.batch_size, workers=settings.workers, **share)
    kept = train(accelerator, [Objective(name="toy", model=model, loss=loss)], batches, settings, validate=validate)
    return kept["toy"]


def child(settings, options, environment):
    """A run in a process of its own; its weights go to weights.safetensors."""
    os.environ |= environment
    torch.set_num_threads(1)
    weights = run(settings, **options)
    if int(environment.get("RANK", 0)) == 0:
        save_file(weights, settings.output / "weights.safetensors")


def group(processes):
    """The environment of each process of a group that talks by gloo on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    everyone = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "ACCELERATE_USE_CPU": "true"}
    everyone |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [everyone | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def launch(settings, environment=(), **options):
    process = FORKS.Process(target=child, args=(settings, options, dict(environment)))
    process.start()
    return process


def lines(settings, *names):
    """The log's lines, of these names only."""
    log = [json.loads(line) for line in (settings.output / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in names if name in line} for line in log]


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
