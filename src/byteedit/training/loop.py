"""The one loop that trains, and the only place that calls `backward`.

A stage is a list of objectives, each with a model, an optimiser and a loss; every batch updates them in turn. Runs in
one process, or with DDP, FSDP and DeepSpeed by `accelerate launch`. What is learnt, and from which data, is left to
the stages. Built on accelerate (devices, precision, states), diffusers (schedules, running means), torch's AdamW.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedType,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
    ProjectConfiguration,
    send_to_device,
    set_seed,
)
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from PIL.Image import Image
from torch import Tensor, nn

from byteedit.files import make_writable
from byteedit.training.batches import Batch, Stream
from byteedit.training.checkpoints import Progress, Run, sharded
from byteedit.training.journal import Journal, track
from byteedit.training.settings import Settings, check, check_watched

__all__ = ["Objective", "begin", "train"]

logger = logging.getLogger(__name__)

Validate = Callable[..., dict[str, float | Image]]
SKIPPED = 20  # steps in a row that fp16 may skip; its scale, from 65536 on, is then far below 1


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What one optimiser follows. `loss(model, batch)` gives its terms, each (); "loss" is what is differentiated.

    The loss must call the model it is given, which is the prepared one: only that keeps processes in step. Parameters
    that do not require a gradient are left alone; all others must take part in every loss.
    """

    name: str
    model: nn.Module
    loss: Callable[[nn.Module, Batch], dict[str, Tensor]]
    lr: float | None = None  # the settings' where None
    averaged: bool = True  # whether a running mean is kept, if the settings ask for one

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}


@dataclass(kw_only=True)
class Update:
    """An objective after `Accelerator.prepare`."""

    objective: Objective
    trained: dict[str, nn.Parameter]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    skipped: int = 0  # steps in a row that were none, since the gradient in fp16 was not finite


def begin(settings: Settings, **kwargs) -> Accelerator:
    """The accelerator of a run, and the same seed for all; before models are built. `kwargs` go to `Accelerator`.

    Raises:
        ValueError: nothing would be learnt with these settings.
    """
    check(settings)
    make_writable(settings.output)
    torch.backends.cuda.enable_cudnn_sdp(False)  # NaN gradients in bf16 on Hopper (pytorch/pytorch#196678)
    # accelerate takes several processes without a GPU for one each, unless told that there is none
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))  # data are fetched while others wait
    kwargs = {"cpu": not torch.accelerator.is_available(), "kwargs_handlers": [patience]} | kwargs
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(settings.accumulate, sync_with_dataloader=False),
        log_with=list(settings.trackers) or None,
        project_config=ProjectConfiguration(str(settings.output), logging_dir=str(settings.output / "trackers")),
        step_scheduler_with_optimizer=False,  # else a schedule runs ahead by the number of processes
        **kwargs,
    )
    set_seed(settings.seed)
    return accelerator


