"""What is done to a row's pictures, each time anew, so that a reward learns what they show and not which they are."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

__all__ = ["UNCHANGED", "Augmentation"]

FARTHEST = 2.0  # standard deviations of a tint


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Mirrored, moved and tinted, all pictures of a row alike: so the better one of two stays the better one."""

    mirror: float = 0.0
    """Share of rows, in [0, 1], that are mirrored, left for right."""

    shift: int = 0
    """Pixels by which a row is moved at most, across and down; its edges are reflected. What was generated stays in
    view, and at a border that it touches."""

    tint: float = 0.0
    """Standard deviation of a contrast's distance from 1, and of what is added to each colour, in [-1, 1]."""

    def __post_init__(self):
        for name, most in (("mirror", 1), ("shift", np.inf), ("tint", np.inf)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; give {'a share in [0, 1]' if most == 1 else '0 or more'}."
                )

    def __call__(
        self, images: dict[str, Tensor], maps: dict[str, Tensor], generated: Tensor | None, rng: Generator
    ) -> dict[str, Tensor]:
        """Images (3, H, W) in [-1, 1] and maps (1, H, W) that go with them, by name, all of one size -> the same.

        `generated` (H, W) bool says which pixels were; None: not known, and a shift may cut them.
        """
        found = images | maps
        if rng.random() < self.mirror:
            found = {name: part.flip(-1) for name, part in found.items()}
            generated = None if generated is None else generated.flip(-1)
        if self.shift:
            height, width = next(iter(found.values())).shape[-2:]
            down, right = self._draw(height, generated, 0, rng), self._draw(width, generated, 1, rng)
            found = {name: moved(part, down, right) for name, part in found.items()}
        if self.tint:
            contrast, *colour = np.clip(rng.normal(0, self.tint, 4), -FARTHEST * self.tint, FARTHEST * self.tint)
            added = torch.tensor(colour, dtype=torch.float32)[:, None, None]
            found |= {name: ((1 + contrast) * found[name] + added).clamp(-1, 1) for name in images}
        return found

    def _draw(self, size: int, generated: Tensor | None, along: int, rng: Generator) -> int:
        """A shift along an axis of `size` pixels, towards its end."""
        before = after = min(self.shift, size - 1)
        if generated is not None and generated.any():
            places = generated.any(1 - along).nonzero()
            room = int(places[0]), size - 1 - int(places[-1])
            before, after = (min(each, before) if all(room) else 0 for each in room)
        return int(rng.integers(-before, after + 1))


UNCHANGED = Augmentation()


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """(C, H, W), moved by less than its size; the place left behind is reflected."""
    for dim, by in ((-2, down), (-1, right)):
        last = image.shape[dim] - 1
        at = (torch.arange(last + 1) - by).abs()
        image = image.index_select(dim, torch.where(at > last, 2 * last - at, at))
    return image
