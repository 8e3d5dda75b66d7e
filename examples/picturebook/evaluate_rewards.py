"""What the three rewards reach on held-out data, where they fail, and how sure they should be.

Pairs told apart, by task or by what is wrong with the caption; the area under the ROC curve of generated pixels, and
how many of an untouched picture are taken for such; the same after JPEG compression and after resizing; and how far a
preference's certainty is from how often it is right. The data are the test split's, of pages that no reward was trained
on. Its prompts and captions are of the same words as the training's, and many are the same; so what asks for
combinations, or says captions, that training never shows stands apart. With `--record`, pictures of the best and the
worst by each reward go to docs/images.

    python examples/picturebook/evaluate_rewards.py --rewards .runs/rewards
"""

import io
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from experts import COUNTS, answered
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score

from byteedit.data.pairs import beaten, compared
from byteedit.data.preferences import AESTHETIC, ALIGNMENT, COHERENCE, Schema, Skipped, examples, load
from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import RESAMPLES, Figure, mean, rate, ratio
from byteedit.evaluation.marks import TIE
from byteedit.evaluation.picturebench import cases
from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, SIZES
from byteedit.rewards import CoherenceReward, PreferenceReward
from byteedit.rewards.opening import open_reward

ROOT = Path(__file__).resolve().parents[2]
BEST = 8  # pictures of the highest and of the lowest scores
PARTS = ("size", "colour", "kind")
THING = rf"an? (?:({'|'.join(SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(KINDS)})"
CAPTION = re.compile(rf"(?P<things>{THING}(?: and {THING})*)(?: (?P<place>{'|'.join(BACKGROUNDS.values())}))?")
"""What captions.py says of a page: things, with or without sizes, and a place or none."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    rewards: Path
    """Folder with the rewards: aesthetic, alignment, coherence."""
    only: tuple[Literal["aesthetic", "alignment", "coherence"], ...] = ("aesthetic", "alignment", "coherence")
    """Which of them are measured."""
    data: Path = Path(".runs/data")
    """Folder with the data sets of the same names, and the answers that they were made from."""
    record: bool = False
    """File the figures in docs/results.json, under reward.*, and draw the best and the worst."""


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer).convert("RGB")


def resized(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize([round(share * side) for side in image.size], Image.Resampling.BICUBIC)


CHANGES = {"jpeg75": compressed, "three_quarters": resized(0.75), "double": resized(2.0)}


def rows(settings: Settings, name: str, schema: Schema) -> list[dict]:
    """The rows of a test split, with PIL images."""
    return list(examples(load(settings.data / name, schema, Skipped(), split="test"), schema, Skipped()))


def preference(model: PreferenceReward, pairs: list[dict], groups: dict[str, np.ndarray]) -> dict[str, Figure]:
    """Pairs told apart: all, those of each group, and after each change; and `calibration`.

    groups: by name, whether each pair belongs to it, (len(pairs),) bool.
    """

    def margins(change: Callable = lambda image: image) -> np.ndarray:
        better, worse = zip(*map(compared, pairs), strict=True)
        chosen, rejected = (
            np.array(model.score([change(image) for image, _ in side], [prompt for _, prompt in side]))
            for side in (better, worse)
        )
        return chosen - rejected

    margin = margins()
    found = {"pair_accuracy": rate(margin > 0)}
    found |= {f"pair_accuracy.{name}": rate(margin[of] > 0) for name, of in groups.items() if of.any()}
    found |= {f"pair_accuracy.{name}": rate(margins(change) > 0) for name, change in CHANGES.items()}
    return found | calibration(margin * model.config.score_std)


def named(names: list[str]) -> dict[str, np.ndarray]:
    """A group of each name, for `preference`: whose name it is, (len(names),) bool."""
    return {name: np.array(names) == name for name in sorted(set(names))}


def calibration(margin: np.ndarray) -> dict[str, Figure]:
    """How far the stated certainty s(|margin|) is from how often it is right.

    `calibration_error`: `miscalibration`. Gaps have no sign, so chance makes some where there are none: it has no
    interval, and `calibration_error.by_chance` is what certainties that are exactly right would show, on average and in
    95 % of redraws. `overconfidence`: the mean certainty less the share told, negative where it is too unsure.
    """
    certainty, right = 1 / (1 + np.exp(-np.abs(margin))), margin > 0
    n, rng = len(margin), np.random.default_rng(0)
    drawn = [miscalibration(certainty, rng.random(n) < certainty) for _ in range(RESAMPLES)]
    low, value, high = sorted([*np.quantile(drawn, [0.025, 0.975]).tolist(), float(np.mean(drawn))])
    return {
        "calibration_error": Figure(value=miscalibration(certainty, right), low=math.nan, high=math.nan, n=n),
        "calibration_error.by_chance": Figure(value=value, low=low, high=high, n=n),
        "overconfidence": mean(certainty - right),
    }


def miscalibration(certainty: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """The expected calibration error (ECE): the gap between certainty in [0.5, 1] and share right, over equal bins."""
    place = np.minimum((2 * certainty - 1) * bins, bins - 1).astype(int)
    return float(np.abs(np.bincount(place, certainty - right)).sum() / len(certainty))


def every_two(model: PreferenceReward, rows: Iterable[dict]) -> dict[str, Figure]:
    """Of all pairs of answers to a case with different marks, those told apart: however near, and if `TIE` apart.

    Pairs of a case share its answers, so the intervals are of cases drawn anew.
    """
    judged = [(row["marks"], model.score(row["candidates"], [row["prompt"]] * len(row["candidates"]))) for row in rows]
    return {"pair_accuracy.every_two": told(judged), "pair_accuracy.every_two_apart": told(judged, TIE)}


def told(judged: Iterable[tuple[list[float], list[float]]], tie: float = 0.0) -> Figure:
    """Of the pairs in each case's (marks, scores) that are marked at least `tie` apart, those told."""
    right, pairs = [], []
    for marks, scores in judged:
        if apart := [(one, other) for one, other in beaten(marks) if marks[one] - marks[other] >= tie]:
            right.append(sum(scores[one] > scores[other] for one, other in apart))
            pairs.append(len(apart))
    return ratio(right, pairs)


