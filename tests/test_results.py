"""Measured figures: kept sorted, with their commit, and never NaN; and the benchmark that makes two of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from results import record

    return record


@pytest.fixture
def path(tmp_path):
    """docs/results.json of a repository with one commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git[:-2], "init", "-q", str(tmp_path)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    return tmp_path / "results.json"


def test_record(record, path):
    record("b.second", 2.0, 1.0, 3.0, 9, "python b.py", path)
    record("a.first", 1.0, 1.0, 1.0, 1, "python a.py", path)
    record("b.second", 2.5, 1.0, 3.0, 9, "python b.py", path)
    results = json.loads(path.read_text())
    assert list(results) == ["a.first", "b.second"]
    assert results["b.second"]["value"] == 2.5
    assert set(results["a.first"]) == {"value", "low", "high", "n", "command", "commit"}
    assert len(results["a.first"]["commit"]) >= 12
    assert [file.name for file in path.parent.glob("results*")] == ["results.json"]


def test_a_figure_may_have_no_interval(record, path):
    record("key", 1.0, None, None, 3, "python a.py", path)
    figure = json.loads(path.read_text())["key"]
    assert (figure["value"], figure["low"], figure["high"], figure["n"]) == (1.0, None, None, 3)


def test_a_figure_is_printed_and_kept_where_it_is_asked(record, path, monkeypatch, capsys):
    import results

    kept = []
    monkeypatch.setattr(results, "record", lambda *figure: kept.append(figure))
    monkeypatch.setattr(sys, "argv", ["b.py", "--name", "a b"])
    results.filing(False)("first", 0.5, 0.25, 1.0, 9)
    assert not kept
    results.filing(True)("second", value=0.5, low=float("nan"), high=float("nan"), n=9)
    results.filing(True, "python c.py")("third", 0.5, 0.25, 1.0, 9)
    assert kept == [
        ("second", 0.5, None, None, 9, "python b.py --name 'a b'"),
        ("third", 0.5, 0.25, 1.0, 9, "python c.py"),
    ]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["first", "0.5000", "[0.2500,", "1.0000]", "n", "=", "9"],
        ["second", "0.5000", "n", "=", "9"],
        ["third", "0.5000", "[0.2500,", "1.0000]", "n", "=", "9"],
    ]


def test_a_commit_says_whether_code_differs_from_it(record, path, monkeypatch):
    import results

    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(path.parent)]
    for name in ("code.py", "README.md", "docs/results.json"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text("1")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "second"], check=True)
    (path.parent / "README.md").write_text("2")
    (path.parent / "docs" / "results.json").write_text("2")
    clean = results.commit(path.parent / "docs")
    assert len(clean) == 12
    (path.parent / "code.py").write_text("2")
    assert results.commit(path.parent / "docs") == f"{clean}+"


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ((float("nan"), 0, 1, 1), "only finite"),
        ((1, 0, float("inf"), 1), "only finite"),
        ((2, 0, 1, 1), "around the value"),
        ((1, 0, 2, 0), "n above 0"),
        ((1, None, 2, 1), "only finite"),
        ((float("nan"), None, None, 1), "only finite"),
        ((1, None, None, 0), "n above 0"),
    ],
)
def test_no_figure(record, path, figure, words):
    with pytest.raises(ValueError, match=words):
        record("key", *figure, "python a.py", path)
    assert not path.exists()


@pytest.mark.slow
def test_edit_benchmark(pipe, tmp_path):
    """On tiny weights and few rounds: that it runs, and that no time is lost by a factor."""
    pipe.save_pretrained(tmp_path)
    command = [sys.executable, str(BENCHMARKS / "edit.py"), "--model", str(tmp_path), "--rounds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("bench.edit.")]
    assert [line[0].rpartition(".")[2] for line in lines] == ["20", "8"], done.stderr
    assert all(0.5 < float(line[1]) < 2 for line in lines)
