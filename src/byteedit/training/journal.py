"""What a run tells: means of every term to log.jsonl, to the trackers and beside the progress bar; pictures as PNG.

Sums stay on their device until a line is written. After a kill, the first line is of the batches since the checkpoint.
"""

import json
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from byteedit.training.settings import Settings

__all__ = ["Journal", "track"]


class Journal:
    """The log of a run that begins, or goes on, after `step` of `steps`; lines of later steps are struck out."""

    def __init__(self, accelerator: Accelerator, output: Path, step: int, steps: int):
        self.accelerator, self.file = accelerator, output / "log.jsonl"
        self.bar = tqdm(total=steps, initial=step, disable=not accelerator.is_main_process, unit="step")
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        output.mkdir(parents=True, exist_ok=True)
        if accelerator.is_main_process and self.file.exists():
            lines = [line for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
            kept = self.file.with_suffix(".new")
            kept.write_text("".join(line for line in lines if step and json.loads(line)["step"] <= step))
            kept.replace(self.file)

    def advance(self) -> None:
        """Move the bar by a step."""
        self.bar.update()

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count in the terms, each (), of one batch."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Means over batches and processes since the last time, and begin anew."""
        if not self.sums:
            return {}
        local = torch.stack([self.sums[name].float() / self.counts[name] for name in self.sums])
        means = dict(zip(self.sums, self.accelerator.reduce(local, "mean").tolist(), strict=True))
        self.sums, self.counts = {}, {}
        return means

    def write(self, step: int, values: dict[str, float]) -> None:
        """A line of `values`, if there are any, on the main process."""
        if not values:
            return
        if self.accelerator.is_main_process:
            rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
            with self.file.open("a") as log:
                log.write(json.dumps({"step": step, **rounded}) + "\n")
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
        self.accelerator.log(values, step=step)

    def show(self, step: int, sheet: Image) -> None:
        """A picture of the validation, to validation/step-STEP.png."""
        folder = self.file.parent / "validation"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"step-{step:05}.png")

    def close(self) -> None:
        """End the bar."""
        self.bar.close()


def track(accelerator: Accelerator, settings: Settings, step: int) -> None:
    """Start the trackers; in TensorBoard, what was logged after the checkpoint is struck out."""
    plain = {
        name: value if isinstance(value, int | float | str) else str(value) for name, value in vars(settings).items()
    }
    accelerator.init_trackers(
        "byteedit", None if step else plain, init_kwargs={"tensorboard": {"purge_step": step + 1 if step else 0}}
    )
