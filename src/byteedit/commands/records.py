"""Commands as records of pictures, and records as commands again: what `--replay` rests on."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

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
    """The command of a record, with its inputs where they lie now."""
    inputs = find_inputs(record, result)
    kind = COMMANDS.get(record.command)
    if "stopped" in record.settings:
        raise ValueError(f"{result} was stopped before it was finished, so it cannot be made again; its input can.")
    if kind is None or not set(record.settings) <= {field.name for field in fields(kind)}:
        raise ValueError(f"{result} was made by byteedit {record.versions.get('byteedit')}, which knew other options.")
    settings = dict(record.settings)
    for name in {"images", "mask"} & set(settings):
        settings[name] = tuple(inputs[path] for path in settings[name])
    loras = [parse_lora(text) for text in settings["lora"]]
    settings["lora"] = tuple(f"{_found(path, inputs)}:{weight}" for path, weight in loras)
    return kind(**settings)


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
