"""PictureBench: 240 edits, 240 erasures and 240 outpaintings of picturebook scenes that no training saw.

The cases are made from seeds of the book's "test" split and are the same for good: figures of different years can
be compared, and two systems can be compared case by case. Half of the things to be made are combinations of kind,
colour and place that training never shows. The same cases from the "validation" split serve for calibration.
numpy and PIL only. Own to this project; sizes of the set after EditBench's 240 images.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import count

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from byteedit import masks
from byteedit.evaluation import TASKS
from byteedit.masks import Box
from byteedit.picturebook import AIRBORNE, BACKGROUNDS, COLOURS, KINDS, PAGE, SIZES, Scene, Thing, held_out, scene

__all__ = ["COUNT", "Case", "cases"]

COUNT = 240  # cases a task
FIRST_SEED = {"editing": 0, "erasing": 100_000, "outpainting": 200_000}
FIRST_NOISE = {"test": 0, "validation": 50_000, "train": 1_000_000}


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One picture to be edited, and what would be right."""

    id: str
    """Such as "editing-017"."""

    task: str
    """One of `TASKS`."""

    seed: int
    """Seeds the noise that the case is generated from."""

    source: Scene
    """What the input shows."""

    truth: Scene
    """What the page should show afterwards. Where no thing is asked for, it says how the background goes on."""

    target: Thing | None
    """The thing asked for, at its true place, which is its last one in `truth`; none when erasing or prompt-free."""

    box: Box
    """The part of the page that the input shows: less than the whole only when outpainting."""

    mask: np.ndarray  # (PAGE, PAGE) uint8
    """255 = generate here, 0 = keep. When outpainting, all of the page outside `box`."""

    prompt: str | None
    """Such as "an orange apple" or "a small orange apple"; None where nothing is asked for."""

    held_out: bool
    """Whether training never shows this thing in this colour at this place."""

    @cached_property
    def image(self) -> np.ndarray:  # (H, W, 3) uint8, of the size of `box`
        """The input."""
        return self.source.render(self.box)

    @cached_property
    def picture(self) -> np.ndarray:  # (PAGE, PAGE, 3) uint8
        """The right answer."""
        return self.truth.render()

    @cached_property
    def background(self) -> np.ndarray:  # (PAGE, PAGE, 3) uint8
        """The right answer without the thing asked for."""
        return self.truth.render() if self.target is None else self.truth.without(len(self.truth.things) - 1).render()

    @property
    def extension(self) -> dict[str, int]:
        """How many pixels the page goes beyond the input on each side, as `pipe.outpaint` takes it."""
        left, top, right, bottom = self.box
        return {"left": left, "top": top, "right": PAGE - right, "bottom": PAGE - bottom}


