"""`byteedit demo`: the three tasks on scenes that no training saw, as before-and-after sheets.

Some cases of each task of PictureBench, the shipped model, one number: how close the erased regions come to the true
backgrounds. Opens nothing and needs no network.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from byteedit.commands.command import Command, UsageError


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Edit, erase and outpaint a few pictures with the shipped model, and lay out the results."""

    output: Path = Path("demo")
    """The folder for the sheets; made where it is missing."""

    count: int = 6
    """Pictures for each task."""

    model: str = "picturebook"
    """A folder or hub name; "picturebook" is the small model that comes with byteedit."""

    def run(self) -> None:
        """Write editing.png, erasing.png and outpainting.png, and print where they are and one number."""
        if self.count < 1:
            raise UsageError(f"--count is {self.count}; it must be 1 or more.")
        import numpy as np
        from tqdm import tqdm

        from byteedit.commands.opening import add_loras, default_loras, open_pipeline
        from byteedit.evaluation import TASKS
        from byteedit.evaluation.picturebench import cases
        from byteedit.evaluation.scores import psnr
        from byteedit.evaluation.systems import answers
        from byteedit.files import make_writable

        make_writable(self.output)
        began = time.perf_counter()
        closeness, made = [], 0
        for task in TASKS:
            pipe = open_pipeline(self.model)
            add_loras(pipe, default_loras(self.model, task == "outpainting"))
            pipe.set_progress_bar_config(disable=True)
            chosen = cases(task)[::3][: self.count]  # in steps of three, kinds and prompts are well mixed
            results = list(tqdm(answers(pipe, chosen, batch=1), task, len(chosen), leave=False))
            made += len(chosen)
            print(write_sheet(self.output / f"{task}.png", chosen, results))
            if task == "erasing":
                closeness = [
                    psnr(result, case.picture, case.mask) for case, result in zip(chosen, results, strict=True)
                ]
        seconds = time.perf_counter() - began
        print(f"What was erased is {np.mean(closeness):.1f} dB close to the true background; ", end="")
        print(f"{made} pictures in {seconds:.0f} s")


def write_sheet(path: Path, cases, results) -> Path:
    """Inputs with their masks, each beside its result, as one PNG."""
    from byteedit.evaluation.report.sheet import contact_sheet
    from byteedit.files import png, write_atomically

    write_atomically(path, png(contact_sheet(cases, results, columns=3), optimize=True))
    return path
