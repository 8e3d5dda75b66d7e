"""Tiny studies and simulated raters, who see nothing but pictures: the brighter one is better, noise is spoilt."""

import json

import numpy as np
from PIL import Image

from byteedit.evaluation.human.creation import create_study, read_cases
from byteedit.evaluation.human.raters import join
from byteedit.evaluation.human.studies import StudySettings

SIZE = (24, 16)
BRIGHTNESS = {"ours": 180, "good": 150, "fair": 110, "poor": 60}


def write_cases(folder, count=8, systems=("ours", "poor")):
    """Cases, in turn edits and erasures, in cases.jsonl; a folder of pictures for each system. Gives the folders."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    lines = []
    for n in range(count):
        name = f"case-{n}"
        rows = {"id": name, "task": ("editing", "erasing")[n % 2], "image": f"{name}.jpg", "mask": f"{name}-mask.png"}
        rows |= {"prompt": f"a boat, number {n}"} if n % 2 == 0 else {}
        lines.append(json.dumps(rows))
        Image.new("RGB", SIZE, (20 * n, 90, 90)).save(folder / f"{name}.jpg")
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[4:12, 8:16] = 255
        Image.fromarray(mask).save(folder / f"{name}-mask.png")
        for system in systems:
            (folder / system).mkdir(exist_ok=True)
            grey = BRIGHTNESS[system] + rng.integers(-40, 41)
            Image.new("RGB", SIZE, (int(grey), int(grey), n)).save(folder / system / f"{name}.png")
    (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
    return {system: folder / system for system in systems}


def make_study(folder, kind, systems=("ours", "poor"), count=8, **settings):
    """A study at folder/study."""
    folders = write_cases(folder, count, systems)
    return create_study(
        folder / "study", read_cases(folder / "cases.jsonl"), folders, StudySettings(kind=kind, **settings)
    )


def look(study, question):
    """What a simulated rater sees of each picture: how bright it is, or -1 where it is spoilt."""
    seen = []
    for name in question.pictures:
        pixels = np.asarray(Image.open(study.folder / name)).astype(float)
        seen.append(-1.0 if pixels.std((0, 1)).max() > 12 else pixels[..., 0].mean())
    return seen


def judge(study, question, rng, noise=10.0):
    """A rater's answer: pictures that differ by less than 20 look the same, and each look errs by `noise`."""
    seen = [sight + rng.normal(0, noise) if sight >= 0 else -99.0 for sight in look(study, question)]
    if study.settings.kind == "best-worst":
        return {"best": int(np.argmax(seen)) + 1, "worst": int(np.argmin(seen)) + 1}
    if study.settings.kind == "scores":
        mark = int(np.clip(1 + seen[0] / 50, 1, 5))
        return dict.fromkeys(study.axes(question), mark)
    apart = seen[0] - seen[1]
    side = "same" if abs(apart) < 20 else "left" if apart > 0 else "right"
    return dict.fromkeys(study.axes(question), side)


def answer(study, names, blind=()):
    """Everyone answers all; those who are `blind` always say the same. What each answered, by rater and question."""
    given = {}
    for n, name in enumerate(names):
        rater, rng = join(study, name), np.random.default_rng(n)
        while found := rater.upcoming():
            value = {"overall": "left"} if name in blind else judge(study, found[0], rng, noise=15)
            rater.record(f"{name}-{found[0].id}", found[0].id, value, seconds=2.0)
            given[rater.key, found[0].id] = value
    return given
