"""The twelve things of the picturebook, each drawn from a few shapes in one of eight colours.

A sprite is drawn by PIL at eight times its size and reduced with antialiasing, once for every
(kind, colour, size), then kept. Shapes are given in the unit square, y pointing down.
What a thing is called and where it stands is the business of `byteedit.picturebook`.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (216, 46, 48),
    "orange": (242, 137, 34),
    "yellow": (248, 211, 58),
    "green": (58, 156, 72),
    "blue": (48, 108, 214),
    "purple": (138, 76, 190),
    "pink": (246, 140, 182),
    "white": (247, 246, 240),
}
SIZES = {"small": 28, "medium": 40, "large": 56}  # the longer side of the sprite's square, in pixels
INK = (52, 38, 40)
BARK = (122, 78, 48)
LEAF = (52, 130, 58)
SUPERSAMPLING = 8


class Pen:
    """Draws outlined shapes, in unit coordinates, on an RGBA square of `side` pixels."""

    def __init__(self, side: int, colour: tuple[int, int, int]):
        self.side = side
        self.image = Image.new("RGBA", (side, side))
        self.draw = ImageDraw.Draw(self.image)
        self.colour = colour
        self.edge = shade(colour, 0.52)
        self.light = tint(colour, 0.55)
        self.stroke = max(1, round(side * 0.032))

    def _points(self, points):
        return [(x * self.side, y * self.side) for x, y in points]

    def polygon(self, points, fill, edge=None):
        points = self._points(points)
        self.draw.polygon(points, fill=fill)
        if edge:
            self.draw.line([*points, points[0], points[1]], fill=edge, width=self.stroke, joint="curve")

    def ellipse(self, x0, y0, x1, y1, fill, edge=None):
        box = self._points([(x0, y0), (x1, y1)])
        self.draw.ellipse(box, fill=fill, outline=edge, width=self.stroke if edge else 0)

    def box(self, x0, y0, x1, y1, fill, edge=None, radius=0.0):
        box = self._points([(x0, y0), (x1, y1)])
        self.draw.rounded_rectangle(
            box, radius=radius * self.side, fill=fill, outline=edge, width=self.stroke if edge else 0
        )

    def line(self, points, fill, width=0.04):
        self.draw.line(self._points(points), fill=fill, width=max(1, round(width * self.side)), joint="curve")


def shade(colour, amount: float) -> tuple[int, ...]:
    """`colour` darkened: 1 leaves it, 0 makes it black."""
    return tuple(round(c * amount) for c in colour)


def tint(colour, amount: float) -> tuple[int, ...]:
    """`colour` lightened: 0 leaves it, 1 makes it white."""
    return tuple(round(c + (255 - c) * amount) for c in colour)


def curve(radius, turns=64):
    """A closed outline from `radius(angle)`, centred on the unit square's centre, the angle in radians."""
    angles = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    return [(0.5 + radius(a) * np.sin(a), 0.5 - radius(a) * np.cos(a)) for a in angles]


def balloon(pen: Pen):
    pen.line([(0.5, 0.74), (0.47, 0.84), (0.53, 0.90), (0.50, 0.99)], INK, 0.022)
    pen.polygon([(0.5, 0.70), (0.44, 0.79), (0.56, 0.79)], pen.colour, pen.edge)
    pen.ellipse(0.19, 0.02, 0.81, 0.75, pen.colour, pen.edge)
    pen.ellipse(0.30, 0.12, 0.44, 0.32, pen.light)


def house(pen: Pen):
    pen.box(0.66, 0.10, 0.78, 0.36, shade(BARK, 0.8), INK)
    pen.box(0.13, 0.44, 0.87, 0.98, pen.colour, pen.edge)
    pen.polygon([(0.5, 0.04), (0.02, 0.47), (0.98, 0.47)], BARK, INK)
    pen.box(0.42, 0.64, 0.60, 0.98, shade(BARK, 0.75), INK)
    pen.box(0.20, 0.58, 0.35, 0.74, (204, 232, 250), INK)
    pen.box(0.67, 0.58, 0.81, 0.74, (204, 232, 250), INK)


def tree(pen: Pen):
    pen.polygon([(0.43, 0.60), (0.57, 0.60), (0.61, 0.98), (0.39, 0.98)], BARK, INK)
    crowns = [(0.06, 0.28, 0.52, 0.72), (0.48, 0.28, 0.94, 0.72), (0.22, 0.02, 0.78, 0.52)]
    for crown in crowns:
        pen.ellipse(*crown, pen.colour, pen.edge)
    for x0, y0, x1, y1 in crowns:
        pen.ellipse(x0 + 0.03, y0 + 0.03, x1 - 0.03, y1 - 0.03, pen.colour)
    pen.ellipse(0.32, 0.10, 0.48, 0.22, pen.light)


def star(pen: Pen):
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.21, 0.5)
    pen.polygon(
        [(0.5 + r * np.sin(a), 0.53 - r * np.cos(a)) for a, r in zip(angles, radii, strict=True)], pen.colour, pen.edge
    )
    pen.ellipse(0.40, 0.36, 0.50, 0.48, pen.light)


def heart(pen: Pen):
    a = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x = 16 * np.sin(a) ** 3
    y = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
    pen.polygon(list(zip(0.5 + x / 34, 0.47 - y / 34, strict=True)), pen.colour, pen.edge)
    pen.ellipse(0.20, 0.19, 0.36, 0.35, pen.light)


