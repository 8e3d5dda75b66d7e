"""Public collections of preferences in their own columns, read as pairs `prompt, chosen, rejected`.

A ranking of k images gives its pairs of unequal rank. Ties and what bears no label are counted and left out; images
are found and decoded later, by `preferences`. No downloads, except that Pick-a-Pic may be streamed from the hub.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as parquet
from datasets import Features, Image, IterableDataset, Value

from byteedit.data.images import store
from byteedit.data.pairs import beaten
from byteedit.data.skipped import Skipped
from byteedit.data.sources import open_rows

__all__ = ["LAYOUTS", "hpdv2", "hpdv3", "image_reward_db", "pick_a_pic"]

PAIR = Features({"prompt": Value("string"), "chosen": Image(decode=False), "rejected": Image(decode=False)})
Pairs = Iterator[dict]


def image_reward_db(folder: Path, split: str, skipped: Skipped) -> Pairs:
    """ImageRewardDB 1.0.0 (zai-org/ImageRewardDB), a copy of its repository with the zips unpacked where they lie.

    `metadata-{split}.parquet` has one image a row: `image_path` (from the folder, such as images/train/train_1/x.webp),
    `prompt_id`, `prompt`, `rank` (1 is best). The configs 1k to 8k_pair were made by a script that `datasets` no longer
    runs; their pairs are the ones made here. Splits: train, validation, test.
    """
    ranking = defaultdict(list)
    columns = ["prompt_id", "prompt", "image_path", "rank"]
    for row in parquet.read_table(_file(folder, f"metadata-{split}.parquet"), columns=columns).to_pylist():
        ranking[row["prompt_id"]].append(row)
    for rows in ranking.values():
        images = [row["image_path"] for row in rows]
        yield from _pairs(rows[0]["prompt"], images, [-row["rank"] for row in rows], folder, skipped)


def hpdv2(folder: Path, split: str, skipped: Skipped) -> Pairs:
    """HPDv2 (ymhao/HPDv2, card of 2024) with `train.tar.gz` and `test.tar.gz` unpacked into `train` and `test`.

    `{split}.json` is a list. In train each entry has two images and `human_preference` (1 for the better, 0), in test
    several and `rank` (the mean over annotators, lower is better), beside `raw_annotations`, which are not read. Images
    are `image_path`, by name in the split's folder; the card calls them `file_path` in train, so either will do.
    """
    for row in json.loads(_file(folder, f"{split}.json").read_text(encoding="utf-8")):
        images = row["image_path"] if "image_path" in row else row["file_path"]
        scores = row["human_preference"] if "human_preference" in row else [-rank for rank in row["rank"]]
        yield from _pairs(row["prompt"], images, scores, folder / split, skipped)


def hpdv3(folder: Path, split: str, skipped: Skipped) -> Pairs:
    """HPDv3 (MizzenAI/HPDv3, August 2025) with `images.tar.gz.*` unpacked in the folder.

    `{split}.json` (train, test, all, ...) is a list of pairs in which `path1` is preferred to `path2`, both from the
    folder. `choice_dist` counts the votes for either and is null for pairs from older sets; equal votes are a tie.
    """
    for row in json.loads(_file(folder, f"{split}.json").read_text(encoding="utf-8")):
        votes = row.get("choice_dist")
        tied = votes is not None and len(set(votes)) == 1
        scores = [0, 0] if tied else [1, 0]
        yield from _pairs(row["prompt"], [row["path1"], row["path2"]], scores, folder, skipped)


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise ValueError(f"{folder} holds no {name}; download it there, or name another split or layout.")
    return folder / name


def _pairs(prompt: str, images: list, scores: list[float], root: Path, skipped: Skipped) -> Pairs:
    pairs = beaten(scores)
    skipped.add("tie", len(images) * (len(images) - 1) // 2 - len(pairs))
    stored = store(images, root)
    for better, worse in pairs:
        yield {"prompt": prompt, "chosen": stored[better], "rejected": stored[worse]}


def pick_a_pic(row: dict, skipped: Skipped) -> list[dict]:
    """The pair of a row of Pick-a-Pic v2 (yuvalkirstain/pickapic_v2), or none.

    `caption`, `jpg_0` and `jpg_1` (the files themselves), `label_0` and `label_1` (1 for the chosen, 0.5 each for a
    tie), `has_label`. Splits: train, validation, test, validation_unique, test_unique.
    """
    if not row["has_label"]:
        skipped.add("no label")
        return []
    labels = [row["label_0"], row["label_1"]]
    pairs = beaten(labels)
    skipped.add("tie", 1 - len(pairs))
    images = store([row["jpg_0"], row["jpg_1"]])
    return [{"prompt": row["caption"], "chosen": images[better], "rejected": images[worse]} for better, worse in pairs]


def _stream_pick_a_pic(source: str | Path, split: str, skipped: Skipped) -> IterableDataset:
    """Of the hub or of its Parquet files, which stay the stream's shards."""

    def read(batch: dict) -> dict:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        pairs = [pair for row in rows for pair in pick_a_pic(row, skipped)]
        return {name: [pair[name] for pair in pairs] for name in PAIR}

    rows = open_rows(source, split, streaming=True).select_columns(
        ["caption", "jpg_0", "jpg_1", "label_0", "label_1", "has_label"]
    )
    return rows.map(read, batched=True, batch_size=16, remove_columns=rows.column_names, features=PAIR)


def _stream(read, source: str | Path, split: str, skipped: Skipped) -> IterableDataset:
    return IterableDataset.from_generator(partial(read, Path(source), split, skipped), features=PAIR)


LAYOUTS = {
    "imagereward": partial(_stream, image_reward_db),
    "hpdv2": partial(_stream, hpdv2),
    "hpdv3": partial(_stream, hpdv3),
    "pickapic": _stream_pick_a_pic,
}
"""(source, split, skipped) -> stream of pairs, by the name that `preferences.load` knows a public set by."""
