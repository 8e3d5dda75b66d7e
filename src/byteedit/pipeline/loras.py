"""LoRAs that say how they are to be used: loading one sets the pipeline's schedule, choosing another sets that one's,
and without any it is set back; one that is only disabled keeps it.

The weights are loaded by diffusers. What a LoRA may say is `schedule.Schedule`; one that says nothing changes nothing
but weights. Explicit arguments of a call go before it.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from types import MappingProxyType

from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft.tuners.tuners_utils import BaseTunerLayer

from byteedit.pipeline import checks
from byteedit.schedule import Schedule


class Loras(StableDiffusionLoraLoaderMixin):
    """Methods of `ByteEditInpaintPipeline`; not for use on their own."""

    _before_loras: tuple[Schedule, frozenset[str]] | None = None  # the schedule, and what was fused, before one was set
    _schedules: Mapping[str, Schedule] = MappingProxyType({})  # by the name of the LoRA that carries it
    _followed: Schedule | None = None  # the one that counts, if it is a LoRA's

    @property
    def schedule(self) -> Schedule:
        """What a call does that asks for nothing else."""
        own = {field.name: self.config[field.name] for field in fields(Schedule) if field.name != "timestep_spacing"}
        return Schedule(**own, timestep_spacing=self.scheduler.config.get("timestep_spacing"))

    def follow(self, schedule: Schedule) -> None:
        """Make a schedule the pipeline's own: for calls that ask for nothing else, and for `save_pretrained`."""
        defaults = asdict(schedule)
        spacing = defaults.pop("timestep_spacing")
        self.register_to_config(**defaults)
        if spacing not in (None, self.scheduler.config.get("timestep_spacing")):
            self.scheduler = self.scheduler.from_config(self.scheduler.config, timestep_spacing=spacing)

    @classmethod
    def from_pipe(cls, pipeline, **kwargs):
        """As diffusers does it; the schedules of LoRAs that the parts carry go over with them."""
        made = super().from_pipe(pipeline, **kwargs)
        if isinstance(pipeline, Loras):
            made._before_loras, made._schedules = pipeline._before_loras, pipeline._schedules
            made._followed, made._merged_adapters = pipeline._followed, set(pipeline._merged_adapters)
        return made

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict,
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs,
    ):
        """Load a LoRA as diffusers does, and take its schedule for the pipeline's own where it carries one.

        Of several LoRAs the active ones are asked for theirs, as by `set_adapters`: diffusers makes the last one that
        is loaded the only active one. Raises ValueError, before anything is loaded, where a schedule makes no sense.
        """
        source, schedule = pretrained_model_name_or_path_or_dict, None
        if not isinstance(source, dict):
            schedule = Schedule.of_lora(self.lora_state_dict(source, return_lora_metadata=True, **kwargs)[2])
        before = self._adapters()
        super().load_lora_weights(source, adapter_name, hotswap=hotswap, **kwargs)
        names = self._adapters() - before or {adapter_name}  # one that is hot-swapped has the other's
        self._schedules = {name: its for name, its in self._schedules.items() if name not in names}
        if schedule is not None:
            checks.check_solver(schedule, self.scheduler)
            self._before_loras = self._before_loras or (self.schedule, frozenset(self.fused_loras))
            self._schedules |= dict.fromkeys(names, schedule)
        self._follow_active()

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights=None) -> None:
        """As diffusers does it; the schedule is that of the last one named that has one, else that before all LoRAs."""
        super().set_adapters(adapter_names, adapter_weights)
        self._follow_active()

    def unload_lora_weights(self) -> None:
        """Take all LoRAs away, and their schedules: the one before them counts again, unless they were fused since."""
        super().unload_lora_weights()
        self._set_back()

    def delete_adapters(self, adapter_names: list[str] | str) -> None:
        """As diffusers does it; the LoRAs that are active then are asked for their schedule."""
        super().delete_adapters(adapter_names)
        left = self._adapters()
        self._schedules = {name: its for name, its in self._schedules.items() if name in left}
        if left:
            self._follow_active()
        else:
            self._set_back()

    def _adapters(self) -> set[str]:
        """The names of all LoRAs that are loaded."""
        return {name for names in self.get_list_adapters().values() for name in names}

    def _active(self) -> list[str]:
        """The LoRAs that are active in any part of the pipeline; diffusers' own list is the last part's."""
        found = []
        for part in filter(None, (getattr(self, name, None) for name in self._lora_loadable_modules)):
            layer = next((layer for layer in part.modules() if isinstance(layer, BaseTunerLayer)), None)
            found += layer.active_adapters if layer else []
        return found

    def _follow_active(self) -> None:
        """Follow the last of the active LoRAs that has a schedule, unless it is followed already."""
        active = reversed(self._active())
        last = next((self._schedules[name] for name in active if name in self._schedules), None)
        if last == self._followed:
            return
        if last is not None:
            self.follow(last)
        elif not self._follow_before():
            return
        self._followed = last

    def _follow_before(self) -> bool:
        """Go back to the schedule before all LoRAs, unless they were fused; a scheduler that was set since stays."""
        schedule, fused = self._before_loras
        if fused != self.fused_loras:
            return False
        if self.schedule.timestep_spacing != self._followed.timestep_spacing:
            schedule = replace(schedule, timestep_spacing=None)
        self.follow(schedule)
        return True

    def _set_back(self) -> None:
        if self._followed is not None:
            self._follow_before()
        self._before_loras, self._schedules, self._followed = None, {}, None
