"""The best and the worst answers in a page: before and after, with a slider between them."""

from collections.abc import Callable
from html import escape

from byteedit.evaluation.benchmarks import EditCase
from byteedit.evaluation.report.content import Content
from byteedit.evaluation.report.pictures import Shown, cases_of, extremes, show
from byteedit.evaluation.report.reading import Entry

__all__ = ["gallery"]

NOTE = (
    "By their score, none picked. Drag across a picture: the input is on the left, with the mask's outline, the answer "
    "on the right."
)


def gallery(content: Content, number: int, say: Callable[[str], None]) -> str:
    """So many of the best and of the worst answers of each system and task; ours is open, the others can be opened.

    What cannot be shown is left out, and the page and `say` are told why. Runs without the score have none.

    Raises:
        ValueError: a benchmark is no longer where it was.
    """
    parts, gaps = [], []
    for run in content.runs:
        score = run.main_score(content.by)
        shown = {entry.name: extremes(entry, score, number) for entry in run.entries if score}
        cases = cases_of(run) if any(shown.values()) else {}
        for entry in [entry for entry in run.entries if shown.get(entry.name)]:
            inside, why = _groups(shown[entry.name], entry, cases, score)
            title = f"{escape(entry.name)}, {escape(run.label)}"
            opened = " open" if entry.name == content.ours else ""
            parts += [f"<details{opened}><summary>{title}</summary>{inside}</details>"] if inside else []
            gaps += [f"{run.folder.name}/{entry.name}: not shown: {', '.join(why)}"] if why else []
    for line in gaps:
        say(line)
    lines = "".join(f"<p>{escape(line)}</p>" for line in ([NOTE] if parts else []) + gaps)
    return lines + "".join(parts)


def _groups(shown: list[Shown], entry: Entry, cases: dict[str, EditCase], score: str) -> tuple[str, list[str]]:
    """The answers under their tasks, and why others are left out."""
    groups, why = {}, []
    for one in shown:
        try:
            figure = _figure(one, cases, entry, score)
        except (OSError, ValueError) as error:
            why.append(f"{one.case} ({str(error).rstrip('.')})")
        else:
            groups[one.task] = groups.get(one.task, "") + figure
    inside = "".join(f'<h3>{escape(task)}</h3><div class="cases">{of}</div>' for task, of in groups.items())
    return inside, why


def _figure(one: Shown, cases: dict[str, EditCase], entry: Entry, score: str) -> str:
    if one.case not in cases:
        raise ValueError("the benchmark has it no longer")
    images = "".join(
        f'<img src="{uri}" width="{size[0]}" height="{size[1]}" alt="{what}" decoding="async">'
        for what, (uri, size) in zip(("input", "answer"), show(cases[one.case], entry), strict=True)
    )
    slider = f'<input type="range" aria-label="input or answer of {escape(one.case)}" value="50">'
    words = escape(one.prompt or "no prompt")
    rank, value = "best" if one.best else "worst", f"{escape(score)} {one.value:.3g}"
    caption = f"<span>{words}<small>{escape(one.case)}</small></span><span>{rank}<small>{value}</small></span>"
    return f'<figure class="case"><div class="slider">{images}{slider}</div><figcaption>{caption}</figcaption></figure>'
