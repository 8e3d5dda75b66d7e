"""Commands as records of pictures, and records as commands again: what `--replay` rests on."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from byteedit.commands.command import UsageError
from byteedit.commands.pictures import Edit, Erase, Outpaint, PictureCommand, parse_lora
from byteedit.files import sha256
from byteedit.provenance import Record, find_inputs, versions

COMMANDS = {"edit": Edit, "erase": Erase, "outpaint": Outpaint}
WEIGHTS = ".safetensors"
REPLAY_OPTIONS = ("replay", "output", "device", "debug")  # all others come from the record


def describe(command: PictureCommand, image: Path, mask: Path | None, seed: int) -> Record:
    """The record of one of a command's pictures: settings that make it alone, and its inputs."""
    alone = replace(command, images=(image,), seed=seed, num_images=1)
    if mask is not None:
        alone = replace(alone, mask=(mask,))
    settings = {name: _plain(value) for name, value in asdict(alone).items() if name not in REPLAY_OPTIONS}
    loras = [Path(parse_lora(text)[0]) for text in command.lora]
    within = [file for lora in loras if lora.is_dir() for file in sorted(lora.glob(f"*{WEIGHTS}"))]
    files = [image, *filter(None, [mask]), *loras, *within]
    name = next(name for name, kind in COMMANDS.items() if type(command) is kind)
    inputs = {str(file): sha256(file) for file in files if file.is_file()}
    return Record(command=name, settings=settings, inputs=inputs, versions=versions())


def _plain(value: Any) -> Any:
    """A setting as JSON has it: paths as text, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def restore(record: Record, result: Path) -> PictureCommand:
    """The command of a record, which makes one picture, with its inputs where they lie now.

    Raises:
        ValueError: `result` was not finished, or its record is of no such command, or an input is not what it was.
    """
    settings, kind = dict(record.settings), COMMANDS.get(record.command)
    if "stopped" in settings:
        raise ValueError(f"{result} was stopped before it was finished, so it cannot be made again; its input can.")
    if kind is None or not set(settings) <= {field.name for field in fields(kind)} - set(REPLAY_OPTIONS):
        raise ValueError(f"{result} was made by byteedit {record.versions.get('byteedit')}, which knew other options.")
    hints = get_type_hints(kind)
    if strange := [name for name, value in settings.items() if not _fits(value, hints[name])]:
        value = f"{settings[strange[0]]!r:.60}"
        raise ValueError(f"{result}: its record's {strange[0]} is {value}, which is not as byteedit writes it.")
    named = [*settings.get("images", []), *settings.get("mask", [])]
    if len(settings.get("images", [])) != 1 or not set(named) <= record.inputs.keys():
        raise ValueError(f"{result}: its record does not name the one picture that it was made from.")
    inputs = find_inputs(record, result)
    for name in {"images", "mask"} & set(settings):
        settings[name] = tuple(inputs[path] for path in settings[name])
    try:
        loras = [parse_lora(text) for text in settings.get("lora", [])]
        settings["lora"] = tuple(f"{_found(path, inputs)}:{weight}" for path, weight in loras)
        command = kind(**settings | {"num_images": 1})
        alone = {"mask_from_alpha": False} if settings.get("mask") else {}  # the editor's records may have both
        replace(command, output=result, **alone).check()
    except UsageError as error:
        raise ValueError(f"{result}: its record makes no command ({error})") from error
    return command


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from JSON, where paths are text and tuples are lists, is of a setting's type."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if options := get_args(hint):
        return any(_fits(value, option) for option in options)
    return type(value) in ((int, float) if hint is float else (hint,))


def _found(lora: str, inputs: dict[str, Path]) -> str | Path:
    """Where a LoRA lies now, a file or the folder of one; itself where it was neither, but a name."""
    place = Path(lora)
    within = [found.parent for name, found in inputs.items() if Path(name).parent == place and found.suffix == WEIGHTS]
    return inputs.get(str(place)) or (within[0] if within else lora)


def what_changed(record: Record) -> str:
    """Why a replay may have come out differently."""
    now = versions()
    changed = [f"{name} was {was}, is {now.get(name)}" for name, was in record.versions.items() if was != now.get(name)]
    return "; ".join(changed) or "the versions are the same; the device, the processor or the model may be another"
