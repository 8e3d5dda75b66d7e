"""Scores by name: `pixels`, `gold`, `lpips`, `clip:MODEL`, `blip:MODEL`, `reward:MODEL`, `pickscore`, `sets:MODEL`.

Each opener gives a `Score` that says which model measures at which resolution. The formulas are in the modules beside.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.evaluation.benchmarks.picturebench import PictureBenchCase
from byteedit.evaluation.naming import open_named
from byteedit.evaluation.scores.perceptual import LPIPS
from byteedit.evaluation.scores.picturebench import judged
from byteedit.evaluation.scores.pixels import outside, pixel_scores
from byteedit.evaluation.scores.sets import clip_features, frechet_distance, kernel_distance
from byteedit.evaluation.scores.views import Score, by_view, mask_crop
from byteedit.evaluation.scores.words import BLIPScore, clip_forms
from byteedit.files import weights_sha256
from byteedit.image import to_tensor
from byteedit.rewards import CLIPReward, CoherenceReward
from byteedit.rewards.clip import PICKSCORE
from byteedit.rewards.opening import locate, open_reward
from byteedit.vgg import VGG16

__all__ = ["SCORES", "open_score"]

CLIP = "openai/clip-vit-large-patch14"
BLIP = "Salesforce/blip-itm-large-coco"


def open_pixels(place: str | None) -> Score:
    """What the pixels alone tell: `pixel_scores`."""
    return Score(
        about="pixels: at the picture's own size",
        measure=lambda cases, images: [pixel_scores(case, image) for case, image in zip(cases, images, strict=True)],
    )


def open_gold(place: str | None) -> Score:
    """PictureBench's gold judge: what is `judged` there."""

    def measured(case: EditCase, image: np.ndarray) -> dict:
        if not isinstance(case, PictureBenchCase):
            raise ValueError(f"{case.id} is not of PictureBench; only there does the judge know what is right.")
        return judged(case.original, image)

    return Score(
        about="gold: the picturebook's own judge, at 128 px",
        measure=lambda cases, images: [measured(case, image) for case, image in zip(cases, images, strict=True)],
    )


def open_lpips(place: str | None, *, device: str = "cpu") -> Score:
    """LPIPS by VGG16: `lpips.unmasked` to the picture, and `lpips.masked` to the right answer where that is known."""
    name = place or VGG16
    model = LPIPS.from_pretrained(name).to(device)

    def measured(case: EditCase, image: np.ndarray) -> dict[str, float]:
        mask, found = case.mask, {}
        asked = [("unmasked", mask == 0, outside(case, image), case.page)]
        asked += [] if case.reference is None else [("masked", mask > 127, image, case.reference)]
        for where, pixels, answer, truth in asked:
            if pixels.any():
                pair = [to_tensor(picture[None]).to(device) for picture in (answer, truth)]
                found[f"lpips.{where}"] = float(model(*pair)[0].numpy(force=True)[pixels].mean())
        return found

    return Score(
        about=f"LPIPS 0.1: {name} at the picture's own size",
        measure=lambda cases, images: [measured(case, image) for case, image in zip(cases, images, strict=True)],
        weights=weights_sha256(name),
    )


def open_clip(place: str | None, *, device: str = "cpu", batch: int = 16) -> Score:
    """CLIPScore by any CLIP checkpoint of transformers, in its three forms."""
    name = place or CLIP
    reward = CLIPReward.from_pretrained(name).to(device)

    def rate(pictures: list, prompts: list[str]) -> list[dict[str, float]]:
        return [clip_forms(cosine) for cosine in reward.score(pictures, prompts, batch)]

    return Score(
        about=f"CLIPScore: {name} at {reward.size} px, cosine, 100 x cosine and w = 2.5",
        measure=lambda cases, images: by_view(cases, images, rate),
        weights=weights_sha256(name),
    )


def open_blip(place: str | None, *, device: str = "cpu", batch: int = 16) -> Score:
    """BLIPScore by any BLIP checkpoint for image-text retrieval: `blip_itm`, the match, and `blip_itc`, the cosine."""
    name = place or BLIP
    model = BLIPScore.from_pretrained(name).to(device)

    def rate(pictures: list, prompts: list[str]) -> list[dict[str, float]]:
        return model.score(pictures, prompts, batch)

    return Score(
        about=f"BLIPScore: {name} at {model.size} px, match (itm) and cosine (itc)",
        measure=lambda cases, images: by_view(cases, images, rate),
        weights=weights_sha256(name),
    )


