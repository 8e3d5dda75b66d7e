"""The import table of docs/design.md, checked with ast: imports point down, and some rooms never meet."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "byteedit"
EXAMPLES = ROOT / "examples"

# From the ground up; a room may use rooms of its own floor and below. A new module must be given a floor here.
FLOORS = [
    {"masks", "picturebook", "image", "reading", "seam", "files", "provenance", "registration", "schedule"},
    {"diffusion", "rewards", "vgg", "data", "hub"},
    {"pipeline", "training", "evaluation"},
    {"feedback", "commands"},
    {"app"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("torch", "diffusers", "transformers", "gradio")


def sources(*folders: Path) -> list[Path]:
    """The Python files under folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """The full names of all that a file imports, wherever in the file; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    """The rooms of our package that a file imports."""
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("byteedit.")}
    return {room for room in ours if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()}


def room_of(path: Path) -> str:
    """The room that a source file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def reach(path: Path) -> set[str]:
    """The rooms that importing a file may load, directly or not."""
    seen, waiting = set(), rooms(path)
    while waiting:
        room = waiting.pop()
        seen.add(room)
        files = sources(PACKAGE / room) if (PACKAGE / room).is_dir() else [PACKAGE / f"{room}.py"]
        waiting |= set().union(*map(rooms, files)) - seen
    return seen


def packages(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


MODULES = [path for path in sources(PACKAGE) if path != PACKAGE / "__init__.py"]
JUDGES = {
    "best_of",
    "climb",
    "compare",
    "content",
    "evaluate_rewards",
    "experts",
    "fresh",
    "train_boost",
    "trials",
    "try_judge",
}  # may see the gold judge
LEARNERS = [
    *sources(PACKAGE / "training", PACKAGE / "data", PACKAGE / "rewards"),
    *(path for path in sources(EXAMPLES) if path.stem not in JUDGES),
]


def name(path: Path) -> str:
    """A path as the test's id."""
    return str(path.relative_to(ROOT))


def test_the_rules_have_something_to_rule():
    assert len(MODULES) > 10
    assert {room_of(path) for path in MODULES} == set(FLOOR) | {"assets"} & {room_of(path) for path in MODULES}
    assert any(rooms(path) for path in MODULES)
    assert any("byteedit" in packages(path) for path in sources(EXAMPLES))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_down(path):
    room = room_of(path)
    assert room in FLOOR, f"give {room} a floor in this test and in docs/design.md"
    higher = {other for other in rooms(path) if FLOOR[other] > FLOOR[room]}
    assert not higher, f"{room} stands below {higher}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_some_rooms_never_meet(path):
    room = room_of(path)
    assert not (room == "training" and "evaluation" in reach(path))
    assert not (room == "evaluation" and "training" in reach(path))
    assert not (room == "rewards" and "diffusers" in packages(path))
    assert not (room in ("masks", "picturebook", "provenance") and packages(path) & set(HEAVY))
    assert not (room in ("masks", "picturebook") and "image" in reach(path))  # which loads torch


@pytest.mark.parametrize("path", LEARNERS, ids=name)
def test_nothing_that_trains_sees_the_gold_judge(path):
    assert "evaluation" not in reach(path)
    siblings = {other.stem for other in sources(path.parent)} & packages(path)
    assert not JUDGES & siblings


@pytest.mark.parametrize("path", sources(EXAMPLES, ROOT / "spaces", ROOT / "benchmarks"), ids=name)
def test_examples_use_public_names_only(path):
    private = {full for full in imports(path) if full.startswith("byteedit") and "._" in full}
    assert not private


@pytest.mark.parametrize(
    "path", sources(PACKAGE, EXAMPLES, ROOT / "tests", ROOT / "benchmarks", ROOT / "docs"), ids=name
)
def test_files_are_short_and_named_for_what_they_hold(path):
    assert len(path.read_text().splitlines()) < 300
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "misc")


@pytest.mark.parametrize("path", sources(PACKAGE), ids=name)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "open the module with a docstring"


def body_length(function: ast.FunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_functions_fit_a_screen():
    functions = [
        (body_length(node), f"{name(path)}: {node.name}")
        for path in sources(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert max(functions)[0] < 50, max(functions)


@pytest.mark.parametrize(
    "statement", ["import byteedit", "import byteedit.cli", "import byteedit.masks, byteedit.picturebook"]
)
def test_importing_loads_nothing_heavy(statement):
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
