"""How well a fresh discriminator tells what systems generate from what is real: less is better, and more coherent.

It is a new `CoherenceReward`, trained after the fact on the answers of all the systems to the validation split, each
with its mask, and on the true pictures; nothing ever learnt to deceive it. On the test split, its area under the ROC
curve of each answer's pixels is the measure. The answers are those that `compare.py` kept, of both splits.

    python examples/picturebook/fresh.py fast8 boost20 --record
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro
from datasets import Dataset
from evaluate_rewards import areas
from PIL import Image

from byteedit.data.preferences import COHERENCE
from byteedit.data.shards import to_dataset
from byteedit.evaluation import TASKS
from byteedit.evaluation.figures import Figure, mean
from byteedit.evaluation.picturebench import Case, cases
from byteedit.rewards import CoherenceReward
from byteedit.training.loop import begin
from byteedit.training.reward import RewardSettings, fit
from byteedit.training.settings import read
from byteedit.training.towers import build

ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = 8  # one case in so many is not learnt from, and chooses the weights


@dataclass(frozen=True, kw_only=True)
class Settings:
    names: tyro.conf.Positional[tuple[str, ...]]
    """Systems, as `compare.py` calls them."""
    answers: Path = Path(".runs/compare")
    """Folder of their answers, NAME-validation and NAME-test."""
    limit: int = 240
    """Cases of each task and split, at most."""
    preset: Path = ROOT / "examples" / "configs" / "picturebook" / "reward_coherence.yaml"
    """Sizes and settings of the discriminator."""
    set: tuple[str, ...] = ()
    """Settings of its training that differ, as in --set steps=100."""
    output: Path = Path(".runs/fresh")
    """Folder of its training, which goes on where it was."""
    record: bool = False
    """File the figures in docs/results.json."""


def answered(settings: Settings, split: str) -> list[Case]:
    """The cases of a split that all systems have answered.

    Raises:
        SystemExit: there is none.
    """
    homes = [settings.answers / f"{name}-{split}" for name in settings.names]
    every = [case for task in TASKS for case in cases(task, split)[: settings.limit]]
    found = [case for case in every if all((home / f"{case.id}.png").exists() for home in homes)]
    if not found:
        raise SystemExit(f"no case of the {split} split has answers in {', '.join(map(str, homes))}; run compare.py.")
    return found


def rows(settings: Settings, split: str, name: str, chosen: list[Case]) -> list[dict]:
    """A system's answers with their masks, `image` and `mask` in PIL."""
    home = settings.answers / f"{name}-{split}"
    return [{"image": Image.open(home / f"{c.id}.png").convert("RGB"), "mask": Image.fromarray(c.mask)} for c in chosen]


def pixels(settings: Settings, chosen: list[Case]) -> Dataset:
    """D_coh: all systems' answers, and the true pictures, in which nothing is generated."""
    made = [row for name in settings.names for row in rows(settings, "validation", name, chosen)]
    nothing = Image.new("L", made[0]["mask"].size)
    made += [{"image": Image.fromarray(case.picture), "mask": nothing} for case in chosen]
    return to_dataset(made, COHERENCE.features(made[0], decoded=True)).cast(COHERENCE.features(made[0]))


def train(settings: Settings) -> CoherenceReward:
    """The discriminator."""
    chosen = answered(settings, "validation")
    given = (*settings.set, f"output={settings.output / '+'.join(settings.names)}")
    own = read(RewardSettings, settings.preset, given)
    accelerator, model = begin(own), build(own)
    learnt = [case for number, case in enumerate(chosen) if number % HELD_OUT]
    fit(accelerator, model, pixels(settings, learnt), pixels(settings, chosen[::HELD_OUT]), own)
    return CoherenceReward.from_pretrained(own.output / "reward").eval()


def figures(model: CoherenceReward, settings: Settings) -> dict[str, Figure]:
    """The area of each system, and how much smaller the first one's is than each other's, answer by answer."""
    chosen = answered(settings, "test")
    found = {name: np.array(areas(model, rows(settings, "test", name, chosen), lambda i: i)) for name in settings.names}
    first, *others = settings.names
    alone = {f"{name}.pixel_auc": mean(values) for name, values in found.items()}
    return alone | {f"{first}-vs-{other}.pixel_auc_less": mean(found[other] - found[first]) for other in others}


def main(settings: Settings) -> None:
    sys.path.append(str(ROOT / "benchmarks"))
    from results import filing

    file = filing(settings.record)
    for key, figure in figures(train(settings), settings).items():
        file(f"coherence.fresh.{key}", **asdict(figure))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
