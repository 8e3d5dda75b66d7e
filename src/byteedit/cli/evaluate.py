"""`byteedit evaluate`: a benchmark through systems and scores, into a folder that keeps every answer and setting."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from byteedit.commands.command import Command, UsageError, says

if TYPE_CHECKING:
    from byteedit.evaluation.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Let systems answer a benchmark and score what they make. The same command again goes on where it was stopped."""

    benchmark: Annotated[str, tyro.conf.arg(metavar="NAME:DIR")] = "picturebench"
    """editbench:DIR, brushbench:DIR, userbench:DIR, imagenhub[:DIR] or picturebench, with options after commas."""

    system: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, says("byteedit", "[LABEL=]NAME[:MODEL][,OPTION=VALUE]")
    ] = ()
    """byteedit:MODEL, sd-inpaint:MODEL, bld:MODEL, diffedit:MODEL, emilie:MODEL, lama, telea, navier-stokes or
    folder:DIR, if you like with a label of your own before it, as in ours=byteedit,steps=8; may be repeated."""

    score: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, says("", "NAME[:MODEL][,OPTION=VALUE]")] = ()
    """clip:MODEL, blip:MODEL, lpips[:MODEL], reward:MODEL, pickscore or sets:MODEL; may be repeated. Pixels are always
    scored, and on picturebench by the gold judge."""

    output: Annotated[Path | None, says("")] = None
    """The run's folder: answers, scores, settings."""

    prompt: Annotated[Literal["full", "simple", "rich"] | None, says("the benchmark's first")] = None
    """Which of a case's prompts the systems are asked for."""

    seed: int = 0
    """Added to the seed of every case."""

    limit: Annotated[int | None, says("all")] = None
    """Only the first so many cases of each task."""

    device: Annotated[str | None, says("the accelerator, if there is one")] = None
    """Such as cpu, cuda, cuda:1 or mps."""

    def run(self) -> None:
        """Run, and print what measured, what failed and the figures."""
        if self.output is None:
            raise UsageError("--output is missing; name a folder for the run.")
        from byteedit.commands.opening import default_device, quiet
        from byteedit.evaluation.runs import RunSettings, evaluate

        quiet()
        settings = RunSettings(
            benchmark=self.benchmark,
            systems=self.system or ("byteedit",),
            scores=self.score,
            output=self.output,
            prompt=self.prompt,
            seed=self.seed,
            limit=self.limit,
            device=self.device or default_device(),
        )
        figures = evaluate(settings)
        for system, found in figures.items():
            print(table(system, found))
        print(f"{self.output}: answers, scores.jsonl and figures.json")


def table(system: str, figures: dict[str, "Figure"]) -> str:
    """A system's figures as lines of text, with their 95 % intervals."""
    wide = max([len(name) for name in figures] or [0])
    lines = [f"\n{system}"]
    for name, figure in figures.items():
        lines.append(f"{name:<{wide}} {figure.value:>10.4f}  [{figure.low:.4f}, {figure.high:.4f}]  n = {figure.n}")
    return "\n".join(lines)
