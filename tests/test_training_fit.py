"""Rewards are trained end to end: they learn, are written and standardised, alike on one process and on two."""

import io
import json
import os

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets
from PIL import Image
from safetensors.torch import load_file

from byteedit.files import png
from byteedit.rewards import PreferenceReward
from byteedit.training.cards import describe_reward
from byteedit.training.loop import begin
from byteedit.training.reward import Preference, fit
from toy_rewards import aesthetic_rows, alignment_rows, coherence, coherence_rows, preference, settings_for
from toy_training import FORKS, fresh, group, lines  # noqa: F401

CASES = [("aesthetic", aesthetic_rows), ("alignment", alignment_rows), ("coherence", coherence_rows)]


def scores_of(model, reward, pairs):
    """The scores of all pairs as they are, of chosen and rejected together."""
    stage = Preference(reward, model)
    batch = torch.utils.data.default_collate([stage.prepare(row, np.random.default_rng(0)) for row in pairs])
    with torch.no_grad():
        return torch.cat(stage.scores(model, batch))


@pytest.mark.parametrize(("reward", "rows"), CASES, ids=[name for name, _ in CASES])
def test_a_tiny_reward_learns_and_is_written(tokenizer, tmp_path, reward, rows):
    model = coherence() if reward == "coherence" else preference(tokenizer)
    watched = "pixel_auc" if reward == "coherence" else "pair_accuracy"
    settings = settings_for(tmp_path, reward, half=True, watch=watched, validate_every=10, steps=40)
    unseen = rows(16, seed=1)
    accelerator = begin(settings, cpu=True)
    measures = fit(accelerator, model, rows(32), unseen, settings)
    assert measures[watched] >= 0.95
    folder = tmp_path / "reward"
    opened = type(model).from_pretrained(folder)
    assert (folder / "model.safetensors").stat().st_size < 2 * model.num_parameters() + 20_000
    if reward != "coherence":
        scores = scores_of(opened, reward, rows(32))
        assert scores.mean().item() == pytest.approx(0, abs=0.02)
        assert scores.std().item() == pytest.approx(1, abs=0.02)
    describe_reward(accelerator, settings, opened, unseen, measures)
    text = (folder / "README.md").read_text()
    assert f"| {watched} | {measures[watched]:.4g} |" in text
    assert "library_name: byteedit" in text
    assert "![" in text and (folder / "sample-1.png").is_file()


def share(output, batch_size, environment):
    """One process of a training of R_g, on held-out rows that cannot be shared out evenly."""
    os.environ |= environment
    torch.set_num_threads(1)
    settings = settings_for(output, "coherence", steps=5, batch_size=batch_size)
    measures = fit(begin(settings, cpu=True), coherence(), coherence_rows(32), coherence_rows(13, seed=1), settings)
    (output / f"measures-{environment.get('RANK', 0)}.json").write_text(json.dumps(measures))


