"""The eight places of the picturebook, as pure functions of (rng, x, y).

`x` (1, W) and `y` (H, 1) are pixel coordinates of one endless drawing, so a wider canvas shows more
of the same place and never another one. All randomness is drawn before the first pixel is painted.
Edges are antialiased analytically: coverage falls from 1 to 0 over one pixel.
"""

import numpy as np
from numpy.random import Generator

HEIGHT = 128  # the page that the layouts are made for, in pixels


def cover(distance: np.ndarray) -> np.ndarray:
    """Coverage of a half-plane from the signed distance to its edge in pixels, positive inside."""
    return np.clip(distance + 0.5, 0, 1)


def paint(page: np.ndarray, colour, coverage: np.ndarray) -> None:
    """Lay `colour` over `page` (H, W, 3), in place, with `coverage` (H, W) in [0, 1], where there is any."""
    rows, columns = (np.flatnonzero(coverage.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    shade = np.broadcast_to(np.asarray(colour, np.float32), page.shape)[part]
    page[part] += coverage[part][..., None] * (shade - page[part])


def gradient(x, y, top, bottom, height: float = HEIGHT) -> np.ndarray:  # (H, W, 3)
    """A page that goes from `top` at y = 0 to `bottom` at y = `height`."""
    t = np.clip(y / height, 0, 1)[..., None]
    column = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    return np.repeat(column, x.shape[1], axis=1).astype(np.float32)


def waves(rng: Generator, x, level: float, swing: float, length: float) -> np.ndarray:  # (1, W)
    """A rolling horizon: two sines about `level`, `swing` pixels high and `length` pixels long."""
    phases = rng.uniform(0, 2 * np.pi, 2)
    stretch = rng.uniform(0.85, 1.2)
    k = 2 * np.pi / (length * stretch)
    return level + swing * (np.sin(k * x + phases[0]) + 0.4 * np.sin(2.1 * k * x + phases[1]))


def disc(x, y, cx: float, cy: float, radius: float) -> np.ndarray:  # (H, W)
    return cover(radius - np.hypot(x - cx, y - cy))


def glow(x, y, cx: float, cy: float, radius: float) -> np.ndarray:  # (H, W)
    return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))


def clouds(rng: Generator, page, x, y, colour) -> None:
    """Three soft clouds at places drawn from a strip three pages wide."""
    for cx in np.array([-64, 64, 192]) + rng.uniform(-44, 44, 3):
        cy, size = rng.uniform(14, 36), rng.uniform(6, 9)
        puffs = [(-1.3, 0.25, 0.75), (0, -0.2, 1.1), (1.25, 0.25, 0.8)]
        distance = np.max([size * r - np.hypot(x - cx - size * dx, y - cy - size * dy) for dx, dy, r in puffs], axis=0)
        flat = np.minimum(distance, cy + 0.75 * size - y)
        paint(page, colour, 0.9 * cover(flat))


def meadow(rng, x, y):
    far = waves(rng, x, 74, 5, 118)
    near = waves(rng, x, 90, 4.5, 150)
    page = gradient(x, y, (104, 178, 240), (220, 240, 252), 80)
    clouds(rng, page, x, y, (253, 254, 255))
    paint(page, (142, 200, 108), cover(y - far))
    paint(page, np.array((96, 172, 78)) - np.clip((y - 84) / 44, 0, 1)[..., None] * (28, 30, 22), cover(y - near))
    return page


def desert(rng, x, y):
    far = waves(rng, x, 72, 6, 130)
    near = waves(rng, x, 94, 5, 160)
    sun_x, sun_y = rng.uniform(20, 108), rng.uniform(18, 34)
    page = gradient(x, y, (126, 196, 208), (252, 232, 190), 84)
    paint(page, (255, 244, 190), 0.5 * glow(x, y, sun_x, sun_y, 18))
    paint(page, (255, 240, 170), disc(x, y, sun_x, sun_y, 10))
    paint(page, (240, 204, 136), cover(y - far))
    paint(page, np.array((228, 182, 108)) - np.clip((y - 90) / 38, 0, 1)[..., None] * (14, 20, 18), cover(y - near))
    return page


def night(rng, x, y):
    far = waves(rng, x, 84, 6, 120)
    near = waves(rng, x, 104, 4, 150)
    moon_x, moon_y = rng.uniform(20, 108), rng.uniform(18, 34)
    stars = rng.uniform((-128, 4), (256, 70), (30, 2))
    page = gradient(x, y, (18, 20, 62), (70, 74, 140), 100)
    paint(page, (190, 190, 220), 0.35 * glow(x, y, moon_x, moon_y, 17))
    for star_x, star_y in stars:
        paint_near(page, x, y, star_x, star_y, 1.1, (236, 236, 250))
    paint(page, (250, 244, 214), disc(x, y, moon_x, moon_y, 11))
    paint(page, (232, 224, 190), disc(x, y, moon_x - 3.5, moon_y - 2, 2.4))
    paint(page, (232, 224, 190), disc(x, y, moon_x + 3.5, moon_y + 3.5, 1.9))
    paint(page, (38, 62, 96), cover(y - far))
    paint(page, (22, 42, 62), cover(y - near))
    return page


def paint_near(page, x, y, cx, cy, radius, colour) -> None:
    """Paint a small disc, touching only the pixels around it."""
    columns = np.flatnonzero(np.abs(x[0] - cx) < radius + 1)
    rows = np.flatnonzero(np.abs(y[:, 0] - cy) < radius + 1)
    if len(columns) and len(rows):
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        paint(page[part], colour, disc(x[:, part[1]], y[part[0]], cx, cy, radius))