def train(
    accelerator: Accelerator,
    objectives: Sequence[Objective],
    stream: Stream,
    settings: Settings,
    *,
    validate: Validate | None = None,
    validate_first: bool = False,
    measured: Collection[str] = (),
    data: dict[str, Any] | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Train, or go on training; returns the trained parameters that are kept, by objective and name.

    These are the best that were validated where a measure is watched, else the last, averaged if set so; the models
    themselves hold the last. `validate(*models)` is called on every process, with the prepared models in evaluation
    mode and without gradient; with `validate_first` before the first step, too. It gives measures, the same on every
    process; on the main one a picture called "sheet" among them is written to validation/step-STEP.png. `measured`
    names them, where they are known before. `data` says in numbers or words what the data are, such as {"rows": 1000};
    a run goes on only with the same.

    Raises:
        FloatingPointError: a term, a gradient or the watched measure is not finite; names it and the step.
        ValueError: the checkpoints in the output are of another run; a measure is watched that does not exist; several
            objectives are to be trained in fp16.
    """
    if settings.watch and validate is None:
        raise ValueError(f"watch is {settings.watch!r}, but this stage has no validation; leave watch empty.")
    if measured:
        check_watched(settings.watch, measured)
    if settings.validate_every and validate is None:
        logger.warning(
            "validate_every is %d, but nothing is held out, so nothing is measured.", settings.validate_every
        )
    run, updates = _prepare(accelerator, objectives, settings, data or {})
    progress = run.progress
    track(accelerator, settings, progress.step)
    journal = Journal(accelerator, settings.output, progress.step, settings.steps)
    batches = stream.stream(progress.step * settings.accumulate, settings.steps * settings.accumulate)
    began = time.monotonic() - progress.seconds
    with closing(journal):
        failed = progress.validated < progress.step and _due(progress, settings, settings.validate_every)
        if validate and (failed if progress.step else validate_first):
            _validate(run, validate, settings, journal)
            if progress.step:
                run.save()
        while not _finished(progress, settings):
            lr = updates[0].optimizer.param_groups[0]["lr"]  # that this step is taken with
            for _ in range(settings.accumulate):
                batch = next(batches) | {"step": progress.step}
                _update(accelerator, updates, batch, settings.clip, progress.step + 1, journal)
            for name, ema in run.means.items():
                ema.step(run.trained[name].values())
            progress.step, progress.seconds = progress.step + 1, time.monotonic() - began
            journal.advance()
            if _due(progress, settings, settings.log_every):
                journal.write(progress.step, {"minutes": progress.seconds / 60, "lr": lr} | journal.means())
            if validate and _due(progress, settings, settings.validate_every):
                _validate(run, validate, settings, journal)
            if _finished(progress, settings) and (left := journal.means()):  # stopped early
                journal.write(progress.step, left)
            if _due(progress, settings, settings.checkpoint_every) or _finished(progress, settings):
                run.save()
    return run.kept()


def _prepare(accelerator: Accelerator, objectives: Sequence[Objective], settings: Settings, data: dict):
    """The run, gone on from its last checkpoint, and its updates."""
    if accelerator.scaler is not None and len(objectives) > 1:  # accelerate unscales all gradients at each clip
        raise ValueError("fp16 scales the loss of one objective only; take mixed_precision bf16, or no.")
    course = settings.course() | {"processes": accelerator.num_processes} | data
    run = Run(accelerator, settings.output, course, keep=settings.keep, defaults=settings.defaults())
    if settings.ema_decay and sharded(accelerator):
        raise ValueError("ema_decay needs whole parameters on every process; set it to 0 under FSDP and ZeRO-3.")
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = settings.batch_size
    updates = [_prepare_one(accelerator, objective, settings) for objective in objectives]
    for update in updates:
        name = update.objective.name
        run.models[name], run.trained[name] = update.model, update.trained
        if settings.ema_decay and update.objective.averaged:
            run.means[name] = EMAModel(update.trained.values(), decay=settings.ema_decay)
    if not run.resume():
        set_seed(settings.seed, device_specific=True)  # from here on processes draw different random numbers
    elif run.progress.step > settings.steps:
        logger.warning("steps is %d; the run has taken %d already, which are kept.", settings.steps, run.progress.step)
    for update in updates:  # of a run that goes on with other steps, the rate is what they make it
        rates = update.scheduler.scheduler
        for group, rate, share in zip(update.optimizer.param_groups, rates.base_lrs, rates.lr_lambdas, strict=True):
            group["lr"] = rate * share(rates.last_epoch)
    return run, updates


def _prepare_one(accelerator: Accelerator, objective: Objective, settings: Settings) -> Update:
    trained = objective.parameters()
    optimizer = torch.optim.AdamW(
        trained.values(),
        lr=settings.lr if objective.lr is None else objective.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )
    spans = {"num_warmup_steps": settings.warmup, "num_training_steps": settings.steps}
    scheduler = get_scheduler(settings.lr_scheduler, optimizer, **spans)
    model, optimizer, scheduler = accelerator.prepare(objective.model, optimizer, scheduler)
    parts = {"model": model.train(), "optimizer": optimizer, "scheduler": scheduler}
    return Update(objective=objective, trained=trained, **parts)


def _update(accelerator, updates: list[Update], batch: Batch, clip: float, step: int, journal: Journal) -> None:
    """Let each objective in turn learn from a batch; the optimisers step when enough batches are summed up."""
    batch = send_to_device(batch, accelerator.device)
    with accelerator.accumulate(*(update.model for update in updates)):
        for update in updates:
            terms = update.objective.loss(update.model, batch)
            _note(journal, update.objective.name, terms, step)
            accelerator.backward(terms["loss"])
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(update.model.parameters(), clip)
                if accelerator.scaler is None and norm is not None:  # in fp16 it may be inf: the scale goes down then
                    _note(journal, update.objective.name, {"gradient": torch.as_tensor(norm)}, step)
                update.optimizer.step()
                if accelerator.scaler is not None:
                    _count_skipped(update, step)
                update.scheduler.step()
                update.optimizer.zero_grad()


def _count_skipped(update: Update, step: int) -> None:
    """Stop where fp16 has skipped step after step: its scale does not help then, and nothing is learnt."""
    update.skipped = update.skipped + 1 if update.optimizer.step_was_skipped else 0
    if update.skipped == SKIPPED:
        raise FloatingPointError(
            f"the gradient of {update.objective.name} was not finite in fp16 for {SKIPPED} steps in a row, up to step "
            f"{step}; begin anew in another output with mixed_precision bf16 or no. Nothing was learnt in these steps."
        )


def _note(journal: Journal, name: str, terms: dict[str, Tensor], step: int) -> None:
    """Log terms, parts before their sum, if all are finite."""
    named = {f"{name}/{term}": terms[term].detach() for term in sorted(terms, key="loss".__eq__)}
    finite = torch.stack([value.float().isfinite() for value in named.values()]).tolist()
    for (term, value), fine in zip(named.items(), finite, strict=True):
        if not fine:
            raise FloatingPointError(
                f"{term} is {value.item()} at step {step}; begin anew in another output with a lower lr, a smaller "
                "clip or mixed_precision no. The checkpoints up to here are whole: with their last step as steps, the "
                "run ends with its weights, and another can begin with them."
            )
    journal.add(named)


def _validate(run: Run, validate: Validate, settings: Settings, journal: Journal) -> None:
    """Measure, with running means for weights if there are any, and keep the weights if they are the best so far.

    Training draws as if nothing were measured. Where measuring fails, the steps are kept, if no process waits.
    """
    progress, models = run.progress, run.models.values()
    devices = [run.accelerator.device] if run.accelerator.device.type == "cuda" else []
    try:
        with run.averaged(), torch.no_grad(), torch.random.fork_rng(devices):
            measures = validate(*(model.eval() for model in models))
            if sheet := measures.pop("sheet", None):
                journal.show(progress.step, sheet)
            journal.write(progress.step, {f"validation/{name}": value for name, value in measures.items()})
            if settings.watch:
                _watch(run, settings.watch, measures)
    except Exception:
        if progress.step and run.accelerator.num_processes == 1:
            run.save()
        raise
    progress.validated = progress.step
    for model in models:
        model.train()


def _watch(run: Run, watch: str, measures: dict[str, float]) -> None:
    """Keep the weights if what is watched is better than ever."""
    check_watched(watch, measures)
    progress, value = run.progress, measures[watch]
    if not math.isfinite(value):
        raise FloatingPointError(
            f"{watch}, which is watched, is {value} at step {progress.step}; no weights are better than that or worse. "
            "See what measures it; a run that watches another measure begins anew."
        )
    progress.stale += 1
    if progress.best is None or value > progress.best:
        progress.best, progress.best_step, progress.stale = value, progress.step, 0
        run.keep_best()


def _due(progress: Progress, settings: Settings, every: int) -> bool:
    """Whether something that happens every so many steps (0: only after the last) happens after this one."""
    return progress.step == settings.steps or (every > 0 and progress.step % every == 0)


def _finished(progress: Progress, settings: Settings) -> bool:
    """Whether all steps are taken, or the watched measure has not risen for too long."""
    return progress.step >= settings.steps or 0 < settings.patience <= progress.stale
