"""A study's summary as Markdown, for people: one table of results, one of agreement, one of raters.

Each figure stands with its 95 % interval, and each formula with its name. No figures are made here.
"""

from collections.abc import Sequence

__all__ = ["raters_left_out", "table", "to_markdown"]

PERCENT = {"superiority", "good_over_bad", "win_rate", "net", "preferred", "best", "worst", "same"}
FEW = 10  # images, and raters, from which on a bootstrap's interval holds what it promises
COLUMNS = {
    "gsb": {
        "good": "G",
        "same": "S",
        "bad": "B",
        "superiority": "(G+S)/(S+B)",
        "good_over_bad": "G/B",
        "win_rate": "(G+S)/(G+2S+B)",
        "net": "(G-B)/(G+S+B)",
        "preferred": "of decided images, won",
        "p": "sign test, p",
    },
    "scores": {"votes": "votes", "mean": "mean mark", "z": "mean z-score"},
    "best-worst": {"votes": "votes", "best": "best", "worst": "worst", "net": "best - worst"},
}
NOTES = {
    "gsb": "Superiority is (G+S)/(S+B), and by another formula G/B; 100% is a draw. The win rate is (G+S)/(G+2S+B); "
    "50% is a draw. Intervals are bootstrapped over images and raters. That of the decided images is Wilson's, and the "
    "sign test is over images: both take the raters as given, and speak of these raters and other images, not of other "
    "raters.",
    "scores": "Marks are from 1 to 5. A z-score is a mark less its rater's mean, over its rater's standard deviation. "
    "Intervals are bootstrapped over images and raters.",
    "best-worst": "How often a picture was the best, and the worst, of those shown. Intervals are bootstrapped over "
    "images and raters.",
}


def to_markdown(summary: dict) -> str:
    """The page of a study; `summary` is what `summarise` gives."""
    study, answers, kind = summary["study"], summary["answers"], summary["study"]["settings"]["kind"]
    raters = sum(not row["left_out"] for row in summary["raters"])
    return "\n".join(
        [
            f"# Study {study['folder']}",
            "",
            f"{kind}, {study['questions']} questions, {answers['counted']} answers of {raters} raters. "
            f"Systems: {', '.join(study['systems'])}. Seed {study['settings']['seed']}.",
            "",
            *_results(summary["results"], COLUMNS[kind]),
            "",
            NOTES[kind],
            *_few(summary["results"]),
            "",
            "## Agreement",
            "",
            *table(
                ["task", "axis", "judged twice or more", "pairs of votes the same", "Krippendorff's alpha, ordinal"],
                [
                    [
                        row["task"],
                        row["axis"],
                        str(row["judged_twice"]),
                        _cell("same", row["same"]),
                        _number(row["alpha"]),
                    ]
                    for row in summary["agreement"]
                ],
            ),
            "",
            "Alpha takes off what chance gives: where nearly every vote says the same, as where one system is better, "
            "it is small though raters agree.",
            "",
            "## Raters",
            "",
            *table(
                ["rater", "answers", "attention checks passed", "median seconds", ""],
                [_rater(row) for row in summary["raters"]],
            ),
            "",
            *_remarks(study, answers, raters_left_out(summary["raters"])),
        ]
    )


def _results(rows: Sequence[dict], columns: dict[str, str]) -> list[str]:
    labels = [name for name in ("task", "axis", "system", "other") if name in rows[0]]
    heads = ["beside" if name == "other" else name for name in labels]
    body = [[row[name] for name in labels] + [_cell(name, row[name]) for name in columns] for row in rows]
    return table([*heads, *columns.values()], body)


def _few(rows: Sequence[dict]) -> list[str]:
    """What must be said where a figure is of few images, or of few raters."""
    figures = [value for row in rows for name, value in row.items() if isinstance(value, dict) and name != "preferred"]
    images, raters = min(figure["n"] for figure in figures), min(row["raters"] for row in rows)
    said = []
    if images < FEW:
        said.append(
            f"Some figures are of {images} images. Below {FEW} a bootstrapped interval is too short, and it has no "
            "width where all images say the same."
        )
    if raters == 1:
        said.append("Some figures are of one rater. Their intervals resample images alone: others may judge otherwise.")
    elif raters < FEW:
        said.append(
            f"Some figures are of {raters} raters. Below {FEW} a bootstrapped interval is too short where these differ."
        )
    return [line for sentence in said for line in ("", sentence)]


def _cell(name: str, value) -> str:
    if value is None:
        return "not defined"
    if not isinstance(value, dict):
        return f"{value:.2g}" if isinstance(value, float) else str(value)
    shown = _percent if name in PERCENT else _number
    return f"{shown(value['value'])} ({shown(value['low'])} to {shown(value['high'])})"


def _percent(value: float | None) -> str:
    return "∞" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _rater(row: dict) -> list[str]:
    checks = f"{row['checks_passed']} of {row['checks']}" if row["checks"] else "none"
    seconds = "" if row["median_seconds"] is None else f"{row['median_seconds']:.1f}"
    return [row["rater"], str(row["answers"]), checks, seconds, "left out" if row["left_out"] else ""]


def raters_left_out(raters: Sequence[dict]) -> list[str]:
    """A line on each rater of a summary who is left out, and why."""
    return [f"Rater {row['rater']} is left out, who {_why(row)}." for row in raters if row["left_out"]]


def _why(row: dict) -> str:
    if not row["checks"]:
        return "answered no attention check"
    return f"passed {row['checks_passed']} of {row['checks']} attention checks"


def _remarks(study: dict, answers: dict, raters: Sequence[str]) -> list[str]:
    lines = [f"{answers['changed']} answers were changed by their raters; the last one counts.", *study["remarks"]]
    lines += raters
    lines += [f"Left out: {count} lines, {reason}." for reason, count in answers["left_out"].items()]
    lines += [f"Case {case} was not shown: {reason}." for case, reason in study["cases_left_out"].items()]
    if answers["left_side"]:
        lines.append(f"The left side won {_cell('preferred', answers['left_side'])} of what was decided.")
    return [f"- {line}" for line in lines]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; a bar in a name is escaped."""
    cells = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
