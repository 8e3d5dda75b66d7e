"""The loop that both picturebook trainings run: accelerate, EMA, checkpoints, a log, exact resume.

Data is a pure function of (step, rank), so a run that was killed goes on with the very batches it would have
seen. Validation is the callers' business; what a step costs is in the log.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn


@dataclass(kw_only=True)
class Schedule:
    """The settings that every training here has; a script adds its own."""

    output: Path
    """Where checkpoints, the log and the finished parts go."""
    steps: int
    """Optimiser steps of the whole schedule."""
    lr: float
    """Peak learning rate of AdamW."""
    minutes: float = 120.0
    """Stop after this many minutes even if steps are left."""
    checkpoint_minutes: float = 4.0
    """Minutes between checkpoints; 0 saves every 20 steps."""


def begin() -> Accelerator:
    """Accelerate on a GPU or the processor, in bfloat16 unless the processor has no instructions for that.

    Without AVX-512 a convolution in bfloat16 took sixteen times as long as in float32. Attention by cuDNN is left out,
    as in `byteedit.training.loop`.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    cpu = not torch.cuda.is_available()
    slow = cpu and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    return Accelerator(cpu=cpu, mixed_precision="no" if slow else "bf16")


class Progress:
    """How far a run is: the step, and the minutes spent; part of every checkpoint."""

    def __init__(self):
        self.step, self.seconds = 0, 0.0

    def state_dict(self):
        return {"step": self.step, "seconds": self.seconds}

    def load_state_dict(self, state):
        self.step, self.seconds = state["step"], state["seconds"]


def one_cycle(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to 2 % of the learning rate."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def train(
    accelerator: Accelerator,
    model: nn.Module,
    loss: Callable[[nn.Module, int], dict[str, Tensor]],
    schedule: Schedule,
    *,
    warmup: int,
    ema_decay: float,
    each_checkpoint: Callable[[nn.Module, int], None] = lambda model, step: None,
) -> nn.Module:
    """Train `model` on `loss(model, step) -> {"loss": (), ...}` and return it with its EMA weights.

    Goes on from `output/checkpoint` when that is there. Stops after `steps` or `minutes`, whichever comes first, but
    the learning rate's course always spans `steps`. Writes `output/log.jsonl`.

    Raises `FloatingPointError` on a loss that is not finite.
    """
    run = schedule.output
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=schedule.lr, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, schedule.steps, warmup))
    ema, progress = EMAModel(model.parameters(), decay=ema_decay, use_ema_warmup=False), Progress()
    inner, (model, optimizer) = model, accelerator.prepare(model, optimizer)
    ema.to(accelerator.device)
    accelerator.register_for_checkpointing(ema, progress, scheduler)
    found = next((run / name for name in ("checkpoint", "checkpoint.old") if (run / name).is_dir()), None)
    if found:
        accelerator.load_state(found)
        ema.to(accelerator.device)
        accelerator.print(f"goes on from step {progress.step}")
    began = saved = logged = time.monotonic()
    spent = progress.seconds

    def on_one_clock(due: bool) -> bool:
        """What the first process says, for all of them: each has a clock of its own, by which they would part."""
        return bool(accelerator.gather(torch.tensor([due], dtype=torch.int, device=accelerator.device))[0])

    sums: dict[str, float] = {}
    counted = 0
    while progress.step < schedule.steps and on_one_clock(time.monotonic() - began + spent < 60 * schedule.minutes):
        terms = loss(model, progress.step)
        if not torch.isfinite(terms["loss"]):
            raise FloatingPointError(
                f"the loss is {terms['loss'].item()} at step {progress.step}; lower lr and resume."
            )
        accelerator.backward(terms["loss"])
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        ema.step(inner.parameters())
        progress.step += 1
        progress.seconds = spent + time.monotonic() - began
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        counted += 1
        if counted == 100:
            rate = counted / (time.monotonic() - logged)
            _log(accelerator, run, progress, {k: round(v / counted, 5) for k, v in sums.items()}, rate)
            sums, counted, logged = {}, 0, time.monotonic()
        if progress.step % 20 == 0 and on_one_clock(time.monotonic() - saved > 60 * schedule.checkpoint_minutes):
            _save(accelerator, run, ema, inner, each_checkpoint, progress.step)
            saved = time.monotonic()
    _save(accelerator, run, ema, inner, each_checkpoint, progress.step)
    ema.copy_to(inner.parameters())
    return inner


def _save(accelerator, run: Path, ema: EMAModel, model: nn.Module, each_checkpoint, step: int) -> None:
    """Write the checkpoint beside the last one, then swap: whenever a kill comes, one of them is whole."""
    new, last, old = (run / name for name in ("checkpoint.new", "checkpoint", "checkpoint.old"))
    accelerator.save_state(new, safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if last.is_dir():
            shutil.rmtree(old, ignore_errors=True)
            last.rename(old)
        new.rename(last)
        shutil.rmtree(old, ignore_errors=True)
        ema.store(model.parameters())
        ema.copy_to(model.parameters())
        each_checkpoint(model, step)
        ema.restore(model.parameters())
    accelerator.wait_for_everyone()


def _log(accelerator, run: Path, progress: Progress, terms: dict, rate: float) -> None:
    if accelerator.is_main_process:
        line = {
            "step": progress.step,
            "minutes": round(progress.seconds / 60, 2),
            "steps_per_s": round(rate, 2),
        } | terms
        with (run / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)
