"""What every training may set, once: fields for the command line, with YAML presets beneath.

A stage adds its own fields in a subclass. `read` makes settings from a preset and overrides. Loads no torch.
"""

import difflib
import os
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import MISSING, dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

__all__ = ["Settings", "changed", "check", "check_watched", "explain", "from_command_line", "read"]

Kind = TypeVar("Kind")
LAUNCHED = {
    "mixed_precision": ("ACCELERATE_MIXED_PRECISION", "no"),
    "accumulate": ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1"),
}
"""Settings that `accelerate launch` passes on, too: in which variable, and what it says where nobody chose."""

OF_DIFFUSERS = {
    "learning_rate": "lr",
    "max_train_steps": "steps",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulate",
    "lr_warmup_steps": "warmup",
    "max_grad_norm": "clip",
}
"""Settings as the training scripts of diffusers call them, and as they are called here."""


@dataclass(kw_only=True)
class Settings:
    """The settings of the loop. Steps are optimiser steps."""

    free: ClassVar[frozenset[str]] = frozenset(
        ("output", "steps", "workers", "log_every", "checkpoint_every", "keep", "patience", "trackers")
    )
    """Settings that may change when a run goes on."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Settings whose default is a name, and which may be left empty besides."""

    output: Path
    """Folder of checkpoints, the log and what comes out. A run that finds its checkpoints there goes on from them."""
    steps: int
    """Steps of the whole run; the schedule of the learning rate spans them."""
    batch_size: int
    """Rows that a process takes at once. A step sees batch_size x accumulate x processes rows."""
    lr: float
    """Peak learning rate of AdamW."""
    accumulate: int = 1
    """Batches whose gradients are summed up to one step."""
    warmup: int = 0
    """Steps in which the learning rate rises from 0."""
    lr_scheduler: Literal["constant_with_warmup", "linear", "cosine"] = "cosine"
    """Course of the learning rate after warm-up; linear and cosine end at 0. By diffusers.optimization."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""
    clip: float = 1.0
    """Largest norm of the gradient of an objective's parameters; a longer one is shortened to it."""
    ema_decay: float = 0.0
    """Decay of the running mean of the weights, which then is what is validated and kept; 0 does without. Early on it
    is less, (1 + n) / (10 + n) at step n, as diffusers has it: 0.98 from step 440 on, 0.9999 from 90,000 on."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Precision of the forward pass. The trained parameters stay in float32."""
    seed: int = 0
    """Seed of the order of the data, of what is drawn for each row, and of dropout."""
    workers: int = 0
    """Processes that read data; 0 reads it in the training process. Does not change what is read."""
    log_every: int = 50
    """Steps between two lines of log.jsonl; a line holds the means since the last one, or since a run went on."""
    validate_every: int = 0
    """Steps between validations; 0 validates after the last step only."""
    watch: str = ""
    """Measure of the validation, higher is better, whose best weights are kept; without, the last weights are."""
    patience: int = 0
    """Stop after so many validations without a new best `watch`; 0 never stops early."""
    checkpoint_every: int = 500
    """Steps between checkpoints; one more is written after the last step."""
    keep: int = 2
    """Checkpoints that are kept; older ones are deleted."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate beside log.jsonl, where installed: tensorboard, wandb, ..."""

    def __post_init__(self):
        self.output = Path(self.output)
        self.betas, self.trackers = tuple(self.betas), tuple(self.trackers)
        if len(self.betas) != 2:
            raise ValueError(f"betas is {self.betas}; give the two decay rates of AdamW, such as [0.9, 0.999].")
        for name in ("lr", "warmup", "weight_decay", "workers", "validate_every", "patience"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}; give a rate below 1, such as 0.999, or 0 for no mean.")
        if self.patience and not (self.watch and self.validate_every):
            raise ValueError("patience needs a measure to watch: set watch and validate_every, or patience to 0.")

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each setting that has one."""
        made = {field.name: field.default_factory() for field in fields(cls) if field.default_factory is not MISSING}
        return made | {field.name: field.default for field in fields(cls) if field.default is not MISSING}

    def course(self) -> dict[str, Any]:
        """The settings that decide what each step does. A run can go on only where these are what they were."""
        names = [setting.name for setting in fields(self) if setting.name not in self.free]
        return {name: getattr(self, name) for name in names}


def check(settings: Settings) -> None:
    """Raise a ValueError where nothing would be learnt with these settings; warn where accelerate is told otherwise."""
    for name in ("steps", "batch_size", "accumulate", "keep"):
        if (value := getattr(settings, name)) < 1:
            raise ValueError(f"{name} is {value}; give 1 or more.")
    if not settings.clip > 0:
        raise ValueError(f"clip is {settings.clip}; give a norm above 0, such as 1, or 1e9 to shorten no gradient.")
    for name, (variable, usual) in LAUNCHED.items():
        told, own = os.environ.get(variable, usual), str(getattr(settings, name))
        if told not in (usual, own):
            message = f"accelerate is configured for {name} {told}; what counts is the setting, {own}."
            warnings.warn(message, stacklevel=3)


def check_watched(watch: str, measured: Collection[str]) -> None:
    """Raise a ValueError where what is watched is none of the measures."""
    higher = [name for name in measured if name != "loss"]
    if watch and watch not in higher:
        raise ValueError(f"watch is {watch!r}; of the validation's measures, higher is better for {', '.join(higher)}.")


def read(kind: type[Kind], preset: Path, overrides: Sequence[str] = ()) -> Kind:
    """Settings of `kind` from a YAML file of its fields, with `name=value` overrides, values in YAML.

    `like: OTHER.yaml` takes over the values of that file beside it that are not given here; it may be like a third.

    Raises:
        ValueError: a name is no field, a field without default has no value, or a value is of the wrong kind.
    """
    import yaml

    values = _said(Path(preset))
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"expected name=value, got {override!r}; write for example lr=1e-4.")
        values[name] = yaml.safe_load(value)
    checked = _checked(kind, values, preset)
    needed = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}
    if missing := sorted(needed - set(checked)):
        raise ValueError(f"{preset}: {', '.join(missing)} must be given, there or as name=value.")
    return kind(**checked)


def from_command_line(kind: type[Kind], usage: str) -> Kind:
    """Settings of `kind` from the process's arguments, a preset and then options.

    Exits with `usage` without a preset, and with what is wrong where it cannot be read.
    """
    import tyro

    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"{usage}\nName a preset first.")
    try:
        return tyro.cli(kind, default=read(kind, Path(sys.argv[1])), args=sys.argv[2:])
    except (ValueError, OSError) as error:
        sys.exit(str(error))


def explain(settings: Any) -> str:
    """Every setting with its kind, meaning and value, as the help of a command would list them, but for the dashes."""
    import tyro

    with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
        tyro.cli(type(settings), default=settings, args=["--help"], use_underscores=True)
    rows = printed.getvalue().splitlines()
    names = {setting.name for setting in fields(settings)}
    first = next(place for place, row in enumerate(rows) if row[4:].partition(" ")[0] in names)
    return "\n".join(f"    {row[4:]}".rstrip() if row[2:4] == "--" else row.rstrip() for row in rows[first:])


def _said(preset: Path, before: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A preset's values, over those of the one it is `like`; `before`: the presets that led here."""
    import yaml

    if preset in before:
        raise ValueError(f"{before[0]} is like {', which is like '.join(map(str, (*before[1:], preset)))}.")
    try:
        values = yaml.safe_load(preset.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"there is no preset {preset}; byteedit's own lie in its examples/configs/.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{preset} is no YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict) or not isinstance(values.get("like", ""), str):
        raise ValueError(f"{preset} holds no settings; write a name and its value on each line, as in lr: 1e-4.")
    like = values.pop("like", None)
    return _said(preset.parent / like, (*before, preset)) | values if like else values


def changed(settings: Kind, values: Mapping[str, Any], where: str) -> Kind:
    """The settings with other `values`, which are checked as those of a preset are; `where` they stand, for errors."""
    return replace(settings, **_checked(type(settings), values, where))


def _checked(kind: type, values: Mapping[str, Any], where: str | Path) -> dict[str, Any]:
    """The values with their types, if there are fields of their names."""
    known = {setting.name: setting for setting in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        near = [difflib.get_close_matches(OF_DIFFUSERS.get(name, name), known, 1) for name in unknown]
        meant = ", ".join(name for names in near for name in names)
        hint = f"perhaps {meant}?" if meant else f"there are {', '.join(known)}."
        raise ValueError(f"{where}: no settings are called {', '.join(unknown)}; {hint}")
    empty = {name for name in known if known[name].default == "" or name in kind.optional}
    given = {name: "" if value is None and name in empty else value for name, value in values.items()}
    return {name: _typed(name, known[name].type, value) for name, value in given.items()}


def _typed(name: str, kind: Any, value: Any) -> Any:
    """Numbers as numbers, since YAML reads 1e-5 as a word, and nothing as an empty choice or list, where there is one;
    choices, lists and truth checked; everything else as it is.
    """
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if value is False and "no" in get_args(kind):  # which is what YAML takes it for
        return "no"
    if value is None and "" in get_args(kind):
        return ""
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ValueError(f"{name} is {value!r}, expected {', '.join(map(repr, get_args(kind)))}.")
    if get_origin(kind) is tuple and value is None:
        return ()
    if get_origin(kind) is tuple and not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {value!r}, expected a list, such as [{value}].")
    if kind is str and value is None:
        raise ValueError(f"{name} is empty; say what it is, or leave the line out.")
    if kind is Path and not (value and isinstance(value, str | Path)):
        raise ValueError(f"{name} is {value!r}, expected a path.")
    if get_origin(kind) is dict and not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r}, expected names with values, as in {{name: value}}.")
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected true or false.")
    if float in get_args(kind) and isinstance(value, dict):
        return {key: _read(part) for key, part in value.items()}
    if float in get_args(kind):
        return tuple(map(_read, value)) if isinstance(value, list | tuple) else _read(value)
    if kind not in (int, float):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, expected a number.") from None
    if kind is int and not number.is_integer():
        raise ValueError(f"{name} is {value!r}, expected a whole number.")
    return kind(number)


def _read(value: Any) -> Any:
    """A number that YAML read as a word, such as 1e-5, as a number; all else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
