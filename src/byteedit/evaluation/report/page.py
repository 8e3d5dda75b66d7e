"""A report as one page of HTML that asks nothing of the network: style, pictures and the one line of script are in it.

Its look is page.css beside. What it says is `content`'s, how numbers are written is `grids`'. Makes no figures.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from byteedit.evaluation.comparison import Tally
from byteedit.evaluation.report import published
from byteedit.evaluation.report.charts import bars, dot, stacked
from byteedit.evaluation.report.content import Content
from byteedit.evaluation.report.gallery import gallery
from byteedit.evaluation.report.grids import PUBLISHED, Grid, Line, mark_grid, pick_grid, score_grids, written
from byteedit.evaluation.report.markdown import NOTES, about
from byteedit.evaluation.report.tables import Row

__all__ = ["to_html"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SECTIONS = {
    "table-1": "Table 1: marks",
    "table-2": "Table 2: scores",
    "figure-3": "Figure 3: Good, Same, Bad",
    "figure-6": "Figure 6: ablations",
    "picks": "People's picks",
    "cases": "Best and worst",
    "figures": "All figures",
    "settings": "Settings",
}


def to_html(content: Content, pictures: int = 2, say: Callable[[str], None] = print) -> str:
    """The page, with so many of the best and of the worst answers of each system and task; 0 for none.

    `say` is told, as the page is, which of them cannot be shown.

    Raises:
        ValueError: pictures are wanted, but a benchmark is no longer where it was.
    """
    made = {
        "table-1": _table_1(content),
        "table-2": _table_2(content),
        "figure-3": _figure_3(content),
        "figure-6": _figure_6(content),
        "picks": f"<p>{NOTES['picks']}</p>{_grid(pick_grid(content), content.ours)}" if content.picks else "",
        "cases": gallery(content, pictures, say) if pictures else "",
        "figures": _figures(content),
        "settings": _settings(content),
    }
    links = "".join(f'<a href="#{key}">{SECTIONS[key]}</a>' for key, body in made.items() if body)
    parts = "".join(
        f'<section id="{key}"><h2>{SECTIONS[key]}</h2>{body}</section>' for key, body in made.items() if body
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in about(content))
    beside = Path(__file__).parent
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>byteedit: report on {escape(content.ours)}</title>"
        f"<style>{(beside / 'page.css').read_text()}</style></head><body>"
        f'<h1>Report on {escape(content.ours)}</h1><ul class="about">{lines}</ul><nav>{links}</nav>'
        f"{parts}<script>{(beside / 'page.js').read_text()}</script></body></html>\n"
    )


def _table_1(content: Content) -> str:
    grid = mark_grid(content)
    charts = ""
    for task, columns in groupby(range(len(grid.columns)), key=lambda column: grid.columns[column].group):
        made = "".join(bars(grid, column, content.ours, (1, 5)) for column in columns)
        charts += f'<h3>{escape(task)}</h3><div class="charts">{made}</div>' if made else ""
    return f"<p>{NOTES['marks']}</p>{_grid(grid, content.ours)}{charts}"


def _table_2(content: Content) -> str:
    parts = [f"<p>{NOTES['scores']}</p>"]
    for grid in score_grids(content):
        charts = "".join(bars(grid, column, content.ours) for column in range(len(grid.columns)))
        parts.append(f"<h3>{escape(grid.title)}</h3>{_grid(grid, content.ours)}")
        parts.append(f'<div class="charts">{charts}</div>' if charts else "")
    return "".join(parts)


def _grid(grid: Grid, ours: str) -> str:
    heads = "".join(f"<th>{escape(column.words)}</th>" for column in grid.columns)
    bodies = []
    for source, lines in groupby(grid.lines, key=lambda line: line.source):
        kind = ' class="published"' if source == PUBLISHED else ""
        head = f'<tr class="source"><th colspan="{len(grid.columns) + 1}">{escape(source)}</th></tr>'
        bodies.append(f"<tbody{kind}>{head}{''.join(_line(line, grid, ours) for line in lines)}</tbody>")
    head = f"<thead>{_groups(grid)}<tr><th></th>{heads}</tr></thead>"
    return f'<div class="wide"><table>{head}{"".join(bodies)}</table></div>'


def _groups(grid: Grid) -> str:
    counted = [(group, len(list(columns))) for group, columns in groupby(column.group for column in grid.columns)]
    heads = "".join(f'<th colspan="{count}">{escape(group)}</th>' for group, count in counted)
    return f'<tr class="group"><th></th>{heads}</tr>' if any(group for group, _ in counted) else ""


def _line(line: Line, grid: Grid, ours: str) -> str:
    kind = ' class="ours"' if line.measured and line.label == ours else ""
    cells = "".join(_cell(*said) for said in grid.said(line))
    return f"<tr{kind}><th>{escape(line.label)}</th>{cells}</tr>"


def _cell(said: str, *remarks: str) -> str:
    return f"<td>{said}{''.join(f'<small>{remark}</small>' for remark in remarks if remark)}</td>"


def _figure_3(content: Content) -> str:
    keys = {"good": "Good: the first is better", "same": "Same", "bad": "Bad: the other is better"}
    key = "".join(f'<span><i style="background:var(--{name})"></i>{words}</span>' for name, words in keys.items())
    groups = groupby(content.votes, key=lambda row: (row["system"], row["other"], row["by"], row["benchmark"]))
    cards = "".join(
        _votes(f"{one} against {other}", f"{by}, {bench}", rows) for (one, other, by, bench), rows in groups
    )
    theirs = [{"task": task, "axis": "overall", **votes} for task, votes in published.VOTES.items()]
    cards += _votes("ByteEdit against Adobe", PUBLISHED, theirs)
    key = f'<div class="key">{key}<span>%: superiority</span></div>'
    notes = "".join(f"<p>{escape(line)}</p>" for line in (NOTES["votes"], *content.incomparable))
    return f'{notes}{key}<div class="charts">{cards}</div>'


def _votes(title: str, source: str, rows: Iterator[Row] | Sequence[Row]) -> str:
    shown = "".join(_vote(row) for row in rows)
    kind = " published" if source == PUBLISHED else ""
    return f'<div class="card{kind}"><h4>{escape(title)} <small>{escape(source)}</small></h4>{shown}</div>'


def _vote(row: Row) -> str:
    counts = {name: row[name] for name in ("good", "same", "bad")}
    superiority = Tally(**counts).superiority
    said = "∞" if superiority == math.inf else f"{superiority:.0%}"
    more = f"reported as {row['reported']:.0%}" if "reported" in row else f"p = {row['p']:.2g}"
    label = (
        row["task"] if row["task"] and row["axis"] == "overall" else ", ".join(filter(None, (row["task"], row["axis"])))
    )
    numbers = " / ".join(map(str, counts.values()))
    head = f"<span>{escape(label)}</span><small>{numbers} · {said}, {more}</small>"
    return f'<div class="vote"><div>{head}</div>{stacked(list(counts.values()))}</div>'


def _figure_6(content: Content) -> str:
    cards = []
    for (one, other, by, bench), rows in groupby(
        content.ablations, key=lambda row: (row["system"], row["other"], row["by"], row["benchmark"])
    ):
        lines = "".join(_win(row) for row in rows)
        title = f"{escape(one)} against {escape(other)} <small>{escape(by)}, {escape(bench)}</small>"
        cards.append(f'<div class="card ours"><h4>{title}</h4>{lines}</div>')
    theirs = "".join(f"<p>{escape(what)}: {escape(said)}.</p>" for what, said in published.ABLATIONS.items())
    cards.append(f'<div class="card published"><h4>ByteEdit <small>{PUBLISHED}</small></h4>{theirs}</div>')
    return f'<p>{NOTES["ablations"]}</p><div class="charts">{"".join(cards)}</div>'


def _win(row: Row) -> str:
    said, interval = written(row["win_rate"], "{:.1%}")
    axis = row["axis"].replace("_", " & ")
    return (
        f'<div class="vote"><div><span>{escape(row["task"])}, {escape(axis)}</span>'
        f"<small><b>{said}</b> {interval}</small></div>{dot(row['win_rate'], 0.5)}</div>"
    )


def _figures(content: Content) -> str:
    parts = []
    for run in content.runs:
        for entry in run.entries:
            rows = "".join(
                f"<tr><th>{escape(name)}</th>{_cell(*written(figure, '{:.4g}'))}<td>{figure.n}</td></tr>"
                for name, figure in entry.figures.items()
            )
            table = f'<div class="wide"><table><tbody>{rows}</tbody></table></div>'
            parts.append(f"<details><summary>{escape(entry.name)}, {escape(run.label)}</summary>{table}</details>")
    return "".join(parts)


def _settings(content: Content) -> str:
    parts = []
    for run in content.runs:
        told = {name: value for name, value in run.told.items() if name not in ("versions", "scores", "names")}
        told |= {"versions": "; ".join(_words(one) for one in run.told["versions"])}
        parts.append(_details(f"{run.folder.name}: the run", told))
        for entry in run.entries:
            failed = {f"{case} failed": why for case, why in entry.failed.items()}
            parts.append(_details(entry.name, entry.settings | failed))
    return "".join(parts)


def _details(title: str, settings: dict[str, Any]) -> str:
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in settings.items() if value is not None
    )
    return f"<details><summary>{escape(title)}</summary><dl>{pairs}</dl></details>"


def _words(settings: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
