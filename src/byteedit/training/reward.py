"""The stage of the three rewards: what is beautiful (R_a), what fits its prompt (R_b), which pixels are real (R_g).

What they need to be trained stands here: rows read, layers frozen, held-out measures, the standardised score. The
models are in `rewards`, the equations in `losses`, the loop in `loop`, augmentation in `augment`.
Source: ByteEdit (arXiv 2404.04860); freezing and settings as ImageReward (arXiv 2304.05977).
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from datasets import Dataset
from numpy.random import Generator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tyro.conf import Fixed

from byteedit.data.images import Unusable
from byteedit.data.preferences import AESTHETIC, ALIGNMENT, COHERENCE, Layout, Skipped, decode, load, usable
from byteedit.image import to_tensor
from byteedit.rewards import CoherenceReward, PreferenceReward
from byteedit.rewards.pixels import read
from byteedit.training.augment import UNCHANGED, Augmentation
from byteedit.training.batches import Batch, Batches, Row, order, together
from byteedit.training.checkpoints import sharded
from byteedit.training.freezing import freeze
from byteedit.training.loop import Objective, train
from byteedit.training.losses import coherence_loss, preference_loss
from byteedit.training.settings import Settings

__all__ = ["Coherence", "Preference", "RewardSettings", "fit", "open_rows"]

SCHEMAS = {"aesthetic": AESTHETIC, "alignment": ALIGNMENT, "coherence": COHERENCE}
GRID = 64  # pixels a side, at most, that a held-out picture gives to the pixel AUC


@dataclass(kw_only=True)
class RewardSettings(Settings):
    """The settings of a reward's training."""

    free: ClassVar[frozenset[str]] = Settings.free | {"check", "standardise", "half", "push"}

    reward: Literal["aesthetic", "alignment", "coherence"]
    """Which of the three is trained."""
    data: str
    """Where the data are: a folder, a file or a hub name, as byteedit.data.preferences reads them."""
    split: str = "train"
    """Split that is trained on."""
    held_out: str = "validation"
    """Split that is never trained on: it is measured while training goes on, and at the end. Name `split` itself to
    measure on the rows that are learnt, on purpose."""
    layout: Layout = "byteedit"
    """Columns of the data: ours, or those of a public set."""
    check: bool = True
    """Decode all images once before training and leave out what is broken or smaller than `crop`; without, it stops
    the run."""
    model: str = ""
    """Reward to start from (folder, hub name, or aesthetic, alignment or coherence for those that ship), or a BLIP or
    ViT of transformers to take towers from; without, weights are new and `architecture` says of which sizes."""
    tokenizer: str = "bert-base-uncased"
    """Tokenizer of a new model: folder or hub name, or picturebook for the one that ships."""
    architecture: Fixed[dict[str, Any]] = field(default_factory=dict)
    """Fields of the reward's config, in the preset only: sizes of a new model, or what differs from `model`."""
    fix_rate: float = 0.0
    """Share of each tower's layers, from the input on, that stay as they are. (ImageReward: 0.7)"""
    crop: int = 0
    """Side of the square that coherence cuts from each picture, in pixels; 0 takes whole pictures, all of one size."""
    mirror: float = 0.0
    """Share of rows, in [0, 1], whose pictures are seen mirrored, left for right, each time anew."""
    shift: int = 0
    """Pixels by which a row's pictures are moved at most, each time anew; what its `mask` covers stays in view."""
    tint: float = 0.0
    """Standard deviation by which contrast and colours of a row's pictures vary, of values in [-1, 1]."""
    standardise: int = 5000
    """Pairs of the training data, at most, over which the score's mean and standard deviation are taken."""
    half: bool = False
    """Write the finished reward in float16, half as large; it is measured as written."""
    push: str = ""
    """Repository of the hub that the finished reward is uploaded to; without, nothing is."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("fix_rate", "mirror"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} is {value}; it is a share, from 0 to 1.")
        if self.standardise < 2:
            raise ValueError(f"standardise is {self.standardise}; give 2 pairs or more.")


class Preference:
    """The objective of R_a, `aesthetic` (two images, one prompt), or of R_b, `alignment` (one image, two captions)."""

    measured = ("pair_accuracy", "loss")

    def __init__(self, reward: str, model: PreferenceReward, augment: Augmentation = UNCHANGED):
        self.reward, self.model, self.augment = reward, model, augment

    def prepare(self, row: Row, rng: Generator) -> Row:
        """The columns that are learnt from, images fitted to the model: (3, S, S) in [-1, 1]."""
        size, schema = self.model.size, SCHEMAS[self.reward]
        names = (*schema.required, "mask") if self.augment.shift and "mask" in row else schema.required
        values = decode({name: row[name] for name in names}, schema)
        mask = values.pop("mask", None)
        images = {name: read(values[name], size) for name in schema.images if name in values}
        generated = read(mask.convert("RGB"), size)[0] > 0 if mask else None
        return values | self.augment(images, {}, generated, rng)

    def scores(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of chosen and rejected, (B,) each; in one call of the model, chosen first."""
        if self.reward == "aesthetic":
            image, prompt = torch.cat([batch["chosen"], batch["rejected"]]), 2 * batch["prompt"]
        else:
            image, prompt = batch["image"], batch["caption_chosen"] + batch["caption_rejected"]
        return model(image, **self.model.tokenize(prompt)).chunk(2)

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eq. 1 or 5, and how many pairs are told apart."""
        chosen, rejected = self.scores(model, batch)
        return {"loss": preference_loss(chosen, rejected), "accuracy": (chosen > rejected).float().mean()}

    def measure(self, chosen: Tensor, rejected: Tensor) -> dict[str, float]:
        """Held-out numbers from the scores of all pairs: pairs told apart (a tie is a failure), and the loss."""
        loss = preference_loss(chosen, rejected)
        return {"pair_accuracy": (chosen > rejected).float().mean().item(), "loss": loss.item()}


class Coherence:
    """The objective of R_g: real or generated, pixel by pixel."""

    measured = ("pixel_auc", "loss")

    def __init__(self, model: CoherenceReward, crop: int = 0, augment: Augmentation = UNCHANGED):
        self.model, self.crop, self.augment = model, crop, augment

    def prepare(self, row: Row, rng: Generator) -> Row:
        """Image (3, H, W) in [-1, 1] and `real` (1, H, W) in {0, 1}: 1 outside the mask. Cut to `crop` where set."""
        values = decode(row, COHERENCE)
        pixels, real = np.asarray(values["image"]), np.asarray(values["mask"]) < 128
        if self.crop:
            room = np.array(real.shape) - self.crop
            if room.min() < 0:
                raise ValueError(f"an image is {real.shape}, smaller than crop {self.crop}; set a smaller crop.")
            top, left = rng.integers(0, room + 1).tolist()
            window = slice(top, top + self.crop), slice(left, left + self.crop)
            pixels, real = pixels[window], real[window]
        image, maps = to_tensor(pixels[None])[0], {"real": to_tensor(real.astype(np.float32)[None])[0]}
        return self.augment({"image": image}, maps, maps["real"][0] < 0.5, rng)

    def scores(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits and labels of a grid of pixels, (B, P) each."""
        step = -(-max(batch["real"].shape[-2:]) // GRID)
        return tuple(maps[..., ::step, ::step].flatten(1) for maps in (model(batch["image"]), batch["real"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eq. 6, and how many pixels are told rightly."""
        logits = model(batch["image"])
        right = (logits > 0) == (batch["real"] > 0.5)
        return {"loss": coherence_loss(logits, batch["real"]), "accuracy": right.float().mean()}

    def measure(self, logits: Tensor, real: Tensor) -> dict[str, float]:
        """Held-out numbers over all pixels together: the area under the ROC curve, and the loss."""
        from sklearn.metrics import roc_auc_score

        auc = roc_auc_score(real.flatten().cpu().numpy() > 0.5, logits.flatten().cpu().numpy())
        return {"pixel_auc": float(auc), "loss": coherence_loss(logits, real).item()}


def open_rows(settings: RewardSettings, split: str, accelerator: Accelerator | None = None) -> Dataset:
    """The rows of a split; says once what it leaves out. The processes of `accelerator` share the checking.

    Raises:
        ValueError: there is no such split, or no row of it can be used.
    """
    skipped, schema = Skipped(), SCHEMAS[settings.reward]
    with accelerator.main_process_first() if accelerator else nullcontext():
        rows = load(settings.data, schema, skipped, layout=settings.layout, split=split)
    if settings.check:
        group = _group(accelerator) | {"gather": gather_object} if accelerator else {}
        rows = usable(rows, schema, skipped, check=partial(_check, settings), **group)
    if accelerator is None or accelerator.is_main_process:
        skipped.report()
    if not len(rows):
        raise ValueError(f"{settings.data} has no row of the split {split!r} that can be used: {skipped}.")
    return rows


def _group(accelerator: Accelerator) -> dict[str, int]:
    return {"process": accelerator.process_index, "processes": accelerator.num_processes}


def _check(settings: RewardSettings, row: Row) -> None:
    values = decode(row, SCHEMAS[settings.reward])
    if settings.reward == "coherence" and min(values["image"].size) < settings.crop:
        raise Unusable("picture smaller than crop")


def fit(
    accelerator: Accelerator, model: nn.Module, rows: Dataset, held_out: Dataset, settings: RewardSettings
) -> dict[str, float]:
    """Train a reward on `rows`, write it to output/reward, and return its measures on `held_out` by name.

    model: the PreferenceReward or CoherenceReward to start from. rows, held_out: as `open_rows` gives them. What is
    written and measured are the weights that `train` keeps; the score of a preference is standardised over the training
    pairs first.
    """
    if sharded(accelerator):
        raise ValueError("A reward fits on every process; launch with DDP instead of FSDP or ZeRO-3.")
    preference = settings.reward != "coherence"
    augment = Augmentation(mirror=settings.mirror, shift=settings.shift, tint=settings.tint)
    stage, unchanged = (_stage(model, settings, each) for each in (augment, UNCHANGED))
    if preference:
        model.config.score_mean, model.config.score_std = 0.0, 1.0
    else:
        check_held_out(unchanged, held_out)
    freeze(model, settings.fix_rate)
    batches = Batches(
        dataset=rows,
        prepare=stage.prepare,
        batch_size=settings.batch_size,
        seed=settings.seed,
        workers=settings.workers,
        **_group(accelerator),
    )
    measure = partial(_measure, accelerator, stage, _loader(accelerator, unchanged, held_out, settings))
    objective = Objective(name=settings.reward, model=model, loss=stage.loss)
    known = {"validate": measure, "measured": stage.measured, "data": {"rows": len(rows)}}
    kept = train(accelerator, [objective], batches, settings, **known)
    model = accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
    model.load_state_dict(kept[settings.reward], strict=False)
    if settings.half:
        model.half().float()  # rounded as it will be read, for all that is measured from here on
    measures = measure(model)  # of scores as they were learnt: the loss is that of the log
    if preference:
        some = order(settings.seed, 0, len(rows))[: settings.standardise].tolist()
        _standardise(accelerator, stage, _loader(accelerator, unchanged, Subset(rows, some), settings))
    model.to(torch.float16 if settings.half else torch.float32)
    if accelerator.is_main_process:
        model.save_pretrained(settings.output / "reward")
    model.float()
    accelerator.wait_for_everyone()
    return measures


def check_held_out(stage: Coherence, rows: Dataset) -> None:
    """Raise ValueError where held-out pictures cannot be measured together: of several sizes, or all real, or not."""
    maps = [stage.prepare(row, np.random.default_rng(0))["real"] for row in rows]
    if len({one.shape for one in maps}) > 1:
        raise ValueError("Held-out pictures are of several sizes; set crop, or cut them all to one size.")
    if len({value for one in maps for value in one.unique().tolist()}) < 2:
        raise ValueError("All held-out pixels are real, or all are generated; pixel_auc needs some of both.")


def _stage(model: nn.Module, settings: RewardSettings, augment: Augmentation) -> Preference | Coherence:
    if settings.reward == "coherence":
        return Coherence(model, settings.crop, augment)
    return Preference(settings.reward, model, augment)


def _loader(accelerator: Accelerator, stage: Preference | Coherence, rows, settings: RewardSettings) -> DataLoader:
    """The rows once, in order, shared out among processes; crops are always the same."""
    collate = partial(_collate, stage.prepare)
    return accelerator.prepare_data_loader(DataLoader(rows, settings.batch_size, collate_fn=collate))


def _collate(prepare, rows: list[Row]) -> Batch:
    return together([prepare(row, np.random.default_rng(0)) for row in rows])


@torch.no_grad()
def _scores(
    accelerator: Accelerator, stage: Preference | Coherence, loader: DataLoader, model
) -> tuple[Tensor, Tensor]:
    """What the stage's `scores` are for all rows, from all processes."""
    gathered = [accelerator.gather_for_metrics(stage.scores(model, batch)) for batch in loader]
    return tuple(torch.cat(parts) for parts in zip(*gathered, strict=True))


def _measure(accelerator: Accelerator, stage: Preference | Coherence, loader: DataLoader, model) -> dict[str, float]:
    return stage.measure(*_scores(accelerator, stage, loader, model))


def _standardise(accelerator: Accelerator, stage: Preference, loader: DataLoader) -> None:
    """Set mean and standard deviation of the score to those over chosen and rejected together."""
    scores = torch.cat(_scores(accelerator, stage, loader, stage.model)).double()
    if not scores.std() > 0:
        raise ValueError("The reward gives every picture the same score; it has learnt nothing. Raise lr or steps.")
    stage.model.config.score_mean, stage.model.config.score_std = scores.mean().item(), scores.std().item()