def fault(row: dict) -> str:
    """What is wrong with the rejected caption, of the faults that captions.py makes, one to a caption."""
    chosen, rejected = (CAPTION.fullmatch(row[side]) for side in ("caption_chosen", "caption_rejected"))
    if not rejected:
        return "poor"
    pairs = zip(*(re.findall(THING, caption["things"]) for caption in (chosen, rejected)), strict=True)
    found = {name for told, said in pairs for name, a, b in zip(PARTS, told, said, strict=True) if a != b}
    [only] = found | ({"place"} if chosen["place"] != rejected["place"] else set())
    return only


def coherence(model: CoherenceReward, pictures: list[dict]) -> dict[str, Figure]:
    """The area under the ROC curve of pictures with a generated region: all, of each task, and after each change; and
    of pictures without one, the share of pixels that are called generated nevertheless.

    A case's answers are alike, so the interval is of cases drawn anew. They stand together, with one mask, and its true
    picture, with an empty one, between them and the next case's.
    """
    cases = [list(rows) for mask, rows in groupby(pictures, lambda row: row["mask"].tobytes()) if any(mask)]
    edited, sizes = [row for rows in cases for row in rows], np.array([len(rows) for rows in cases])
    numbers, tasks = np.repeat(np.arange(len(cases)), sizes), np.array([rows[0]["task"] for rows in cases])

    def area(change: Callable) -> np.ndarray:  # each case's, summed over its answers
        return np.bincount(numbers, areas(model, edited, change))

    plain = area(lambda image: image)
    found = {"pixel_auc": ratio(plain, sizes)}
    found |= {f"pixel_auc.{task}": ratio(plain[tasks == task], sizes[tasks == task]) for task in sorted(set(tasks))}
    found |= {f"pixel_auc.{name}": ratio(area(to), sizes) for name, to in CHANGES.items()}
    untouched = [row["image"] for row in pictures if not np.asarray(row["mask"]).any()]
    return found | {"false_alarms": mean([(real < 0.5).mean() for real in model.map(untouched)])}


