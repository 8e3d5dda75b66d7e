"""Each part left out in turn: short runs of feedback learning or of acceleration, and the gold judge on each.

Variants, each with what differs from the preset, stand in ablations.yaml. Every run is one of `train_pefl.py` or
`train_fast.py`, every judgement one of `compare.py`, against the checkpoint at 20 steps with guidance. All of them go
on where they were when this is started again. With `--record`, figures are filed as ablation.STAGE.VARIANT.TASK.AXIS.

    python examples/picturebook/ablate.py boost --record
    python examples/picturebook/ablate.py fast --only full at_once --limit 24
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
import yaml

EXAMPLES = Path(__file__).resolve().parents[1]
PRESETS = EXAMPLES / "configs" / "picturebook"
OPPONENT = "baseline20"


@dataclass(frozen=True, kw_only=True)
class Settings:
    stage: tyro.conf.Positional[Literal["boost", "fast"]]
    """What is taken apart."""
    only: tuple[str, ...] = ()
    """Variants; without, all of them."""
    set: tuple[str, ...] = ()
    """Settings of all runs that differ, as in --set batch_size=2."""
    variants: Path = PRESETS / "ablations.yaml"
    """File of the variants."""
    split: str = "validation"
    """Split of PictureBench that is judged; the test split is kept for what is reported of the whole."""
    limit: int = 40
    """Cases of each task."""
    output: Path = Path(".runs/ablations")
    """Folder of the runs, STAGE/VARIANT, and of the answers."""
    processes: int = 2
    """Processes of each run."""
    record: bool = False
    """File the figures in docs/results.json."""


def main(settings: Settings) -> None:
    stage = yaml.safe_load(settings.variants.read_text())[settings.stage]
    asked = stage.get("asked", {})
    names = settings.only or (*stage["variants"], *asked)
    if unknown := sorted(set(names) - stage["variants"].keys() - asked.keys()):
        raise SystemExit(f"there is no variant {unknown[0]!r}; there are {', '.join([*stage['variants'], *asked])}.")
    for name in names:
        of = asked.get(name, {}).get("of", name)
        lora = train(of, preset_of(stage, of, settings), stage["script"], settings)
        judge(name, f"{lora},init={asked[name]['init']}" if name in asked else str(lora), settings)


def preset_of(stage: dict, name: str, settings: Settings) -> dict[str, Any]:
    """The settings of a variant's run: the preset's, those of all variants, its own."""
    values = yaml.safe_load((PRESETS / stage["preset"]).read_text())
    given = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in settings.set)}
    output = settings.output / settings.stage / name
    return values | stage["always"] | given | stage["variants"][name] | {"output": str(output)}


def train(name: str, preset: dict[str, Any], script: str, settings: Settings) -> Path:
    """The LoRA of a variant, which is made if it is not there."""
    output = Path(preset["output"])
    phases = preset.get("phases") or [{"name": ""}]
    lora = output / phases[-1]["name"] / "lora"
    file, text = output / "preset.yaml", yaml.safe_dump(preset, sort_keys=False)
    if not (lora / "README.md").exists():  # the card is what is written last
        output.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        launch(settings, EXAMPLES / script, file)
    elif file.read_text() != text:
        raise SystemExit(f"{output} was made with other settings; take another --output, or delete it.")
    return lora


def judge(name: str, lora: str, settings: Settings) -> None:
    """Win rates of a variant, printed and, if asked, filed."""
    where = ["--split", settings.split, "--limit", settings.limit, "--output", settings.output / "answers"]
    key = f"ablation.{settings.stage}.{name}"
    filed = ["--key", key, *(["--record"] if settings.record else [])]
    compare = EXAMPLES / "picturebook" / "compare.py"
    launch(settings, compare, f"{settings.stage}_{name}={lora}", OPPONENT, *where, *filed)


def launch(settings: Settings, script: Path, *arguments) -> None:
    """Run a script in so many processes, and stop where it fails."""
    command = [sys.executable]
    if settings.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(settings.processes)]
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    subprocess.run([*command, str(script), *map(str, arguments)], check=True, env=environment)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
