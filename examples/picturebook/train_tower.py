"""Teach both towers of a new preference reward: what lies under each patch, and which captions fit the page.

Towers that learn from pairs of captions alone take very long to find out that things have kinds, and words meanings.
Here every patch says of which kind, colour and size the thing is that it shows, and the whole page which place it is;
and of several captions, looked at with one look at the page, the score says which fit, as in BLIP's own pre-training
(image-text matching, arXiv 2201.12086). Then the patches' answers are thrown away and the reward stays. What is learnt
from are pages of the train split, each drawn when it is needed.

    torchrun --nproc-per-node 2 examples/picturebook/train_tower.py
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from captions import caption, changed, other
from numpy.random import Generator
from torch import Tensor, nn
from torch.utils.data import default_collate

from byteedit.image import to_tensor
from byteedit.picturebook import BACKGROUNDS, COLOURS, KINDS, PAGE, SIZES, Scene, scene
from byteedit.rewards import PreferenceReward
from byteedit.training.batches import Batches
from byteedit.training.loop import Objective, train
from byteedit.training.reward import RewardSettings
from byteedit.training.run import begun
from byteedit.training.settings import Settings, read
from byteedit.training.towers import build

FIRST_SEED = 2_000_000  # of the pages
PAGES = 400_000
NOTHING = -100  # a patch without a thing; cross_entropy leaves it out
NOTHING_WEIGHT = 0.05  # of patches without a thing, which are many, beside the others
ENOUGH = 0.15  # of a patch that a thing must cover
CAPTIONS = 8  # of a page: half of them fit
FAULTS = {"kind": 0.35, "colour": 0.35, "size": 0.15, "place": 0.15}
ANSWERS = {"kind": ["nothing", *KINDS], "colour": list(COLOURS), "size": list(SIZES)}


@dataclass(kw_only=True)
class TowerSettings(Settings):
    """The settings of the tower's training, per process."""

    output: Path = Path(".runs/tower")
    preset: str = "examples/configs/picturebook/reward_alignment.yaml"
    """The reward's preset, which says of which sizes the towers are."""
    model: str = ""
    """A reward whose tower is taught on; without, a new one is."""
    steps: int = 2400
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

    def forward(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> logits (B, words, N) of each of `ANSWERS`, of the place (B, words), and
        whether the captions (kB, L) `fit` (kB,).
        """
        seen = self.reward.see(image)  # (B, 1 + N, D)
        answers = {name: answer(seen[:, 1:]).transpose(1, 2) for name, answer in self.answers.items()}
        fit = self.reward.weigh(seen, input_ids, attention_mask)
        return answers | {"place": self.place(seen[:, 0]), "fit": fit}


def labels(page: Scene, patch: int) -> dict[str, np.ndarray]:
    """What each patch shows, (N,) int64 by the names of `ANSWERS`, and the page's `place` ()."""
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
    return {name: values.ravel() for name, values in found.items()} | {"place": place}


def claims(page: Scene, rng: Generator) -> dict:
    """`captions` of a page with things, and whether each `fits`, (CAPTIONS,) in {0, 1}; a wrong one has one fault."""
    captions = []
    for number in range(CAPTIONS):
        thing = page.things[int(rng.integers(len(page.things)))]
        told = page.things if rng.random() < 0.3 else (thing,)
        fault = str(rng.choice(list(FAULTS), p=list(FAULTS.values()))) if number % 2 else ""
        place = page.place if fault == "place" or rng.random() < 0.3 else ""
        if fault == "place":
            place = other(rng, BACKGROUNDS.values(), page.place)
        elif fault:
            wrong = changed(thing, fault, page, rng)
            told = [wrong if one is thing else one for one in told]
        captions.append(caption(told, fault == "size" or rng.random() < 0.5, place))
    return {"captions": captions, "fits": 1 - np.arange(CAPTIONS, dtype=np.float32) % 2}


def loss(model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """The mean cross-entropy of the answers, and how many are right, of patches with a thing."""
    logits = model(batch["image"], batch["input_ids"], batch["attention_mask"])
    weights = {"kind": logits["kind"].new_tensor([NOTHING_WEIGHT, *[1.0] * len(KINDS)])}
    losses = [
        F.cross_entropy(logits[name].float(), batch[name], weights.get(name), ignore_index=NOTHING)
        for name in (*ANSWERS, "place")
    ]
    fits = batch["fits"].T.flatten()  # (kB,)
    losses.append(4 * F.binary_cross_entropy_with_logits(logits["fit"], fits))
    shown = batch["kind"] > 0
    right = {name: logits[name].argmax(1) == batch[name] for name in ANSWERS}
    accuracy = {f"right/{name}": hits[shown].float().mean() for name, hits in right.items()}
    accuracy["right/fit"] = ((logits["fit"] > 0) == (fits > 0.5)).float().mean()
    return {"loss": torch.stack(losses).sum(), **accuracy}


def main(settings: TowerSettings) -> None:
    with begun(settings) as accelerator:
        model = Seer(build(read(RewardSettings, Path(settings.preset), [f"model={settings.model}"])))
        patch = model.reward.config.vision_config.patch_size

        def prepare(number: int, rng) -> dict:
            pages = (scene(seed, "train") for seed in count(FIRST_SEED + number, PAGES))
            page = next(page for page in pages if page.things)
            return {"image": to_tensor(page.render()[None])[0]} | labels(page, patch) | claims(page, rng)

        def collate(rows: list[dict]) -> dict:
            words = [row.pop("captions") for row in rows]
            return default_collate(rows) | model.reward.tokenize([row[n] for n in range(CAPTIONS) for row in words])

        batches = Batches(
            dataset=range(PAGES),
            prepare=prepare,
            collate=collate,
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