def areas(model: CoherenceReward, edited: list[dict], change: Callable) -> list[float]:
    images = [change(row["image"]) for row in edited]
    masks = [
        row["mask"].resize(image.size, Image.Resampling.NEAREST) for row, image in zip(edited, images, strict=True)
    ]
    return [
        roc_auc_score(np.asarray(mask).ravel() < 128, real.ravel())
        for mask, real in zip(masks, model.map(images), strict=True)
    ]


def main(settings: Settings) -> None:
    sys.path.append(str(ROOT / "benchmarks"))
    from results import filing

    file = filing(settings.record)
    for name in settings.only:
        model = open_reward(str(settings.rewards / name))
        figures, pairs = MEASURES[name](model, settings)
        for key, figure in figures.items():
            file(f"reward.{name}.{key}", **asdict(figure))
        if settings.record:
            draw(name, model, pairs)


def measure_aesthetic(model: PreferenceReward, settings: Settings):
    judged = rows(settings, "aesthetic", AESTHETIC)
    pairs = [one for row in judged for one in compared(row)]
    groups = named([row["task"] for row in judged]) | {"held_out": held_out(judged)}
    found = preference(model, judged, groups)
    return found | every_two(model, answered(settings.data / "answers" / "test")), pairs


def held_out(judged: list[dict]) -> np.ndarray:  # (len(judged),) bool
    """Whether each row asks for a combination of kind, colour and place that training never shows."""
    asked = [case for task, n in zip(TASKS, COUNTS["test"], strict=True) for case in cases(task, "test", n)]
    known = {(case.prompt, case.mask.tobytes()) for case in asked if case.prompt and case.held_out}
    return np.array([(row["prompt"], row["mask"].tobytes()) in known for row in judged])


def measure_alignment(model: PreferenceReward, settings: Settings):
    captions = rows(settings, "alignment", ALIGNMENT)
    pairs = [one for row in captions for one in compared(row)]
    learnt = load(settings.data / "alignment", ALIGNMENT, Skipped(), split="train")
    seen = {caption for side in ("caption_chosen", "caption_rejected") for caption in learnt[side]}
    groups = named([fault(row) for row in captions])
    groups |= {"new": np.array([row["caption_chosen"] not in seen for row in captions])}
    return preference(model, captions, groups), pairs


def measure_coherence(model: CoherenceReward, settings: Settings):
    pictures = rows(settings, "coherence", COHERENCE)
    return coherence(model, pictures), [(row["image"], "") for row in pictures]


MEASURES = {"aesthetic": measure_aesthetic, "alignment": measure_alignment, "coherence": measure_coherence}
"""Each gives figures by name, and all pictures of the test split with their prompts."""


def draw(name: str, model: PreferenceReward | CoherenceReward, pairs: list[tuple[Image.Image, str]]) -> None:
    """The pictures with the highest scores above those with the lowest, each with its prompt."""
    scores = model.score([image for image, _ in pairs], [prompt for _, prompt in pairs])
    ranked = np.argsort(scores)[::-1].tolist()
    side, below = 128, 26
    sheet = Image.new("RGB", (BEST * (side + 4) - 4, 2 * (side + below)), "white")
    for place, number in enumerate(ranked[:BEST] + ranked[-BEST:]):
        image, prompt = pairs[number]
        left, top = place % BEST * (side + 4), place // BEST * (side + below)
        sheet.paste(image, (left, top))
        first, _, second = prompt.partition(" and ")
        label = f"{scores[number]:.1f} {first}" + (f"\n and {second}" if second else "")
        ImageDraw.Draw(sheet).text((left, top + side), label, fill="black", font=ImageFont.load_default(9))
    sheet.save(ROOT / "docs" / "images" / f"reward_{name}.png", optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
