"""Held-out pictures, edited again and again from the same noise while a model learns, and what is thought of them.

The scores of rewards that are followed must rise; whether the pictures become better, only a measure that is not
followed can tell: a reward of weight 0, a judge, or a look at the sheet. Nothing is learnt from what is here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from byteedit import ByteEditInpaintPipeline
from byteedit.image import to_uint8
from byteedit.rewards import Reward
from byteedit.training.batches import Batch

__all__ = ["HeldOut", "Judge", "contact_sheet", "keep_sheet"]

GAP = 4  # pixels between the pictures of a sheet
Judge = Callable[[ByteEditInpaintPipeline], dict[str, float]]
"""Measures of a pipeline, higher is better. It is called on every process, and the mean over processes counts: each may
judge its share, or all the same."""


class HeldOut:
    """Rows in batches on the CPU, edited by `pipe` as it is when `measure` is called, and scored by rewards, if any.

    prompted: rewards of which only rows with a prompt count.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        pipe: ByteEditInpaintPipeline,
        rewards: Mapping[str, Reward],
        batches: Sequence[Batch],
        judge: Judge | None = None,
        prompted: Collection[str] = (),
    ):
        self.accelerator, self.pipe, self.rewards = accelerator, pipe, rewards
        self.batches, self.judge, self.prompted = batches, judge, prompted
        pipe.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def measure(self, *, steps: int, shown: int) -> dict[str, float | PIL.Image.Image]:
        """`score/NAME` of each reward, the mean over rows, and the judge's measures; on the main process a "sheet".

        The same on every process. steps: of the rollout. shown: how many rows, from the first, the sheet has.
        """
        sums, pairs = torch.zeros(2, len(self.rewards), device=self.accelerator.device), []
        for first, batch in self._mine():
            edited = self.edit(batch, first, steps)  # (B, 3, H, W)
            if self.rewards:
                sums += self.score(edited, batch["prompt"])
            masked = batch["image"] * (1 - batch["mask"])
            pairs += [(first + n, row) for n, row in enumerate(map(picture, masked, edited)) if first + n < shown]
        measures = {}
        if self.batches:
            scores, counts = self.accelerator.reduce(sums, "sum")
            if idle := [name for name, count in zip(self.rewards, counts.tolist(), strict=True) if not count]:
                raise ValueError(
                    f"No row that is held out has a prompt, without which {idle[0]} says nothing; hold out some that "
                    f"have, or leave {idle[0]} out of prompted."
                )
            means = (scores / counts).tolist()
            measures = {f"score/{name}": mean for name, mean in zip(self.rewards, means, strict=True)}
        pairs = [pair for _, pair in sorted(gather_object(pairs), key=lambda pair: pair[0])]
        sheet = {"sheet": contact_sheet(pairs)} if pairs and self.accelerator.is_main_process else {}
        return measures | self._judged() | sheet

    def edit(self, batch: Batch, first: int, steps: int) -> Tensor:
        """What the pipeline makes of rows number `first` on, each from noise of its own: (B, 3, H, W) in [-1, 1]."""
        made = self.pipe(
            batch["prompt"],
            batch["image"] / 2 + 0.5,
            batch["mask"],
            num_inference_steps=steps,
            height=batch["image"].shape[-2],
            width=batch["image"].shape[-1],
            padding_mask_crop=None,
            generator=[torch.Generator().manual_seed(first + n) for n in range(len(batch["prompt"]))],
            output_type="pt",
        ).images
        return 2 * made.float().to(self.accelerator.device) - 1

    def score(self, edited: Tensor, prompt: list[str]) -> Tensor:
        """Sums of each of R rewards' scores over the rows that count, and how many these are: (2, R)."""
        asked = torch.tensor([float(bool(words)) for words in prompt], device=edited.device)  # (B,)
        counts = {name: asked if name in self.prompted else torch.ones_like(asked) for name in self.rewards}
        scores = [(reward(edited, prompt) * counts[name]).sum() for name, reward in self.rewards.items()]
        return torch.stack([torch.stack(scores), torch.stack([count.sum() for count in counts.values()])])

    def _mine(self) -> Iterator[tuple[int, Batch]]:
        """This process's batches, each with the number of its first row."""
        first = 0
        for number, batch in enumerate(self.batches):
            if number % self.accelerator.num_processes == self.accelerator.process_index:
                yield first, batch
            first += len(batch["prompt"])

    def _judged(self) -> dict[str, float]:
        found = self.judge(self.pipe) if self.judge else {}
        if not found:
            return {}
        values = torch.tensor(list(found.values()), device=self.accelerator.device, dtype=torch.float32)
        return dict(zip(found, self.accelerator.reduce(values, "mean").tolist(), strict=True))


def keep_sheet(measures: dict[str, float | PIL.Image.Image], output: Path) -> dict[str, float]:
    """The numbers among the measures; their sheet, which the main process has, goes to validation/kept.png."""
    if sheet := measures.pop("sheet", None):
        (output / "validation").mkdir(exist_ok=True)
        sheet.save(output / "validation" / "kept.png")
    return measures


def picture(*images: Tensor) -> np.ndarray:
    """Images (3, H, W) in [-1, 1] side by side: (H, n W, 3) uint8."""
    return np.concatenate([to_uint8(image[None])[0] for image in images], axis=1)


def contact_sheet(rows: Sequence[np.ndarray], columns: int = 4) -> PIL.Image.Image:
    """Pictures (H, W, 3) uint8 of one size in a grid."""
    height, width = (side + GAP for side in rows[0].shape[:2])
    across = min(columns, len(rows))
    down = -(-len(rows) // across)
    sheet = PIL.Image.new("RGB", (across * width - GAP, down * height - GAP), "white")
    for number, row in enumerate(rows):
        sheet.paste(PIL.Image.fromarray(row), (number % across * width, number // across * height))
    return sheet
