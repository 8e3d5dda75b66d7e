"""The best and the worst answers in a page: before and after, with a slider between them."""

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


def gallery(content: Content, number: int) -> str:
    """So many of the best and of the worst answers of each system and task; ours is open, the others can be opened.

    Raises:
        ValueError: a benchmark is no longer where it was.
    """
    parts = []
    for run in content.runs:
        score, cases = run.main_score(content.by), cases_of(run)
        for entry in run.entries:
            shown = extremes(entry, score, number)
            if shown:
                title = f"{escape(entry.name)}, {escape(run.benchmark)}"
                opened = " open" if entry.name == content.ours else ""
                inside = _groups(shown, entry, cases, score)
                parts.append(f"<details{opened}><summary>{title}</summary>{inside}</details>")
    return f"<p>{NOTE}</p>{''.join(parts)}" if parts else ""


def _groups(shown: list[Shown], entry: Entry, cases: dict[str, EditCase], score: str) -> str:
    parts = []
    for task in dict.fromkeys(one.task for one in shown):
        figures = "".join(_figure(one, cases[one.case], entry, score) for one in shown if one.task == task)
        parts.append(f'<h3>{escape(task)}</h3><div class="cases">{figures}</div>')
    return "".join(parts)


def _figure(one: Shown, case: EditCase, entry: Entry, score: str) -> str:
    images = "".join(
        f'<img src="{uri}" width="{size[0]}" height="{size[1]}" alt="{what}" decoding="async">'
        for what, (uri, size) in zip(("input", "answer"), show(case, entry), strict=True)
    )
    slider = f'<input type="range" aria-label="input or answer of {escape(one.case)}" value="50">'
    words = escape(one.prompt or "no prompt")
    rank, value = "best" if one.best else "worst", f"{score} {one.value:.3g}"
    caption = f"<span>{words}<small>{escape(one.case)}</small></span><span>{rank}<small>{value}</small></span>"
    return f'<figure class="case"><div class="slider">{images}{slider}</div><figcaption>{caption}</figcaption></figure>'
