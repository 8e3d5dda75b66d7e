"""What a run is made of, and how it survives a kill: checkpoints that are whole or not there, and the best weights.

accelerate writes models, optimisers, schedules and random states; beside them lie `run.json` (step, best measure, the
settings that decide the run's course) and the running means of the weights. Of a model, what is not trained is not
written: whoever goes on opens it from where it came. Nothing here unpickles objects.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from byteedit.files import write_atomically

__all__ = ["Progress", "Run", "last_progress", "sharded"]

RENAMED = {"schedule": "lr_scheduler"}  # settings, from what they were called to what they are


@dataclass(kw_only=True)
class Progress:
    """How far a run is."""

    step: int = 0
    """Optimiser steps taken."""
    seconds: float = 0.0
    """Time spent, over all resumptions."""
    best: float | None = None
    """The best value of the watched measure."""
    best_step: int = 0
    """The step that had it."""
    stale: int = 0
    """Validations since then."""
    validated: int = 0
    """The last step that was validated."""


class Run:
    """A training's parts after `Accelerator.prepare`, by the names of its objectives, and its progress.

    `course` holds what must be the same for the run to go on: settings, number of processes and of rows. `defaults` are
    those of the settings: what a run had that was begun before there was a setting of that name.
    """

    def __init__(
        self, accelerator: Accelerator, output: Path, course: dict[str, Any], *, keep: int, defaults: dict[str, Any]
    ):
        self.accelerator, self.output, self.course, self.keep = accelerator, output, course, keep
        self.defaults = defaults
        self.progress = Progress()
        self.models: dict[str, nn.Module] = {}
        self.trained: dict[str, dict[str, nn.Parameter]] = {}  # parameters that are moved, by their names in the model
        self.means: dict[str, EMAModel] = {}
        self.folder = output / "checkpoints"

    def save(self) -> None:
        """Write a checkpoint under another name, then give it its own: whenever a kill comes, all named are whole."""
        new, final = self.folder / "new", self.folder / f"step-{self.progress.step:08}"
        if final.is_dir():
            if self.accelerator.is_main_process:  # it was validated since
                self._tell(final)
                self._forget_worse()
            self.accelerator.wait_for_everyone()
            return
        if self.accelerator.is_main_process:
            shutil.rmtree(new, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        hook = self.accelerator.register_save_state_pre_hook(leave_out_frozen)
        self.accelerator.save_state(new)
        hook.remove()
        if self.accelerator.is_main_process:
            save_file(self._means(), new / "means.safetensors")
            self._tell(new)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            new.rename(final)
            for old in self.checkpoints()[: -self.keep]:
                shutil.rmtree(old.rename(self.folder / "old"))
            self._forget_worse()
        self.accelerator.wait_for_everyone()

    def _forget_worse(self) -> None:
        for old in self.output.glob("best-*.safetensors"):
            if old != self.best:
                old.unlink()

    def _tell(self, checkpoint: Path) -> None:
        state = {"progress": vars(self.progress), "course": self.course}
        write_atomically(checkpoint / "run.json", json.dumps(state, indent=1).encode())

    @property
    def best(self) -> Path:
        """The file of the best weights. Those of a checkpoint stay until the next one is whole."""
        return self.output / f"best-{self.progress.best_step:08}.safetensors"

    def checkpoints(self) -> list[Path]:
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob("step-*"))

    def resume(self) -> bool:
        """Go on from the last checkpoint; False if there is none.

        Raises:
            ValueError: it was written by a run with other settings, another number of processes, or other data.
        """
        if self.accelerator.is_main_process:
            shutil.rmtree(self.folder / "old", ignore_errors=True)
        if not self.checkpoints():
            return False
        last = self.checkpoints()[-1]
        state = json.loads((last / "run.json").read_text())
        self._compare(state["course"], last)
        whole = self.accelerator.distributed_type == DistributedType.DEEPSPEED  # which writes models by itself
        self.accelerator.load_state(last, **({} if whole else {"strict": False}))
        self.progress = Progress(**{"validated": state["progress"]["step"]} | state["progress"])
        means = load_file(last / "means.safetensors")
        for name, ema in self.means.items():
            ema.optimization_step = self.progress.step
            for parameter, shadow in zip(self.trained[name], ema.shadow_params, strict=True):
                shadow.copy_(means[f"{name}/{parameter}"])
        return True

    def _compare(self, course: dict[str, Any], checkpoint: Path) -> None:
        both = json.dumps([self.course, self.defaults], default=str)  # an output's default is a path
        ours, defaults = json.loads(both)  # tuples are lists there
        course = {RENAMED.get(name, name): value for name, value in course.items()}
        for name in sorted(ours.keys() | course.keys()):
            was, now = course.get(name, defaults.get(name)), ours.get(name)
            if was != now:
                raise ValueError(
                    f"{checkpoint} was written with {name} {was!r}, now it is {now!r}; set it back to go on, or choose "
                    "another output to begin anew."
                )

    def _means(self) -> dict[str, Tensor]:
        return {
            f"{name}/{parameter}": shadow.contiguous()
            for name, ema in self.means.items()
            for parameter, shadow in zip(self.trained[name], ema.shadow_params, strict=True)
        }

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The running means in place of the weights, for as long as it lasts."""
        for name, ema in self.means.items():
            ema.store(self.trained[name].values())
            ema.copy_to(self.trained[name].values())
        try:
            yield
        finally:
            for name, ema in self.means.items():
                ema.restore(self.trained[name].values())

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Copies of the parameters that were trained, by objective; on the main process, whole even where sharded."""
        states = {name: self._state(model) for name, model in self.models.items()}
        return {
            name: {key: state[key].clone().contiguous() for key in self.trained[name]} if state else {}
            for name, state in states.items()
        }

    def _state(self, model: nn.Module) -> dict[str, Tensor]:
        """A model's whole state, by the names that it has uncompiled; empty on other processes where it is sharded."""
        return {key.replace("_orig_mod.", ""): value for key, value in self.accelerator.get_state_dict(model).items()}

    def keep_best(self) -> None:
        """Write the weights as they are now, as the best so far, at once or not at all."""
        flat = {f"{name}/{key}": value for name, state in self.weights().items() for key, value in state.items()}
        if self.accelerator.is_main_process:
            new = self.output / "best.new"
            save_file(flat, new)
            new.replace(self.best)
        self.accelerator.wait_for_everyone()

    def kept(self) -> dict[str, dict[str, Tensor]]:
        """What is kept of the run: the best weights where a measure was watched, else the last, averaged if set so."""
        if self.progress.best is not None:
            flat, step = load_file(self.best), self.progress.best_step
            known = f"Kept are the weights of step {step}, whose watched measure was the best, {self.progress.best:.4g}"
            self.accelerator.print(f"{known}{'' if step else ': nothing that was learnt was better'}.")
            return {
                name: {key: flat[f"{name}/{key}"] for key in parameters} for name, parameters in self.trained.items()
            }
        with self.averaged():
            return self.weights()


def last_progress(output: Path) -> Progress | None:
    """How far the run in a folder is by its last checkpoint; None where there is none."""
    found = sorted((output / "checkpoints").glob("step-*/run.json"))
    return Progress(**json.loads(found[-1].read_text())["progress"]) if found else None


def leave_out_frozen(models: list[nn.Module], states: list[dict[str, Tensor]], folder: str) -> None:
    """Take the parameters that are not trained out of what accelerate will write. It has no states where sharded."""
    for model, state in zip(models, states, strict=False):
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                del state[name]


def sharded(accelerator: Accelerator) -> bool:
    """Whether no process holds whole parameters: FSDP, DeepSpeed's ZeRO-3."""
    kind, plugin = accelerator.distributed_type, accelerator.deepspeed_plugin
    return kind == DistributedType.FSDP or (kind == DistributedType.DEEPSPEED and plugin.zero_stage == 3)
