"""`byteedit demo`: the three tasks on scenes that no training saw, as before-and-after sheets.

Some cases of each task of PictureBench, the shipped model, one number: how close the erased regions come to the
true backgrounds. Opens nothing and needs no network.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from byteedit.cli.command import Command

TASKS = {"editing": "Edit", "erasing": "Erase", "outpainting": "Outpaint"}  # PictureBench's name, the sheet's title


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
        from byteedit.cli.sheets import as_png, erasing_psnr, paint_all, sheet
        from byteedit.cli.work import open_pipeline
        from byteedit.evaluation.picturebench import cases
        from byteedit.provenance import write_atomically

        began = time.perf_counter()
        pipe = open_pipeline(self.model)
        for task, title in TASKS.items():
            chosen = cases(task)[::3][: self.count]  # in steps of three, kinds and prompts are mixed
            results = paint_all(pipe, chosen, title)
            path = self.output / f"{task}.png"
            write_atomically(path, as_png(sheet(chosen, results)))
            print(path)
            if task == "erasing":
                closeness = erasing_psnr(chosen, results), erasing_psnr(chosen, [case.image for case in chosen])
        seconds = time.perf_counter() - began
        print(
            f"erased regions: {closeness[0]:.1f} dB to the true backgrounds (untouched: {closeness[1]:.1f} dB)",
            end=" · ",
        )
        print(f"{len(TASKS) * len(chosen)} pictures · {seconds:.0f} s")
