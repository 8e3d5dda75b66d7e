"""`byteedit report`: the paper's tables and figures, filled with what `byteedit evaluate` and studies measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from byteedit.commands.command import Command, UsageError, says


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Make the paper's tables and figures of runs: as Markdown, as JSON, and as one page of HTML with pictures."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders that `byteedit evaluate` wrote, and of studies, if you have any."""

    output: Annotated[Path | None, says("RUN/report", "DIR")] = None
    """A folder for report.html, report.md and report.json."""

    ours: Annotated[str | None, says("each run's first", "SYSTEM")] = None
    """The system that the others are compared with."""

    ablation: Annotated[tuple[tuple[str, str], ...], tyro.conf.UseAppendAction, says("", "WITH WITHOUT")] = ()
    """Two systems, with and without what is tried; may be repeated."""

    by: Annotated[str | None, says("the gold judge, or else clip, blip, rewards, psnr in the mask", "SCORE")] = None
    """The score by which answers are compared and ranked, such as clip.full; it must be a number."""

    pictures: int = 2
    """How many of the best and of the worst answers of each system and task are shown."""

    min_attention: float = 0.0
    """Leave out raters who pass a smaller share of their attention checks; above 0 also those who answered none."""

    def run(self) -> None:
        """Write the report, and print its tables."""
        from byteedit.evaluation.report.content import gather
        from byteedit.evaluation.report.reading import read_run, read_studies
        from byteedit.evaluation.report.writing import write_report

        studies = [folder for folder in dict.fromkeys(self.runs) if (folder / "study.json").is_file()]
        runs = [folder for folder in self.runs if folder not in studies]
        if not runs:
            raise UsageError("no run is named; name a folder that `byteedit evaluate` wrote.")
        summaries, said = read_studies(studies, self.min_attention), []
        asked = {"ours": self.ours, "ablations": self.ablation, "by": self.by}
        content = gather([read_run(folder) for folder in runs], summaries, **asked)
        pages = write_report(content, self.output or runs[0] / "report", self.pictures, said.append)
        print(next(iter(pages.values())), *said, *pages, sep="\n")
