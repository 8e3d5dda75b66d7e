"""README and docs/ tell the truth: tables are fresh, links resolve, Python runs, and the file tree is there."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from test_compare import write as write_lora

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
RESULT = {"value": 0.8125, "low": 0.75, "high": 0.86, "n": 240, "command": "python x.py", "commit": "0123456789abcdef"}


@pytest.fixture(scope="module")
def tables():
    """docs/tables.py as a module."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code of one language in a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def snippets(language: str) -> list:
    """Every block of a language, as test parameters."""
    found = [(page, number, code) for page in PAGES for number, code in enumerate(blocks(page, language))]
    return [pytest.param(code, id=f"{page.name}-{number}") for page, number, code in found]


def test_tables_are_fresh(tables, capsys):
    assert tables.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_table_is_found_and_renewed(tables, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("before\n<!-- table:a.b -->\nold\n<!-- /table -->\nafter\n")
    result = RESULT | {"value": 1.5, "low": None, "high": None, "n": 3}
    (tmp_path / "docs" / "results.json").write_text(json.dumps({"a.b.c": result}))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert tables.main(["--check"]) == 1
    assert "README.md is stale" in capsys.readouterr().out
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("before\n<!-- table:a.b -->\n")
    assert page.endswith("<!-- /table -->\nafter\n")
    assert "| `c` | 1.5 |  | 3 |" in page
    assert "Measured by `python x.py` at 0123456." in page


def test_a_row_has_words_unit_and_interval(tables):
    table = tables.table("picturebench.new", {"picturebench.new.editing.right": RESULT, "picturebench.newer.x": RESULT})
    assert "| Editing: kind and colour right | 81.2% | 75.0% to 86.0% | 240 |" in table
    assert "newer" not in table


def test_rows_stand_in_the_order_of_their_meanings(tables):
    table = tables.table("p", {"p.other": RESULT, "p.erasing.psnr": RESULT, "p.editing.right": RESULT})
    assert table.index("Editing") < table.index("Erasing") < table.index("`other`")


def test_where_all_cases_were_alike_there_is_no_interval(tables):
    alike = {"p.erasing.no_object": RESULT | {"low": 0.8125, "high": 0.8125}}
    assert "| Erasing: no object found there | 81.2% |  | 240 |" in tables.table("p", alike)


def test_a_grid_says_of_how_few_cases_a_figure_is(tables):
    results = {f"p.{name}.editing.coherence": RESULT | {"n": n} for name, n in (("all", 240), ("some", 120))}
    page = tables.grid("p", results | {"p.some.other": RESULT | {"n": 60}})
    assert "| all | 81.2% (75.0% to 86.0%) |  |" in page
    assert "| some | 81.2% (75.0% to 86.0%, n = 120) | 0.8125 (0.75 to 0.86) |" in page


def test_nothing_measured_is_said(tables):
    assert tables.table("p", {}) == tables.grid("p", {}) == "*Not measured yet.*\n"


def test_a_grid_has_a_row_for_each_name(tables):
    results = {"p.full.editing.coherence": RESULT, "p.no_skip.editing.coherence": RESULT, "p.full.other": RESULT}
    page = tables.fill("<!-- grid:p -->\n<!-- /table -->\n", results)
    assert "| | Editing: coherence | `other` |\n|---|---|---|\n" in page
    assert "| full | 81.2% (75.0% to 86.0%) | 0.8125 (0.75 to 0.86) |" in page
    assert "| no skip | 81.2% (75.0% to 86.0%) |  |" in page


def test_a_grid_shows_no_interval_where_there_is_none(tables):
    page = tables.grid("p", {"p.full.x": RESULT | {"low": None, "high": None}, "p.none.x": RESULT | {"low": 0.8125}})
    assert "| full | 0.8125 |" in page and "| none | 0.8125 (0.8125 to 0.86) |" in page


def test_a_grid_s_name_may_stand_in_the_middle(tables):
    marks = {f"table1.{name}.coherence": RESULT for name in ("bld.editing", "ours.editing", "ours.erasing")}
    page = tables.grid("table1.*.editing", marks | {"table1.ours.editing.seam": RESULT})
    assert "| | seam, in levels of 255, 0 = none | coherence |\n" in page
    assert "| ours | 0.81 (0.75 to 0.86) | 0.81 (0.75 to 0.86) |\n| bld |  | 0.81 (0.75 to 0.86) |\n" in page
    won = tables.grid("winrate.*.editing", {"winrate.a-vs-b.editing.structure_aesthetics": RESULT})
    assert "| | Editing: structure and aesthetics |" in won and "| a-vs-b | 81.2% (75.0% to 86.0%) |" in won


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    links = [link for link in LINK.findall(page.read_text()) if not link.startswith(("http", "#", "mailto:"))]
    broken = [link for link in links if not (page.parent / link.split("#")[0]).exists()]
    assert not broken


@pytest.mark.parametrize("code", snippets("python"))
def test_python_runs(code, tmp_path, monkeypatch, pipe, scene):
    """Every Python block runs, on tiny weights in place of the shipped model, and LoRA, beside a photo and its mask."""
    compile(code, "snippet", "exec")
    if "it needs the network" in code:
        return
    import byteedit

    monkeypatch.chdir(tmp_path)
    pipe.save_pretrained("tiny")
    monkeypatch.setattr(byteedit, "PICTUREBOOK", "tiny")
    write_lora(tmp_path / "loras" / "fast4", 0)
    monkeypatch.setattr(byteedit, "LORAS", "loras")
    photo, mask = scene(128, 128)  # as the picturebook's
    photo.save("photo.png")
    mask.save("mask.png")
    exec(code, {})


@pytest.mark.parametrize("code", snippets("bash"))
def test_commands_in_the_docs_are_ones_that_exist(code):
    from byteedit.cli import parse

    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["byteedit"]:
            assert parse(words[1:])
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file()


def test_the_tree_in_the_readme_is_there():
    tree = re.search(r"```\n(src/byteedit/.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0]
        path = folder / name if line.startswith("  ") else ROOT / name
        assert path.exists(), name
        if not line.startswith("  "):
            folder = path


def test_the_changelog_names_what_is_not_released():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_names_the_paper_and_this_version():
    import yaml  # comes with transformers

    import byteedit

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == byteedit.__version__
    assert len(citation["preferred-citation"]["authors"]) == 14
    assert citation["preferred-citation"]["identifiers"][0]["value"] == "arXiv:2404.04860"
