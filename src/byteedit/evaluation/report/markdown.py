"""A report as Markdown: the paper's tables and figures, all as tables, with 95 % intervals. Makes no figures."""

from collections.abc import Iterator, Sequence

from byteedit.evaluation.comparison import Tally
from byteedit.evaluation.human.tables import table
from byteedit.evaluation.report import published
from byteedit.evaluation.report.content import Content
from byteedit.evaluation.report.grids import Grid, mark_grid, pick_grid, score_grids, written
from byteedit.evaluation.report.tables import Row

__all__ = ["NOTES", "about", "to_markdown"]

NOTES = {
    "marks": "Marks from 1 to 5, with 95% intervals. The gold judge's rules are published; the paper's marks are "
    "experts', on pictures of their own, and stand here for the form.",
    "scores": "Means or rates with 95% intervals. The paper does not say which models its scores are by.",
    "votes": "G, S, B: cases in which the first is better, as good, worse. Superiority is (G+S)/(S+B), 100% is a draw; "
    "the win rate (G+S)/(G+2S+B), 50% is a draw; p is the sign test's, over cases, and takes people as given. By the "
    "judge, better is what is better on more axes than it is worse on.",
    "ablations": "Win rates, (G+S)/(G+2S+B), with 95% intervals; 50% is a draw.",
    "picks": "How often people found a system's answer the best, and the worst, of those shown, with 95% intervals.",
}
PERCENT = "{:.1%}"


def to_markdown(content: Content) -> str:
    """The page."""
    parts = [
        ["# Report", "\n".join(f"- {line}" for line in about(content))],
        ["## Table 1: marks", NOTES["marks"], _grid(mark_grid(content))],
        ["## Table 2: scores", NOTES["scores"], *map(_grid, score_grids(content))],
        ["## Figure 3: Good, Same, Bad", NOTES["votes"], *content.incomparable, _votes(content.votes)],
        ["## Figure 6: ablations", NOTES["ablations"], *_ablations(content.ablations)],
        ["## People's picks", NOTES["picks"], _grid(pick_grid(content))] if content.picks else [],
        ["## Settings", *_settings(content)],
    ]
    return "\n\n".join(part for parts_ in parts for part in parts_) + "\n"


def about(content: Content) -> list[str]:
    """Lines on each run, what was run on how many cases, with which seed and limit, and what measured; and on gaps."""
    lines = []
    for run in content.runs:
        told = run.told
        asked = ", ".join(f"{name} {told[name]}" for name in ("prompt", "seed", "limit") if told[name] is not None)
        lines.append(f"{run.folder.name}: {told['benchmark']}, {told['cases']} cases, {asked}")
        lines += told.get("scores", [])
    return lines + content.left_out


def _grid(grid: Grid) -> str:
    heads = [grid.title, "source", *(f"{column.group} {column.words}".strip() for column in grid.columns)]
    rows = [[line.label, line.source, *(_cell(*said) for said in grid.said(line))] for line in grid.lines]
    return "\n".join(table(heads, rows))


def _cell(text: str, *remarks: str) -> str:
    there = ", ".join(remark for remark in remarks if remark)
    return f"{text} ({there})" if there else text


def _votes(rows: Sequence[Row]) -> str:
    heads = ["against", "task", "axis", "by", "G", "S", "B", "(G+S)/(S+B)", "G/B", "win rate", "sign test, p"]
    body = [
        [row["other"], row["task"], row["axis"], f"{row['by']}, {row['benchmark']}"]
        + [str(row[count]) for count in ("good", "same", "bad")]
        + [
            _cell(*written(row[name], PERCENT)) or "not defined"
            for name in ("superiority", "good_over_bad", "win_rate")
        ]
        + [f"{row['p']:.2g}"]
        for row in rows
    ]
    return "\n".join(table(heads, body + [_published_votes(task) for task in published.VOTES]))


def _published_votes(task: str) -> list[str]:
    counts = {name: count for name, count in published.VOTES[task].items() if name != "reported"}
    tally = Tally(**counts)
    formulas = [f"{100 * share:.1f}%" for share in (tally.superiority, tally.good_over_bad, tally.win_rate)]
    reported = f"published, which reports {published.VOTES[task]['reported']:.0%}"
    return ["Adobe", task, "overall", reported, *map(str, counts.values()), *formulas, ""]


def _ablations(rows: Sequence[Row]) -> Iterator[str]:
    for pair in dict.fromkeys((row["system"], row["other"]) for row in rows):
        mine = [row for row in rows if (row["system"], row["other"]) == pair]
        body = [_win(row) for row in mine]
        yield "\n".join(table([f"{pair[0]} against {pair[1]}", "axis", "by", "win rate", "n"], body))
    yield "\n".join(f"- published, {what}: {said}." for what, said in published.ABLATIONS.items())


def _win(row: Row) -> list[str]:
    axis, rate = row["axis"].replace("_", " and "), _cell(*written(row["win_rate"], PERCENT))
    return [row["task"], axis, f"{row['by']}, {row['benchmark']}", rate, str(row["win_rate"].n)]


def _settings(content: Content) -> Iterator[str]:
    for run in content.runs:
        versions = [", ".join(f"{name} {version}" for name, version in one.items()) for one in run.told["versions"]]
        lines = [f"- versions: {line}" for line in versions]
        for entry in run.entries:
            said = ", ".join(f"{name} {value}" for name, value in entry.settings.items() if value is not None)
            lines.append(f"- {entry.name}: {said}")
            lines += [f"  - {case} failed: {why}" for case, why in entry.failed.items()]
        yield "\n".join([f"{run.folder.name}:", "", *lines])