def open_any_reward(
    place: str | None,
    *,
    name: str | None = None,
    prompt: Literal["full", "asked"] = "full",
    device: str = "cpu",
    batch: int = 16,
) -> Score:
    """A reward in a folder or on the hub: ours, a converted ImageReward, or any CLIP (HPSv2) as its cosine.

    Args:
        place: where it is, as `open_reward` takes it, or the name of one that ships.
        name: what its numbers are called; None: "reward." and the name of its folder.
        prompt: the whole picture is scored with its full prompt, or with the one that systems were asked for, which is
            what our own rewards are trained on. A case without prompt is scored with none.
    """
    if place is None:
        raise ValueError("reward needs a model: reward:FOLDER, or reward:owner/name on the hub.")
    measured = _reward(open_reward(place).to(device), place, name or f"reward.{Path(place).name}", prompt, batch)
    return replace(measured, weights=weights_sha256(locate(place)))


def open_pickscore(place: str | None, *, tokenizer: str | None = None, device: str = "cpu") -> Score:
    """PickScore with the full prompt, from its published weights or a folder of them."""
    where = place or PICKSCORE
    measured = _reward(CLIPReward.pickscore(where, tokenizer=tokenizer).to(device), where, "pickscore", "full", 16)
    return replace(measured, weights=weights_sha256(where))


def _reward(reward, place: str, name: str, prompt: str, batch: int) -> Score:
    if isinstance(reward, CoherenceReward):
        return _coherence(reward, place, name, batch)

    def measure(cases: Sequence[EditCase], images: Sequence[np.ndarray]) -> list[dict[str, float]]:
        words = [(case.prompt if prompt == "asked" else case.prompts.get("full")) or "" for case in cases]
        rated = reward.score([Image.fromarray(image) for image in images], words, batch)
        return [{name: value} for value in rated]

    return Score(about=f"{name}: {place} at {reward.size} px, {prompt} prompt", measure=measure)


def _coherence(reward: CoherenceReward, place: str, name: str, batch: int) -> Score:
    """The mean probability that a pixel is real, of the whole picture and inside the mask."""

    def measure(cases: Sequence[EditCase], images: Sequence[np.ndarray]) -> list[dict[str, float]]:
        maps = reward.map([Image.fromarray(image) for image in images], batch)
        found = [{name: float(real.mean())} for real in maps]
        for numbers, real, case in zip(found, maps, cases, strict=True):
            inside = case.mask > 127
            numbers |= {f"{name}.masked": float(real[inside].mean())} if inside.any() else {}
        return found

    size = f"{reward.size} px" if reward.size else "own size"
    return Score(about=f"{name}: {place} at {size}, no prompt", measure=measure)


def open_sets(place: str | None, *, device: str = "cpu", batch: int = 16) -> Score:
    """Distances of the masked parts to those of the right answers, or else of the pictures, in CLIP's features."""
    name = place or CLIP
    reward = CLIPReward.from_pretrained(name).to(device)

    def crops(cases: Sequence[EditCase], images: Sequence[np.ndarray]) -> np.ndarray:
        parts = [mask_crop(image, case.mask) for case, image in zip(cases, images, strict=True)]
        return clip_features(reward, [Image.fromarray(part) for part in parts], batch)

    def measure(cases: Sequence[EditCase], images: Sequence[np.ndarray]) -> list[dict[str, float]]:
        real = [case.read_page() if case.read_reference is None else case.reference for case in cases]
        made, real = crops(cases, images), crops(cases, real)
        return [{"clip_fid": frechet_distance(made, real), "clip_kid": kernel_distance(made, real), "n": len(made)}]

    return Score(
        about=f"sets: FID and KID of masked parts, {name} at {reward.size} px",
        measure=measure,
        over_set=True,
        weights=weights_sha256(name),
    )


SCORES = {
    "pixels": open_pixels,
    "gold": open_gold,
    "lpips": open_lpips,
    "clip": open_clip,
    "blip": open_blip,
    "reward": open_any_reward,
    "pickscore": open_pickscore,
    "sets": open_sets,
}


def open_score(text: str, device: str = "cpu") -> Score:
    """A score by name, such as "clip:openai/clip-vit-base-patch32" or "reward:my-reward,prompt=asked".

    Raises:
        ValueError: there is no such score or option, or no model where it should be.
    """
    return open_named(SCORES, text, "score", device=device)