def sunset(rng, x, y):
    sun_x, horizon = rng.uniform(28, 100), rng.uniform(66, 74)
    page = gradient(x, y, (94, 78, 156), (255, 176, 104), horizon)
    paint(page, (255, 214, 130), 0.55 * glow(x, y, sun_x, horizon, 24))
    paint(page, (255, 232, 150), disc(x, y, sun_x, horizon, 13))
    sea = np.array((206, 116, 112)) - np.clip((y - horizon) / 58, 0, 1)[..., None] * (128, 52, -6)
    paint(page, sea, np.broadcast_to(cover(y - horizon), page.shape[:2]))
    width = 7 + 0.14 * (y - horizon) + 2.5 * np.sin(0.7 * (y - horizon))
    paint(page, (255, 210, 136), 0.6 * cover(width - np.abs(x - sun_x)) * cover(y - horizon))
    return page


def snow(rng, x, y):
    near = waves(rng, x, 92, 4, 140)
    peaks = np.array([-90, -20, 50, 120, 190]) + rng.uniform(-14, 14, 5)
    heights = rng.uniform(38, 54, 5)
    page = gradient(x, y, (150, 190, 230), (236, 242, 250), 92)
    for peak_x, peak_y in zip(peaks, heights, strict=True):
        slope = 0.72 * np.abs(x - peak_x)
        paint(page, (134, 158, 196), cover((y - peak_y - slope) / 1.23))
        cap = np.minimum(y - peak_y - slope, peak_y + 11 + 2.5 * np.sin(0.55 * (x - peak_x)) - y)
        paint(page, (250, 252, 255), cover(cap / 1.23))
    paint(page, np.array((240, 245, 252)) - np.clip((y - 92) / 36, 0, 1)[..., None] * (26, 18, 8), cover(y - near))
    return page


def beach(rng, x, y):
    horizon, shore = rng.uniform(54, 60), waves(rng, x, 88, 3, 110)
    page = gradient(x, y, (110, 196, 244), (232, 248, 252), horizon)
    clouds(rng, page, x, y, (254, 255, 255))
    sea = np.array((34, 122, 184)) + np.clip((y - horizon) / 32, 0, 1)[..., None] * (58, 70, 30)
    paint(page, sea, np.broadcast_to(cover(y - horizon), page.shape[:2]))
    paint(page, (250, 252, 250), cover(y - shore + 4))
    paint(page, np.array((246, 222, 166)) - np.clip((y - 88) / 40, 0, 1)[..., None] * (10, 18, 28), cover(y - shore))
    return page


def floor(page, x, y, top: float, colour) -> None:
    """A wooden floor below a pale skirting board, its boards 13 pixels deep."""
    paint(page, (240, 230, 214), np.broadcast_to(cover(y - top + 6), page.shape[:2]))
    paint(page, colour, np.broadcast_to(cover(y - top), page.shape[:2]))
    seam = np.abs((y - top) % 13 - 6.5)
    paint(page, np.asarray(colour) * 0.8, np.broadcast_to(cover(y - top) * cover(seam - 6), page.shape[:2]))


def brick(rng, x, y):
    top, shift = rng.uniform(94, 104), rng.uniform(0, 22)
    base = np.array([(196, 118, 98), (206, 180, 150), (150, 158, 178)][rng.integers(3)], np.float32)
    page = np.empty((y.shape[0], x.shape[1], 3), np.float32)
    page[:] = base
    row = np.floor(y / 11)
    mortar_y = np.abs(y % 11 - 5.5)
    mortar_x = np.abs((x + shift + 11 * (row % 2)) % 22 - 11)
    paint(page, base + (255 - base) * 0.42, np.maximum(cover(mortar_y - 5.0), cover(mortar_x - 10.5)))
    floor(page, x, y, top, (150, 102, 66))
    return page


def wallpaper(rng, x, y):
    top, shift = rng.uniform(92, 102), rng.uniform(0, 24)
    light, dark = [
        ((252, 236, 214), (244, 212, 190)),
        ((220, 238, 226), (190, 220, 206)),
        ((232, 228, 246), (208, 202, 234)),
    ][rng.integers(3)]
    page = np.empty((y.shape[0], x.shape[1], 3), np.float32)
    page[:] = light
    stripe = np.abs((x + shift) % 24 - 12)
    paint(page, dark, np.broadcast_to(cover(6 - stripe), page.shape[:2]))
    floor(page, x, y, top, (176, 128, 84))
    return page


PLACES = {
    "in a green meadow": meadow,
    "in the desert": desert,
    "at night": night,
    "at sunset": sunset,
    "in the snow": snow,
    "on the beach": beach,
    "by a brick wall": brick,
    "in a cosy room": wallpaper,
}
BACKGROUNDS = {draw.__name__: phrase for phrase, draw in PLACES.items()}
_DRAW = {draw.__name__: draw for draw in PLACES.values()}


def background(name: str, seed: int, box: tuple[int, int, int, int]) -> np.ndarray:  # (H, W, 3) float32, 0..255
    """The place `name` in the variant `seed`, seen through `box` (left, top, right, bottom) in pixels."""
    left, top, right, bottom = box
    x = np.arange(left, right, dtype=np.float32)[None] + 0.5
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5
    return np.clip(_DRAW[name](np.random.default_rng(seed), x, y), 0, 255)
