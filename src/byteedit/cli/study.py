"""`byteedit study create|serve|report|export`: studies with people, made, answered, read, and exported."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from byteedit.commands.command import Command, UsageError
from byteedit.evaluation.human.studies import StudySettings

Folder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STUDY")]


@dataclass(frozen=True, kw_only=True)
class Create(Command):
    """Make a study of cases and systems: pictures copied, sides shuffled, questions dealt out to raters."""

    study: Folder
    """The folder to be made, which must not exist yet."""

    cases: Annotated[Path, tyro.conf.arg(metavar="JSONL")]
    """A file with a case on each line: id, and as far as there are task, prompt, image, mask."""

    system: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR")] = ()
    """A system and the folder of its pictures, ID.png; repeated. gsb compares the first with each of the others."""

    settings: Annotated[StudySettings, tyro.conf.arg(name="")]
    """What is asked, and of how many."""

    skip_missing: bool = False
    """Leave out cases that cannot be shown, and say why, instead of stopping."""

    def run(self) -> None:
        """Make it, and print how large it is and what was left out."""
        from byteedit.evaluation.human.creation import create_study, read_cases

        study = create_study(
            self.study, read_cases(self.cases), self.systems(), self.settings, skip_missing=self.skip_missing
        )
        for case, reason in study.left_out.items():
            print(f"left out {case}: {reason}")
        for remark in study.remarks:
            print(remark)
        most = max(map(len, study.places))
        print(f"{self.study}: {len(study.questions)} questions for {self.settings.raters} raters, at most {most} each")

    def systems(self) -> dict[str, Path]:
        """The folders by name."""
        pairs = [text.partition("=") for text in self.system]
        if wrong := [name for name, _, folder in pairs if not (name and folder)]:
            raise UsageError(f"--system is {wrong[0]!r}; write NAME=DIR, such as --system byteedit=outputs/byteedit.")
        if len({name for name, *_ in pairs}) < len(pairs):
            raise UsageError("two systems have the same name; rename one.")
        return {name: Path(folder) for name, _, folder in pairs}


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve the app that raters answer a study in, until it is stopped."""

    study: Folder
    """The study."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets in all who reach this machine."""

    port: int = 7860
    """Port to listen on; 0 takes a free one."""

    push: Annotated[str, tyro.conf.arg(metavar="OWNER/NAME")] = ""
    """Data set of the hub that answers are pushed to, and taken up from at the start; without, they stay here."""

    every: float = 5.0
    """Minutes between two pushes."""

    def run(self) -> None:
        """Print the address, and serve."""
        from byteedit.feedback.serving import serve

        with suppress(KeyboardInterrupt):  # not raised where a shell started this with interrupts ignored
            serve(self.study, host=self.host, port=self.port, push=self.push, every=self.every)
        print("stopped; all answers are kept")


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Say what raters said: every figure with its interval, how far raters agree, how each of them did."""

    study: Folder
    """The study."""

    json: bool = False
    """Print JSON instead of tables."""

    output: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="", metavar="DIR")] = None
    """A folder for report.md and report.json."""

    min_attention: float = 0.0
    """Leave out raters who pass a smaller share of their attention checks; above 0 also those who answered none."""

    def run(self) -> None:
        """Print the report, and write it where asked."""
        from byteedit.evaluation.human.studies import open_study
        from byteedit.evaluation.human.summary import summarise
        from byteedit.evaluation.human.tables import to_markdown
        from byteedit.files import write_atomically

        summary = summarise(open_study(self.study), self.min_attention)
        pages = {
            "report.md": to_markdown(summary),
            "report.json": json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False),
        }
        print(pages["report.json" if self.json else "report.md"])
        for name, page in pages.items() if self.output else ():
            write_atomically(self.output / name, f"{page}\n".encode())


@dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Turn the answers of a best-worst study into pairs that `byteedit train reward` learns from."""

    study: Folder
    """The study."""

    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The folder to be made, which must not exist yet."""

    validation: float = 0.1
    """Share of the cases that are held out, as the split "validation"."""

    min_attention: float = 0.0
    """Leave out raters who pass a smaller share of their attention checks; above 0 also those who answered none."""

    seed: int = 0
    """Seed of the choice of what is held out."""

    def run(self) -> None:
        """Write the pairs, and print how many there are."""
        from byteedit.data.skipped import Skipped
        from byteedit.evaluation.human.answers import latest, read_answers
        from byteedit.evaluation.human.export import export_pairs
        from byteedit.evaluation.human.studies import open_study
        from byteedit.evaluation.human.summary import trusted

        study, skipped = open_study(self.study), Skipped()
        asked = {"validation": self.validation, "min_attention": self.min_attention, "seed": self.seed}
        written = export_pairs(study, self.output, **asked)
        _, left_out = trusted(study, latest(read_answers(study, skipped)), self.min_attention)
        for rater in sorted(left_out):
            print(f"left out {rater}, for their attention checks")
        if skipped.reasons:
            print(skipped)
        print(f"{self.output}: {written['train']} pairs to train on, {written['validation']} held out")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Studies with people: make one, serve it, read it, export it. docs/studies.md says how."""

    action: Annotated[
        Annotated[Create, tyro.conf.subcommand("create")]
        | Annotated[Serve, tyro.conf.subcommand("serve")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Export, tyro.conf.subcommand("export")],
        tyro.conf.arg(name=""),
    ]
    """What to do."""

    @property
    def debug(self) -> bool:
        """The action's switch."""
        return self.action.debug

    def run(self) -> None:
        """Do it."""
        self.action.run()
