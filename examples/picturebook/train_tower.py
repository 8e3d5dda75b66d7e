"""Teach the vision tower of a new preference reward to see: what lies under each of its patches, and where the page is.

A tower that learns from pairs of captions alone takes very long to find out that things have kinds. Here every patch
says of which kind, colour and size the thing is that it shows, and the whole page which place it is and what is there;
then these answers are thrown away and the tower stays. What is learnt from are pages of the train split, each drawn
when it is needed.

    torchrun --nproc-per-node 2 examples/picturebook/train_tower.py
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from byteedit.image import to_tensor
from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, PAGE, SIZES, Scene, scene
from byteedit.rewards import PreferenceReward
from byteedit.training.batches import Batches
from byteedit.training.loop import Objective, begin, train
from byteedit.training.reward import RewardSettings
from byteedit.training.settings import Settings, read
from byteedit.training.towers import build

FIRST_SEED = 2_000_000  # of the pages
PAGES = 400_000
NOTHING = -100  # a patch without a thing; cross_entropy leaves it out
NOTHING_WEIGHT = 0.05  # of patches without a thing, which are many, beside the others
ENOUGH = 0.15  # of a patch that a thing must cover
NAMES = [(colour, kind) for colour in COLOURS for kind in KINDS]
SIZED = [(size, kind) for size in SIZES for kind in KINDS]
ANSWERS = {"kind": ["nothing", *KINDS], "colour": list(COLOURS), "size": list(SIZES)}


@dataclass(kw_only=True)
class TowerSettings(Settings):
    """The settings of the tower's training, per process."""

    output: Path = Path(".runs/tower")
    preset: str = "examples/configs/picturebook/reward_alignment.yaml"
    """The reward's preset, which says of which sizes the towers are."""
    model: str = ""
    """A reward whose tower is taught on; without, a new one is."""
    steps: int = 1300
    batch_size: int = 16
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.05
    ema_decay: float = 0.99


class Seer(nn.Module):
    """A reward's vision tower, and a linear answer to each question."""

    def __init__(self, reward: PreferenceReward):
        super().__init__()
        self.reward, width = reward, reward.config.vision_config.hidden_size
        self.tower = reward.vision_model
        self.answers = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in ANSWERS.items()})
        self.place = nn.Linear(width, len(BACKGROUNDS))
        self.there = nn.Linear(width, len(NAMES) + len(SIZED))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> logits (B, words, N) of each of `ANSWERS`, and of the page (B, words)."""
        seen = self.reward.see(image)  # (B, 1 + N, D)
        answers = {name: answer(seen[:, 1:]).transpose(1, 2) for name, answer in self.answers.items()}
        return answers | {"place": self.place(seen[:, 0]), "there": self.there(seen[:, 0])}


def labels(page: Scene, patch: int) -> dict[str, np.ndarray]:
    """What each patch shows, (N,) int64 by the names of `ANSWERS`; the page's `place` (), and what is `there`."""
    side = PAGE // patch
    found = {name: np.full((side, side), 0 if name == "kind" else NOTHING) for name in ANSWERS}
    most = np.full((side, side), ENOUGH)
    for number, thing in enumerate(page.things):
        shares = (page.mask(number) > 0).reshape(side, patch, side, patch).mean((1, 3))
        here = shares > most
        most = np.maximum(most, shares)
        for name, words in ANSWERS.items():
            found[name][here] = words.index(getattr(thing, name))
    place = np.array(list(BACKGROUNDS).index(page.background))
    shown = {(thing.colour, thing.kind) for thing in page.things} | {(thing.size, thing.kind) for thing in page.things}
    there = np.array([pair in shown for pair in NAMES + SIZED], np.float32)
    return {name: values.ravel() for name, values in found.items()} | {"place": place, "there": there}


def loss(model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """The mean cross-entropy of the answers, and how many are right, of patches with a thing."""
    logits = model(batch["image"])
    weights = {"kind": logits["kind"].new_tensor([NOTHING_WEIGHT, *[1.0] * len(KINDS)])}
    losses = [
        F.cross_entropy(logits[name].float(), batch[name], weights.get(name), ignore_index=NOTHING)
        for name in (*ANSWERS, "place")
    ]
    losses.append(F.binary_cross_entropy_with_logits(logits["there"].float(), batch["there"]) * len(KINDS))
    shown = batch["kind"] > 0
    right = {name: logits[name].argmax(1) == batch[name] for name in ANSWERS}
    accuracy = {f"right/{name}": hits[shown].float().mean() for name, hits in right.items()}
    found = (logits["there"] > 0)[batch["there"] > 0.5].float().mean()
    return {"loss": torch.stack(losses).sum(), "right/there": found, **accuracy}


def main(settings: TowerSettings) -> None:
    accelerator = begin(settings)
    model = Seer(build(read(RewardSettings, Path(settings.preset), [f"model={settings.model}"])))
    model.reward.text_model.requires_grad_(False)
    model.reward.mlp.requires_grad_(False)
    patch = model.reward.config.vision_config.patch_size

    def prepare(number: int, rng) -> dict:
        page = scene(FIRST_SEED + number, "train")
        return {"image": to_tensor(page.render()[None])[0]} | labels(page, patch)

    batches = Batches(
        dataset=range(PAGES),
        prepare=prepare,
        batch_size=settings.batch_size,
        seed=settings.seed,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    kept = train(accelerator, [Objective(name="tower", model=model, loss=loss)], batches, settings)["tower"]
    if accelerator.is_main_process:
        model.load_state_dict(kept, strict=False)
        model.reward.save_pretrained(settings.output / "reward")
        print(settings.output / "reward")
    accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(TowerSettings, description=__doc__))