def flower(pen: Pen):
    pen.line([(0.5, 0.56), (0.5, 0.99)], LEAF, 0.06)
    pen.ellipse(0.52, 0.74, 0.80, 0.87, LEAF, shade(LEAF, 0.6))
    pen.ellipse(0.20, 0.80, 0.48, 0.93, LEAF, shade(LEAF, 0.6))
    for a in np.arange(6) * np.pi / 3:
        x, y = 0.5 + 0.21 * np.sin(a), 0.365 - 0.21 * np.cos(a)
        pen.ellipse(x - 0.135, y - 0.135, x + 0.135, y + 0.135, pen.colour, pen.edge)
    middle = COLOURS["yellow"] if pen.colour != COLOURS["yellow"] else COLOURS["orange"]
    pen.ellipse(0.385, 0.25, 0.615, 0.48, middle, shade(middle, 0.6))


def boat(pen: Pen):
    pen.line([(0.5, 0.02), (0.5, 0.74)], INK, 0.035)
    pen.polygon([(0.54, 0.06), (0.54, 0.66), (0.92, 0.66)], pen.colour, pen.edge)
    pen.polygon([(0.46, 0.16), (0.46, 0.66), (0.14, 0.66)], pen.light, pen.edge)
    pen.polygon([(0.03, 0.73), (0.97, 0.73), (0.80, 0.97), (0.20, 0.97)], BARK, INK)


def fish(pen: Pen):
    pen.polygon([(0.66, 0.5), (0.97, 0.24), (0.91, 0.5), (0.97, 0.76)], pen.colour, pen.edge)
    pen.polygon([(0.32, 0.34), (0.50, 0.14), (0.62, 0.34)], pen.light, pen.edge)
    pen.ellipse(0.03, 0.25, 0.78, 0.75, pen.colour, pen.edge)
    pen.ellipse(0.14, 0.36, 0.29, 0.51, (255, 255, 255), INK)
    pen.ellipse(0.18, 0.40, 0.25, 0.47, INK)
    pen.line([(0.42, 0.36), (0.48, 0.5), (0.42, 0.64)], pen.edge, 0.03)


def mushroom(pen: Pen):
    pen.box(0.34, 0.46, 0.66, 0.98, (240, 226, 198), shade((240, 226, 198), 0.6), radius=0.12)
    cap = [(0.5 - 0.48 * np.cos(a), 0.56 - 0.52 * np.sin(a)) for a in np.linspace(0, np.pi, 40)]
    pen.polygon(cap, pen.colour, pen.edge)
    spots = (255, 250, 240) if pen.colour != COLOURS["white"] else (196, 178, 160)
    for x, y, r in [(0.5, 0.22, 0.09), (0.25, 0.40, 0.075), (0.74, 0.39, 0.075)]:
        pen.ellipse(x - r, y - r, x + r, y + r, spots)


def apple(pen: Pen):
    pen.line([(0.5, 0.26), (0.54, 0.06)], BARK, 0.055)
    pen.ellipse(0.54, 0.05, 0.82, 0.20, LEAF, shade(LEAF, 0.6))
    body = curve(lambda a: 0.40 - 0.13 * np.exp(-((min(a, 2 * np.pi - a) / 0.42) ** 2)) + 0.03 * np.cos(2 * a + np.pi))
    pen.polygon([(x, y + 0.09) for x, y in body], pen.colour, pen.edge)
    pen.ellipse(0.22, 0.36, 0.36, 0.56, pen.light)


def car(pen: Pen):
    pen.polygon([(0.24, 0.48), (0.34, 0.24), (0.68, 0.24), (0.82, 0.48)], pen.colour, pen.edge)
    pen.polygon([(0.31, 0.46), (0.38, 0.30), (0.49, 0.30), (0.49, 0.46)], (204, 232, 250), INK)
    pen.polygon([(0.54, 0.46), (0.54, 0.30), (0.65, 0.30), (0.74, 0.46)], (204, 232, 250), INK)
    pen.box(0.02, 0.45, 0.98, 0.74, pen.colour, pen.edge, radius=0.09)
    for x in (0.24, 0.76):
        pen.ellipse(x - 0.125, 0.60, x + 0.125, 0.85, INK)
        pen.ellipse(x - 0.055, 0.67, x + 0.055, 0.78, (206, 206, 210))


def umbrella(pen: Pen):
    pen.line([(0.5, 0.08), (0.5, 0.88), (0.47, 0.95), (0.40, 0.96), (0.36, 0.90)], BARK, 0.05)
    top = [(0.5 - 0.48 * np.cos(a), 0.52 - 0.46 * np.sin(a)) for a in np.linspace(0, np.pi, 40)]
    pen.polygon(top, pen.colour, pen.edge)
    gore = [(0.5 - 0.19 * np.cos(a), 0.52 - 0.45 * np.sin(a)) for a in np.linspace(0, np.pi, 30)]
    pen.polygon(gore, pen.light, pen.edge)


KINDS = {
    draw.__name__: draw
    for draw in (balloon, house, tree, star, heart, flower, boat, fish, mushroom, apple, car, umbrella)
}


@cache
def sprite(kind: str, colour: str, side: int) -> np.ndarray:  # (side, side, 4) float32
    """One thing, antialiased: RGB in [0, 255] and coverage in [0, 1], in a square of `side` pixels."""
    pen = Pen(side * SUPERSAMPLING, COLOURS[colour])
    KINDS[kind](pen)
    large = np.asarray(pen.image)  # black where nothing is drawn, so its colours need no weights
    rows = large.reshape(side, SUPERSAMPLING, -1).sum(1, dtype=np.uint16)
    blocks = rows.reshape(side, side, SUPERSAMPLING, 4).sum(2, dtype=np.uint16).astype(np.float32)
    mean = blocks / SUPERSAMPLING**2
    coverage = mean[..., 3:] / 255
    drawn = np.concatenate([mean[..., :3] / np.maximum(coverage, 1e-6), coverage], -1)
    drawn.setflags(write=False)
    return drawn