@pytest.mark.slow
def test_two_processes_train_and_measure_as_one(tmp_path):
    jobs = [(tmp_path / "one", 8, {}), *((tmp_path / "two", 4, rank) for rank in group(2))]
    processes = [FORKS.Process(target=share, args=job) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    one, *two = (
        json.loads((tmp_path / f).read_text())
        for f in ("one/measures-0.json", "two/measures-0.json", "two/measures-1.json")
    )
    assert two[0] == two[1]
    assert two[0] == pytest.approx(one, abs=1e-5)


def test_fixed_layers_do_not_move_in_training(tokenizer, tmp_path):
    model = preference(tokenizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = settings_for(tmp_path, "aesthetic", fix_rate=0.5, steps=3)
    fit(begin(settings, cpu=True), model, aesthetic_rows(16), aesthetic_rows(8, seed=1), settings)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any("embeddings" in name or "layers.0." in name or "layer.0." in name for name in moved)
    assert any("layers.3." in name for name in moved)


def test_a_published_score_is_standardised_anew(tokenizer, tmp_path):
    model = preference(tokenizer)
    model.config.score_mean, model.config.score_std = 100.0, 7.0
    settings = settings_for(tmp_path, "aesthetic", steps=2, standardise=10)
    fit(begin(settings, cpu=True), model, aesthetic_rows(16), aesthetic_rows(8, seed=1), settings)
    config = PreferenceReward.from_pretrained(tmp_path / "reward").config
    assert abs(config.score_mean) < 10
    assert 0 < config.score_std < 7


def test_a_score_is_standardised_on_pictures_as_they_are(tokenizer, tmp_path):
    settings, rows = settings_for(tmp_path, "aesthetic", steps=2, tint=0.5), aesthetic_rows(16)
    fit(begin(settings, cpu=True), preference(tokenizer), rows, aesthetic_rows(8, seed=1), settings)
    scores = scores_of(PreferenceReward.from_pretrained(tmp_path / "reward"), "aesthetic", rows)
    assert scores.mean().item() == pytest.approx(0, abs=1e-3)
    assert scores.std().item() == pytest.approx(1, abs=1e-3)


def test_the_weights_that_are_kept_are_written_and_measured(tokenizer, tmp_path):
    settings = settings_for(tmp_path, "aesthetic", steps=6, ema_decay=0.9)
    measures = fit(begin(settings, cpu=True), preference(tokenizer), aesthetic_rows(16), aesthetic_rows(8), settings)
    means = load_file(tmp_path / "checkpoints" / "step-00000006" / "means.safetensors")
    written = PreferenceReward.from_pretrained(tmp_path / "reward").state_dict()
    assert all(torch.equal(written[name.removeprefix("aesthetic/")], value) for name, value in means.items())
    (told,) = [line for line in lines(settings, "validation/loss") if line]
    assert measures["loss"] == pytest.approx(told["validation/loss"], rel=1e-4)


@pytest.mark.parametrize(("reward", "rows"), CASES, ids=[name for name, _ in CASES])
def test_the_loss_that_is_told_in_the_end_is_that_of_the_log(tokenizer, tmp_path, reward, rows):
    """Neither knows the dropout of training."""
    model = coherence() if reward == "coherence" else preference(tokenizer, mlp_widths=[8, 8], mlp_dropout=0.5)
    settings = settings_for(tmp_path, reward, steps=10)
    measures = fit(begin(settings, cpu=True), model, rows(16), rows(8, seed=1), settings)
    (told,) = [loss for loss in lines(settings, "validation/loss") if loss]
    assert measures["loss"] == pytest.approx(told["validation/loss"], rel=1e-4)


def test_a_measure_that_does_not_exist_is_refused_before_the_first_step(tmp_path):
    settings = settings_for(tmp_path, "coherence", watch="pair_accuracy")
    with pytest.raises(ValueError, match=r"watch is 'pair_accuracy'; of .* measures, higher is better for pixel_auc\."):
        fit(begin(settings, cpu=True), coherence(), coherence_rows(8), coherence_rows(4), settings)
    assert not (tmp_path / "log.jsonl").exists()


def test_what_falls_where_it_gets_better_is_not_watched(tokenizer, tmp_path):
    settings = settings_for(tmp_path, "aesthetic", watch="loss")
    with pytest.raises(ValueError, match=r"watch is 'loss'; of .* measures, higher is better for pair_accuracy\."):
        fit(begin(settings, cpu=True), preference(tokenizer), aesthetic_rows(8), aesthetic_rows(4), settings)


def test_held_out_pictures_that_cannot_be_measured_together_are_said(tmp_path):
    rows, kinds = coherence_rows(4), concatenate_datasets([coherence_rows(2), coherence_rows(2, size=24)])
    size = Image.open(io.BytesIO(rows[0]["image"]["bytes"])).size
    real = rows.map(lambda row: {"mask": {"bytes": png(Image.new("L", size)), "path": None}})
    for words, unseen in {"are of several sizes; set crop": kinds, "pixel_auc needs some of both": real}.items():
        settings = settings_for(tmp_path, "coherence", steps=2, batch_size=1)
        with pytest.raises(ValueError, match=words):
            fit(begin(settings, cpu=True), coherence(), rows, unseen, settings)
        assert not (tmp_path / "log.jsonl").exists()  # before the first step


def test_pictures_of_several_sizes_are_said_and_cut_where_that_is_asked(tmp_path):
    rows = concatenate_datasets([coherence_rows(8), coherence_rows(8, size=24)])
    settings = settings_for(tmp_path / "all", "coherence", steps=2)
    with pytest.raises(
        ValueError, match=r"image is \(3, .*\) in one row and \(3, .*\) in another; make them of one size"
    ):
        fit(begin(settings, cpu=True), coherence(), rows, coherence_rows(4), settings)
    cut = settings_for(tmp_path / "cut", "coherence", steps=2, crop=16)
    assert fit(begin(cut, cpu=True), coherence(), rows, rows, cut).keys() == {"pixel_auc", "loss"}
