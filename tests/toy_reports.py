"""Folders as `byteedit evaluate` leaves them, of answers and scores that are made up."""

import json
from pathlib import Path

from toy_benchmarks import picture, save, write_editbench

NAMES = ("natural-cat-material-indoor", "natural-dog-color-outdoor", "generated-cup-size-art")


def write_run(folder: Path, scores: dict[str, list[dict]], task: str = "editing", **asked) -> Path:
    """A run on an EditBench of three cases; by system the scores of each case, and what differs in its run.json."""
    bench = folder.parent / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    write_editbench(bench)
    told = {
        "benchmark": f"editbench:{bench}",
        "prompt": None,
        "seed": 0,
        "limit": None,
        "cases": 3,
        "cases_sha256": "x",
    }
    notes = {"versions": [{"byteedit": "0.1.0", "torch": "2.6"}], "scores": ["pixels: at the picture's own size"]}
    for number, (system, of) in enumerate(scores.items()):
        lines = [
            {"id": name, "task": task, "prompt": f"a <{n}> boat", "seed": n, "scores": one, "by": []}
            for n, (name, one) in enumerate(zip(NAMES, of, strict=False))
        ]
        for n, line in enumerate(lines):
            save(folder / system / f"{line['id']}.png", picture(10 * number + n))
        (folder / system / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / system / "system.json").write_text(json.dumps({"system": system, "steps": 20, "lora": None}))
    (folder / "run.json").write_text(json.dumps(told | asked | notes))
    (folder / "figures.json").write_text(json.dumps({system: {} for system in scores}))
    return folder


def marked(mark: float, right: bool = True) -> dict:
    """What PictureBench's judge says of an answer, all marks alike."""
    return {"structure": mark, "aesthetics": mark, "coherence": mark, "quality": mark, "right": right}
