"""Looking on while a picture forms: a step's own guess at the finished picture, small and cheap, and the word to stop.

A hook keeps what the UNet saw and answered, so that no solver has to say what the clean latents are.
Stopping keeps that guess: the pipeline decodes it and pastes it in as if it were the end.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch.nn.functional as F
from torch import Tensor

from byteedit import diffusion
from byteedit.image import Window, to_uint8

SMALL = 32  # latents a side that are decoded for a preview
SHARE = 0.2  # of the time may be spent on previews


@dataclass(frozen=True, kw_only=True)
class Forming:
    """How far a picture is; `patch` shows what lies in `window`, in pixels of the result."""

    step: int
    steps: int
    patch: PIL.Image.Image | None = None
    window: Window | None = None


class Watch:
    """A context around one picture's making; the watch itself is the pipeline's `callback_on_step_end`.

    `windows`: what goes through the model in each round, in pixels of the result. `tell` gets a `Forming` a
    step. Once the file `stop` is there, the step that runs is the last.
    """

    def __init__(self, pipe, windows: Sequence[Window], tell: Callable[[Forming], None], stop: Path):
        self.pipe, self.windows, self.tell, self.stop = pipe, windows, tell, stop
        self.stopped_after: int | None = None
        self._round, self._seen, self._next_preview = -1, None, 0.0

    def __enter__(self):
        self._hook = self.pipe.unet.register_forward_hook(self._see)
        return self

    def __exit__(self, *error) -> None:
        self._hook.remove()

    def _see(self, unet, inputs: tuple, output: tuple) -> None:
        self._seen = inputs[0], inputs[1], output[0]

    def __call__(self, pipe, i: int, t: Tensor, tensors: dict) -> dict[str, Tensor]:
        """After a step: tell how far it is, and stop where that is asked for."""
        self._round += i == 0
        done, steps = self._round * pipe.num_timesteps + i + 1, len(self.windows) * pipe.num_timesteps
        if self.stop.exists() and done < steps:
            pipe._interrupt, self.stopped_after = True, done
            return {"latents": self.guess()}
        self.tell(Forming(step=done, steps=steps, **self._preview()))
        return tensors

    def guess(self) -> Tensor:
        """What the last step takes the clean latents for: (B, 4, h, w)."""
        sample, timestep, output = self._seen
        if self.pipe.do_classifier_free_guidance:
            negative, positive = output.chunk(2)
            output = negative + self.pipe.guidance_scale * (positive - negative)
        return diffusion.x0_of(self.pipe.scheduler, output, timestep, sample[: len(output), :4]).to(sample.dtype)

    def _preview(self) -> dict:
        began = time.perf_counter()
        if began < self._next_preview:
            return {}
        patch = small_picture(self.pipe.vae, self.guess()[:1])
        spent = time.perf_counter() - began
        self._next_preview = began + spent / SHARE
        return {"patch": patch, "window": self.windows[self._round]}


def small_picture(vae, latents: Tensor) -> PIL.Image.Image:
    """A quick look at latents (1, 4, h, w), decoded at 32 latents a side at most."""
    scale = min(1.0, SMALL / max(latents.shape[-2:]))
    small = F.interpolate(latents.float(), scale_factor=scale, mode="area") if scale < 1 else latents
    return PIL.Image.fromarray(to_uint8(diffusion.decode(vae, small.to(latents.dtype)))[0])
