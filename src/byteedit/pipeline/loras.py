"""LoRAs that say how they are to be used: loading one sets the pipeline's schedule, unloading or deleting sets it
back; one that is only disabled keeps it.

The weights are loaded by diffusers. What a LoRA may say is `schedule.Schedule`; one that says nothing changes nothing
but weights. Explicit arguments of a call go before it.
"""

from dataclasses import asdict, fields

from diffusers.loaders import StableDiffusionLoraLoaderMixin

from byteedit.schedule import Schedule


class Loras(StableDiffusionLoraLoaderMixin):
    """Methods of `ByteEditInpaintPipeline`; not for use on their own."""

    _before_loras: tuple[Schedule, frozenset[str]] | None = None  # the schedule, and what was fused, before one was set

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

    def load_lora_weights(self, pretrained_model_name_or_path_or_dict, adapter_name: str | None = None, **kwargs):
        """Load a LoRA as diffusers does, and take its schedule for the pipeline's own where it carries one.

        Of several LoRAs with a schedule the last one loaded counts, whatever their weights. Raises ValueError, before
        anything is loaded, where a schedule makes no sense.
        """
        source, schedule = pretrained_model_name_or_path_or_dict, None
        if not isinstance(source, dict):
            schedule = Schedule.of_lora(self.lora_state_dict(source, return_lora_metadata=True, **kwargs)[2])
        super().load_lora_weights(source, adapter_name, **kwargs)
        if schedule is not None:
            self._before_loras = self._before_loras or (self.schedule, frozenset(self.fused_loras))
            self.follow(schedule)

    def unload_lora_weights(self) -> None:
        """Take all LoRAs away, and their schedules: the one before them counts again, unless they were fused since."""
        super().unload_lora_weights()
        self._set_back()

    def delete_adapters(self, adapter_names: list[str] | str) -> None:
        """As diffusers does it; with the last LoRA the schedule goes, as if all were unloaded."""
        super().delete_adapters(adapter_names)
        if not any(self.get_list_adapters().values()):
            self._set_back()

    def _set_back(self) -> None:
        if self._before_loras is not None:
            schedule, fused = self._before_loras
            if fused == self.fused_loras:
                self.follow(schedule)
            self._before_loras = None