@cache
def cases(task: str, split: str = "test", number: int = COUNT) -> tuple[Case, ...]:
    """`number` cases of a task, in a fixed order of which every prefix is mixed. Slice one list where fewer are wanted:
    with another `number` a case may have another scene.

    The benchmark is the 240 of the "test" split. Cases of the "train" split, any number of them, serve to make data for
    training from: none of them is held out. Pictures are rendered when asked for.

    Raises `ValueError` for an unknown task or split.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; PictureBench has {', '.join(TASKS)}.")
    if task == "outpainting":
        return tuple(_outpainting(split, number))
    return tuple(_one_thing(task, split, number))


def _wish(n: int, split: str) -> tuple[str, str, str]:
    """Kind, colour and place number `n`: kinds and colours in turn; an even `n` is one that training never shows."""
    turn, k = divmod(n // 2, len(KINDS))
    kind, colour = list(KINDS)[k], list(COLOURS)[(2 * k + 5 * turn + k // 4) % len(COLOURS)]
    places = [place for place in BACKGROUNDS if held_out(kind, colour, place) == (n % 2 == 0 and split != "train")]
    return kind, colour, places[(n // 2 + turn) % len(places)]


def _name(task: str, split: str, n: int) -> dict:
    """What every case has: its id and the seed of its noise."""
    return {"id": f"{task}-{n:03d}", "task": task, "seed": FIRST_SEED[task] + FIRST_NOISE[split] + n}


def _phrase(thing: Thing, n: int) -> str:
    """Half of the prompts name the size too, and for every kind half of them."""
    turn, k = divmod(n // 2, len(KINDS))
    return thing.phrase if (turn + k) % 2 else thing.plain_phrase


def _one_thing(task: str, split: str, number: int) -> list[Case]:
    """Edits or erasures: each wish gets the first scene of the split that shows such a thing with room around it."""
    waiting = defaultdict(list)
    for n in range(number):
        waiting[_wish(n, split)].append(n)
    found: dict[int, Case] = {}
    for seed in count(FIRST_SEED[task]):
        drawn = scene(seed, split)
        for index, thing in enumerate(drawn.things):
            queue = waiting[thing.kind, thing.colour, drawn.background]
            case = _make(task, split, queue[0], drawn, index) if queue else None
            if case:
                found[queue.pop(0)] = case
                break
        if len(found) == number:
            return [found[n] for n in range(number)]
    raise AssertionError("unreachable: seeds never end")


def _make(task: str, split: str, n: int, drawn: Scene, index: int) -> Case | None:
    """The edit or erasure of one thing; none if no mask keeps clear of the other things."""
    thing, rest = drawn.things[index], drawn.without(index)
    rng = np.random.default_rng([FIRST_SEED[task], n])
    others = np.max([other.coverage((0, 0, PAGE, PAGE)) for other in rest.things] or [np.zeros((PAGE, PAGE))], 0)
    paint = _painted if task == "editing" else _marked
    masks = (paint(thing, rng) for _ in range(20))
    mask = next((mask for mask in masks if not np.any((mask > 0) & (others > 0))), None)
    if mask is None:
        return None
    shown = replace(drawn, things=(*rest.things, thing))
    editing = task == "editing"
    return Case(
        **_name(task, split, n),
        source=rest if editing else shown,
        truth=shown if editing else rest,
        target=thing if editing else None,
        box=(0, 0, PAGE, PAGE),
        mask=mask,
        prompt=_phrase(thing, n) if editing else None,
        held_out=held_out(thing.kind, thing.colour, drawn.background),
    )


def _painted(thing: Thing, rng: Generator) -> np.ndarray:  # (PAGE, PAGE) uint8
    """A mask as a user paints it where a thing shall be: a box, an ellipse or a rough blob, a little too large."""
    shape = str(rng.choice(["box", "ellipse", "blob"]))
    half = thing.side / 2 * rng.uniform(1.1, 1.5, 2)
    slack = half - thing.side / 2
    centre = np.array((thing.x, thing.y)) + thing.side / 2 + rng.uniform(-slack, slack)
    body = thing.coverage((0, 0, PAGE, PAGE)) > 0
    while True:  # an ellipse cuts a square's corners: it grows until the thing fits
        mask = _fill(shape, centre, half, np.random.default_rng(rng.integers(2**31)))
        if np.all(mask[body]):
            return mask
        half = half * 1.06


def _fill(shape: str, centre, half, rng: Generator) -> np.ndarray:  # (PAGE, PAGE) uint8
    image = Image.new("L", (PAGE, PAGE))
    draw = ImageDraw.Draw(image)
    low, high = np.floor(centre - half).astype(int).tolist(), np.ceil(centre + half).astype(int).tolist()
    if shape == "box":
        draw.rectangle([*low, high[0] - 1, high[1] - 1], fill=255)
    elif shape == "ellipse":
        draw.ellipse([*low, *high], fill=255)
    else:
        angles = np.arange(24) * np.pi / 12
        radii = 1 + sum(rng.uniform(-0.09, 0.09) * np.cos(k * angles + rng.uniform(0, 6.28)) for k in (2, 3, 5))
        points = np.rint(centre + half * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1))
        draw.polygon([tuple(point) for point in points.astype(int).tolist()], fill=255)
    return np.array(image)


def _marked(thing: Thing, rng: Generator) -> np.ndarray:  # (PAGE, PAGE) uint8
    """A mask over a thing to be erased: its own outline 2 to 5 pixels too large, or a box around it."""
    grow = int(rng.integers(2, 6))
    body = np.where(thing.coverage((0, 0, PAGE, PAGE)) > 0, 255, 0).astype(np.uint8)
    if rng.random() < 0.3:
        left, top, right, bottom = masks.box(body)
        body[top:bottom, left:right] = 255
    return np.array(Image.fromarray(body).filter(ImageFilter.MaxFilter(2 * grow + 1)))


def _outpainting(split: str, number: int) -> Iterator[Case]:
    """Prompt-free and prompted cases in turn, from the split's scenes in turn; scenes that do not fit are passed by."""
    seeds = count(FIRST_SEED["outpainting"])
    for n in range(number):
        wish = _wish(n // 2, split) if n % 2 else None
        rng = np.random.default_rng([FIRST_SEED["outpainting"], n])
        drawn = (scene(seed, split) for seed in seeds)
        fitting = (d for d in drawn if wish is None or d.background == wish[2])
        yield next(case for d in fitting if (case := _extend(split, n, d, wish, rng)))


def _extend(split: str, n: int, drawn: Scene, wish, rng: Generator) -> Case | None:
    """The scene cut to a smaller picture; none if the cut goes through a thing or leaves none in the picture."""
    sides = _sides(rng, wish)
    box = _cut(sides)
    inside = [i for i, thing in enumerate(drawn.things) if _within(thing.box, box)]
    outside = [i for i, thing in enumerate(drawn.things) if _apart(thing.box, box)]
    if not inside or len(inside) + len(outside) < len(drawn.things):
        return None
    rest = drawn.without(*outside)
    target = _in_extension(rng, wish, *next(iter(sides.items()))) if wish else None
    mask = np.full((PAGE, PAGE), 255, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 0
    return Case(
        **_name("outpainting", split, n),
        source=rest,
        truth=replace(rest, things=(*rest.things, target)) if target else rest,
        target=target,
        box=box,
        mask=mask,
        prompt=_phrase(target, n // 2) if target else None,
        held_out=target is not None and held_out(*wish),
    )


def _sides(rng: Generator, wish) -> dict[str, int]:
    """One or two sides and by how many pixels they are extended; a thing asked for gets its room on the first."""
    names = ["left", "right", "bottom", "top"]
    grounded = wish is not None and wish[0] not in AIRBORNE
    first = str(rng.choice(names[:3] if grounded else names))
    second = str(rng.choice([name for name in names if name != first]))
    sides = {first: int(rng.integers(34 if wish else 24, 49)), second: int(rng.integers(24, 49))}
    return sides if rng.random() < 0.5 else {first: sides[first]}


def _cut(sides: dict[str, int]) -> Box:
    return sides.get("left", 0), sides.get("top", 0), PAGE - sides.get("right", 0), PAGE - sides.get("bottom", 0)


def _in_extension(rng: Generator, wish, side: str, room: int) -> Thing:
    """The thing asked for, wholly in the new strip at `side`, which is `room` pixels deep."""
    kind, colour, _ = wish
    size = str(rng.choice([name for name, pixels in SIZES.items() if pixels + 4 <= room]))
    free = PAGE - SIZES[size]
    depth = int(rng.integers(2, room - SIZES[size] - 1))
    across = depth if side in ("left", "top") else free - depth
    along = int(rng.integers(0 if side in ("top", "bottom") or kind in AIRBORNE else free * 3 // 5, free + 1))
    x, y = (across, along) if side in ("left", "right") else (along, across)
    return Thing(kind=kind, colour=colour, size=size, x=x, y=y)


def _within(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _apart(box: Box, frame: Box) -> bool:
    return box[2] <= frame[0] or box[0] >= frame[2] or box[3] <= frame[1] or box[1] >= frame[3]
