"""Held-out rows are other rows, seen as they are; several processes find them together."""

import json
import os

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from torch.utils.data import default_collate

from byteedit.cli import main
from byteedit.data import preferences
from byteedit.data.sources import find_files
from byteedit.rewards import CoherenceReward
from byteedit.training.augment import Augmentation
from byteedit.training.loop import begin
from byteedit.training.reward import Coherence, fit
from byteedit.training.run import open_splits
from toy_rewards import aesthetic_rows, coherence, coherence_rows, settings_for
from toy_training import FORKS, fresh, group, lines  # noqa: F401


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What `datasets` caches goes to the test's own folder."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def as_parquet(rows, folder):
    rows.to_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def as_jsonl(rows, folder):
    Dataset.from_dict({"prompt": ["a"], "chosen": ["a.png"], "rejected": ["b.png"]}).to_json(folder / "pairs.jsonl")
    return folder / "pairs.jsonl"


def as_saved(rows, folder):
    rows.save_to_disk(folder / "saved")
    return folder / "saved"


@pytest.mark.parametrize("write", [as_parquet, as_jsonl, as_saved], ids=lambda write: write.__name__)
def test_rows_that_are_learnt_are_not_held_out(write, tmp_path):
    source = write(aesthetic_rows(4), tmp_path)
    settings = settings_for(tmp_path / "run", "aesthetic", data=str(source))
    with pytest.raises(
        ValueError, match=r"gives the same rows for every split, so 'validation' would hold out nothing"
    ):
        open_splits(begin(settings, cpu=True), settings)


def test_the_command_says_so_too(tmp_path, capsys):
    as_parquet(aesthetic_rows(4), tmp_path)
    preset = tmp_path / "tiny.yaml"
    preset.write_text(f"reward: aesthetic\nsteps: 1\nbatch_size: 2\nlr: 0.1\noutput: {tmp_path / 'run'}\ndata: x\n")
    assert main(["train", "reward", str(preset), "--set", f"data={tmp_path / 'pairs.parquet'}"]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "pairs.parquet gives the same rows for every split" in said
    assert not (tmp_path / "run" / "reward").exists()


def test_a_file_is_not_of_two_splits(tmp_path):
    """Where no file is named for a split, all are of train; where one is, it alone."""
    for name in ("pairs", "dev"):
        aesthetic_rows(4).to_parquet(tmp_path / f"{name}.parquet")
    settings = settings_for(tmp_path / "out", "aesthetic", data=str(tmp_path), held_out="dev")
    with pytest.raises(ValueError, match=r"dev\.parquet is of the split dev and of train, too"):
        open_splits(begin(settings, cpu=True), settings)
    (tmp_path / "train.jsonl").write_text("")
    assert find_files(tmp_path, "train") == [tmp_path / "train.jsonl"]


def test_what_is_held_out_must_be_named_and_there(tmp_path):
    aesthetic_rows(4).to_parquet(tmp_path / "train.parquet")
    for held_out, words in {"": "held_out is empty", "validation": "held_out is validation: .* of the split"}.items():
        settings = settings_for(tmp_path / "out", "aesthetic", data=str(tmp_path), held_out=held_out)
        with pytest.raises(ValueError, match=words):
            open_splits(begin(settings, cpu=True), settings)


def test_one_split_may_be_asked_for_twice_and_two_are_two(tmp_path):
    rows, other = aesthetic_rows(4), aesthetic_rows(3, seed=1)
    settings = settings_for(tmp_path, "aesthetic", data=str(as_parquet(rows, tmp_path)), held_out="train")
    assert [len(split) for split in open_splits(begin(settings, cpu=True), settings)] == [4, 4]
    DatasetDict(train=rows, validation=other).save_to_disk(tmp_path / "both")
    settings = settings_for(tmp_path, "aesthetic", data=str(tmp_path / "both"))
    trained, held_out = open_splits(begin(settings, cpu=True), settings)
    assert (trained["chosen"][:], held_out["chosen"][:]) == (rows["chosen"][:], other["chosen"][:])


def test_held_out_pictures_are_never_mirrored(tmp_path):
    unseen = coherence_rows(8, seed=1)
    settings = settings_for(tmp_path, "coherence", steps=2, mirror=1.0)
    measures = fit(begin(settings, cpu=True), coherence(), coherence_rows(16), unseen, settings)
    model, losses = CoherenceReward.from_pretrained(tmp_path / "reward"), []
    for mirror in (0.0, 1.0):
        stage = Coherence(model, augment=Augmentation(mirror=mirror))
        batch = default_collate([stage.prepare(row, np.random.default_rng(0)) for row in unseen])
        with torch.no_grad():
            losses.append(stage.measure(*stage.scores(model, batch))["loss"])
    assert measures["loss"] == pytest.approx(losses[0], abs=1e-6)
    assert abs(losses[1] - losses[0]) > 1e-5


def test_held_out_pictures_are_cut_alike_each_time(tmp_path):
    settings = settings_for(tmp_path, "coherence", steps=3, validate_every=1, crop=16, lr=1e-12)  # moves no weight
    rows, unseen = coherence_rows(8, size=32), coherence_rows(8, seed=1, size=32)
    measures = fit(begin(settings, cpu=True), coherence(), rows, unseen, settings)
    told = [line["validation/loss"] for line in lines(settings, "validation/loss") if line]
    assert len(told) == 3 and told == pytest.approx([measures["loss"]] * 3, rel=1e-6)


def check(data, output, environment):
    """One process that opens both splits; what it found, and how many rows it decoded itself."""
    os.environ |= environment
    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = output / "cache"
    decoded, decode = [], preferences.open_image
    preferences.open_image = lambda *image: decoded.append(1) or decode(*image)
    settings = settings_for(output, "alignment", data=str(data))
    rows, held_out = open_splits(begin(settings, cpu=True), settings)
    found = {"rows": rows["caption_chosen"][:], "held_out": held_out["caption_chosen"][:], "decoded": len(decoded)}
    (output / f"found-{environment['RANK']}.json").write_text(json.dumps(found))


@pytest.mark.slow
def test_two_processes_check_half_of_the_images_each_and_agree(tmp_path):
    picture = {"bytes": aesthetic_rows(1)[0]["chosen"]["bytes"], "path": None}
    for split, count in {"train": 11, "validation": 4}.items():
        images = [{"bytes": b"no picture", "path": None} if n % 5 == 1 else picture for n in range(count)]
        rows = {
            "image": images,
            "caption_chosen": [f"{split} {n}" for n in range(count)],
            "caption_rejected": ["a"] * count,
        }
        features = preferences.ALIGNMENT.features(rows)
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / f"{split}.parquet")
    processes = [FORKS.Process(target=check, args=(tmp_path, tmp_path, rank)) for rank in group(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    first, second = (json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(2))
    expected = {"train": [n for n in range(11) if n % 5 != 1], "validation": [0, 2, 3]}
    for found in (first, second):
        assert found["rows"] == [f"train {n}" for n in expected["train"]]
        assert found["held_out"] == [f"validation {n}" for n in expected["validation"]]
    assert [first["decoded"], second["decoded"]] == [6 + 2, 5 + 2]
