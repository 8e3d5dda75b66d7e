"""How a checkpoint or a LoRA is to be denoised where a call does not say: steps, spacing, start, guidance, noise.

A checkpoint says it in its model_index.json and its scheduler's config. A LoRA says it in its file's metadata, among
the rank and alpha that diffusers keeps there, under names of their own that diffusers passes over. The pipeline follows
either (`pipeline.loras`); a training that makes few steps enough writes it (`training.adapters`). Loads no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

__all__ = ["Schedule"]

INITS = (None, "noise", "masked", "image")
SPACINGS = (None, "trailing", "leading", "linspace")
PREFIX = "schedule."  # of the names in a LoRA's metadata


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Defaults of a call, by the names that they have there.

    Raises:
        ValueError: a value is out of range, or start and strength contradict each other.
    """

    num_inference_steps: int  # of the whole schedule
    guidance_scale: float  # 1 and below: the UNet is asked once a step
    strength: float = 1.0  # share of the steps that is run, in (0, 1]
    init: str | None = None  # what is noised where they begin; None: noise at strength 1, else image
    timestep_spacing: str | None = None  # None: as the scheduler has it
    noise_scale: float = 1.0  # how much of its noise each step hands on
    guidance_end: float = 1.0  # share of the steps that are run after which none is guided, in (0, 1]

    def __post_init__(self):
        strength, steps, init = self.strength, self.num_inference_steps, self.init
        if not (isinstance(strength, Real) and 0 < strength <= 1):
            what = "keeps the picture as it is, so there is nothing to do" if strength == 0 else "is out of range"
            raise ValueError(f"strength={strength} {what}; the value of strength should be above 0 and at most 1.")
        if not (isinstance(steps, Integral) and steps >= 1):
            raise ValueError(f"num_inference_steps is {steps!r}; give a whole number, 1 or more.")
        if init not in INITS:
            raise ValueError(f"init is {init!r}; give 'noise', 'masked', 'image', or None to let strength decide.")
        if init == "noise" and strength < 1:
            raise ValueError(
                f"init='noise' starts from pure noise, strength={strength} does not; use init='masked' or strength=1."
            )
        if not (isinstance(self.guidance_scale, Real) and math.isfinite(self.guidance_scale)):
            raise ValueError(f"guidance_scale is {self.guidance_scale}; give a finite number, 1 for no guidance.")
        if self.timestep_spacing not in SPACINGS:
            raise ValueError(
                f"timestep_spacing is {self.timestep_spacing!r}; give 'trailing', 'leading' or 'linspace'."
            )
        if not (isinstance(self.noise_scale, Real) and 0 < self.noise_scale < math.inf):
            raise ValueError(f"noise_scale is {self.noise_scale}; give a number above 0, 1 for all of the noise.")
        if not (isinstance(self.guidance_end, Real) and 0 < self.guidance_end <= 1):
            raise ValueError(f"guidance_end is {self.guidance_end}; give a share of the steps, above 0 and at most 1.")

    @classmethod
    def trained(cls, T: int, T1: int, init: str, timestep_spacing: str | None) -> "Schedule":
        """That of a model tuned on rollouts of T steps which begin at step T1 with `init` noised; without guidance.

        From pure noise (init "noise") all T steps are run.
        """
        steps = {"num_inference_steps": T, "guidance_scale": 1.0, "timestep_spacing": timestep_spacing}
        if init == "noise":
            return cls(**steps)
        share = T1 / T
        # a pipeline runs int(T * strength) steps, for which 15 / 22 lies a hair too low
        strength = share if int(T * share) == T1 else math.nextafter(share, 1.0)
        return cls(**steps, strength=strength, init=init)

    @classmethod
    def of_lora(cls, metadata: Mapping[str, Any] | None) -> "Schedule | None":
        """What a LoRA's metadata, as diffusers reads it, say; None where they say nothing."""
        said = {name.removeprefix(PREFIX): value for name, value in (metadata or {}).items() if name.startswith(PREFIX)}
        if not said:
            return None
        said = {"noise_scale": 1.0, "guidance_end": 1.0} | said  # the first LoRAs did not say
        known = {field.name for field in fields(cls)}
        if said.keys() != known:
            wrong = ", ".join(sorted(said.keys() ^ known))
            raise ValueError(
                f"The LoRA's schedule does not fit this version of byteedit ({wrong}); load it with another."
            )
        return cls(**said)

    def to_lora(self) -> dict[str, Any]:
        """What `of_lora` reads, for a LoRA's metadata."""
        return {f"{PREFIX}{name}": value for name, value in asdict(self).items()}

    def asked(self, **asked: Any) -> "Schedule":
        """This schedule, but as a call asks for it where that is not None.

        Noise that is asked for takes all steps. Other numbers of steps hand on as much noise together as its own do.
        """
        asked = {name: value for name, value in asked.items() if value is not None}
        if asked.get("init") == "noise":
            asked = {"strength": 1.0} | asked
        made = replace(self, **asked)
        share = self.num_inference_steps / made.num_inference_steps
        return replace(made, **{"noise_scale": self.noise_scale**share} | asked)
