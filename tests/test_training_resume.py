"""The loop survives: kill -9 and go on to the same weights, half-written checkpoints, two processes equal to one."""

import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from byteedit.training.run import begun
from byteedit.training.settings import Settings
from toy_training import equal, fresh, group, launch, lines, plain, reset, run, settings_for, slow, squared  # noqa: F401

KILLS = {
    "steps": 60,
    "checkpoint_every": 6,
    "ema_decay": 0.9,
    "accumulate": 2,
    "validate_every": 15,
    "watch": "up",
    "keep": 10,
}


def drawn(model):
    """A validation that uses up random numbers, and so must be gone through again exactly."""
    return {"up": float(model[0].weight.sum() + 0.1 * torch.rand(()))}


def test_killed_twice_and_resumed_the_weights_are_those_of_an_undisturbed_run(tmp_path):
    undisturbed, killed = (settings_for(tmp_path / name, **KILLS) for name in ("undisturbed", "killed"))
    whole = launch(undisturbed, validate=drawn)
    for checkpoint in ("step-00000006", "step-00000030"):
        process = launch(killed, prepare=slow, validate=drawn)
        while not (killed.output / "checkpoints" / checkpoint).is_dir():
            assert process.is_alive(), "the run ended before it could be killed"
            time.sleep(0.01)
        process.kill()
        process.join()
        assert not (killed.output / "weights.safetensors").exists()
    last = launch(killed, validate=drawn)
    for process in (whole, last):
        process.join(120)
        assert process.exitcode == 0

    for file in ("weights.safetensors", next(killed.output.glob("best-*")).name):
        assert equal(load_file(killed.output / file), load_file(undisturbed.output / file))
    files = [s.output / "checkpoints" / "step-00000060" / "optimizer.bin" for s in (killed, undisturbed)]
    states = [torch.load(file, weights_only=True) for file in files]
    assert torch.equal(*(state["state"][0]["exp_avg"] for state in states))
    means = [load_file(s.output / "checkpoints" / "step-00000060" / "means.safetensors") for s in (killed, undisturbed)]
    assert equal(*means)
    names = ("step", "lr", "validation/up")
    assert lines(killed, *names) == lines(undisturbed, *names)


def test_a_half_written_checkpoint_is_never_gone_on_from(tmp_path):
    settings = settings_for(tmp_path, checkpoint_every=8)
    weights = run(settings)
    (tmp_path / "checkpoints" / "step-00000024").rename(tmp_path / "checkpoints" / "new")
    (tmp_path / "checkpoints" / "new" / "model.safetensors").write_bytes(b"half")
    assert equal(run(settings), weights)
    assert not (tmp_path / "checkpoints" / "new").exists()


def test_a_run_that_stopped_goes_on_to_the_same_weights_and_log(tmp_path):
    def broken(model, batch):
        if next(steps) == 25:
            raise KeyboardInterrupt
        return squared(model, batch)

    steps, changes = iter(range(100)), {"checkpoint_every": 5, "ema_decay": 0.9, "accumulate": 2, "log_every": 2}
    whole, parts = (settings_for(tmp_path / name, **changes) for name in ("whole", "parts"))
    weights = run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(parts, loss=broken)
    torch.manual_seed(99)
    assert equal(run(parts), weights)
    steps = [line["step"] for line in lines(parts, "step")]
    assert steps == [line["step"] for line in lines(whole, "step")] == list(range(2, 25, 2))


def test_a_run_goes_on_only_as_it_began(tmp_path):
    settings = settings_for(tmp_path, steps=4)
    run(settings)
    with pytest.raises(
        ValueError, match=re.escape("step-00000004 was written with lr 0.05, now it is 0.1; set it back")
    ):
        run(replace(settings, lr=0.1))
    assert not equal(
        run(replace(settings, steps=6, log_every=1)),
        load_file(tmp_path / "checkpoints" / "step-00000004" / "model.safetensors"),
    )


def test_a_setting_that_an_older_version_did_not_have_is_what_its_default_says(tmp_path):
    settings = settings_for(tmp_path, steps=4)
    run(settings)
    file = tmp_path / "checkpoints" / "step-00000004" / "run.json"
    state = json.loads(file.read_text())
    for name in ("betas", "weight_decay"):
        del state["course"][name]
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"was written with weight_decay 0.0, now it is 0.1"):
        run(replace(settings, weight_decay=0.1))
    run(replace(settings, steps=5))
    assert (tmp_path / "checkpoints" / "step-00000005").is_dir()
    del state["course"]["processes"]  # which has no default
    file = tmp_path / "checkpoints" / "step-00000005" / "run.json"
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="was written with processes None, now it is 1"):
        run(settings)


def test_a_run_goes_on_that_knew_a_setting_by_another_name(tmp_path):
    settings = settings_for(tmp_path, steps=4, lr_scheduler="linear")
    run(settings)
    file = tmp_path / "checkpoints" / "step-00000004" / "run.json"
    state = json.loads(file.read_text())
    state["course"]["schedule"] = state["course"].pop("lr_scheduler")
    file.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="was written with lr_scheduler 'linear', now it is 'cosine'"):
        run(replace(settings, lr_scheduler="cosine"))
    run(replace(settings, steps=5))
    assert (tmp_path / "checkpoints" / "step-00000005").is_dir()


def test_a_run_whose_output_has_a_default_goes_on(tmp_path):
    @dataclass(kw_only=True)
    class Somewhere(Settings):
        output: Path = Path(".runs/somewhere")

    settings = Somewhere(**vars(settings_for(tmp_path, steps=4)))
    run(settings)
    run(replace(settings, steps=5))
    assert (tmp_path / "checkpoints" / "step-00000005").is_dir()


def test_old_checkpoints_are_deleted(tmp_path):
    run(settings_for(tmp_path, checkpoint_every=5, keep=3))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000015", "step-00000020", "step-00000024"]


def test_two_processes_equal_one_with_batches_twice_as_large(tmp_path):
    plainly = {"prepare": plain, "dropout": 0.0, "validate": None}
    one = settings_for(tmp_path / "one", batch_size=8)
    alone = launch(one, **plainly)
    two = settings_for(tmp_path / "two", batch_size=4)
    pair = [launch(two, rank, **plainly) for rank in group(2)]
    for process in (alone, *pair):
        process.join(120)
        assert process.exitcode == 0
    ours, theirs = (load_file(s.output / "weights.safetensors") for s in (one, two))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    loss = [[line["toy/loss"] for line in lines(s, "toy/loss")] for s in (one, two)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-4)
    assert loss[0][-1] < 0.5 * loss[0][0]


def test_the_best_weights_are_those_that_the_checkpoint_speaks_of(tmp_path):
    marks, seen = {4: 1.0, 8: 0.5, 12: 2.0}, {}

    def mark(model):
        seen[step := 4 * (len(seen) + 1)] = {name: value.clone() for name, value in model.state_dict().items()}
        return {"mark": marks[step]}

    def broken(model, batch):
        if len(seen) == 3:  # the best so far lies after the last checkpoint
            raise KeyboardInterrupt
        return squared(model, batch)

    settings = settings_for(tmp_path, checkpoint_every=8, validate_every=4, watch="mark")
    with pytest.raises(KeyboardInterrupt):
        run(settings, loss=broken, validate=mark)
    kept = run(replace(settings, steps=10), validate=lambda model: {"mark": 0.0})
    assert equal(kept, {name: seen[4][name] for name in kept})
    assert [file.name for file in tmp_path.glob("best*")] == ["best-00000004.safetensors"]


def test_what_is_watched_and_kept_is_the_running_mean(tmp_path):
    seen = []

    def watched(model):
        seen.append(model[0].weight.clone())
        return {"up": float(len(seen))}

    settings = settings_for(tmp_path, ema_decay=0.9, checkpoint_every=24, watch="up")
    kept = run(settings, validate=watched)
    last = tmp_path / "checkpoints" / "step-00000024"
    mean = load_file(last / "means.safetensors")["toy/0.weight"]
    assert torch.equal(seen[-1], mean) and torch.equal(kept["0.weight"], mean)
    assert not torch.equal(mean, load_file(last / "model.safetensors")["0.weight"])


def test_weights_of_a_compiled_model_are_kept_by_their_own_names(tmp_path, monkeypatch):
    watched = {"watch": "up", "ema_decay": 0.9}
    plainly = run(settings_for(tmp_path / "a", **watched), validate=lambda model: {"up": 0.0})
    reset()
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    compiled = run(settings_for(tmp_path / "b", **watched), validate=lambda model: {"up": 0.0})
    assert compiled.keys() == plainly.keys()
    for name, value in plainly.items():
        torch.testing.assert_close(compiled[name], value)


def test_what_was_learnt_is_kept_where_a_validation_fails(tmp_path):
    """The run goes on with the validation that failed, and ends as one in which none did."""

    def mark(model):
        found = drawn(model)
        if next(fails):
            raise ConnectionError("the judge is away")
        return {"mark": len(seen), **found} if not seen.append(found) else {}

    whole, parts = (
        settings_for(tmp_path / name, ema_decay=0.9, validate_every=8, watch="mark", checkpoint_every=50)
        for name in ("whole", "parts")
    )
    seen, fails = [], iter([False] * 3)
    weights, told = run(whole, validate=mark), lines(whole, "step", "validation/up")
    seen, fails = [], iter([False, True, False, True, False])
    for step in (16, 24):
        reset()
        with pytest.raises(ConnectionError):
            run(parts, validate=mark)
        assert (parts.output / "checkpoints" / f"step-{step:08}").is_dir()
    reset()
    assert equal(run(parts, validate=mark), weights)
    assert lines(parts, "step", "validation/up") == told
    assert [file.name for file in parts.output.glob("best-*")] == ["best-00000024.safetensors"]
    reset()
    assert equal(run(parts, validate=mark), weights)  # finished, so nothing is validated again


def test_a_validation_that_measures_nothing_leaves_no_line(tmp_path):
    settings = settings_for(tmp_path, steps=4, log_every=4, validate_every=1)
    run(settings, validate=lambda model: {})
    assert [line["step"] for line in lines(settings, "step")] == [4]


def test_a_run_that_goes_on_for_longer_has_the_rates_of_one_that_was_as_long(tmp_path):
    short, long = (settings_for(tmp_path / name, warmup=0, log_every=1) for name in ("short", "long"))
    run(replace(short, steps=12))
    reset()
    run(short)
    reset()
    run(long)
    rates = [[line["lr"] for line in lines(one, "step", "lr")] for one in (short, long)]
    assert rates[0][12:] == rates[1][12:] and rates[0][5] != rates[1][5]
    moved = [
        torch.load(one.output / "checkpoints" / "step-00000024" / "optimizer.bin", weights_only=True)["param_groups"]
        for one in (short, long)
    ]
    assert moved[0] == moved[1]


def test_a_line_of_the_log_tells_the_rate_that_its_step_was_taken_with(tmp_path):
    settings = settings_for(tmp_path, steps=6, warmup=2, lr_scheduler="linear", log_every=1)
    for length in (3, 6):
        run(replace(settings, steps=length))
        reset()
    rates = [line["lr"] for line in lines(settings, "lr")]
    assert rates == pytest.approx([0, 0.025, 0.05, 0.0375, 0.025, 0.0125])


def test_less_steps_than_were_taken_are_said(tmp_path, caplog):
    run(settings_for(tmp_path))
    reset()
    run(settings_for(tmp_path, steps=6))
    assert "steps is 6; the run has taken 24 already, which are kept" in caplog.text


def test_what_was_learnt_since_the_last_line_is_told_where_a_run_stops_early(tmp_path):
    settings = settings_for(tmp_path, log_every=10, validate_every=3, watch="mark", patience=1)
    marks = iter([1.0, 0.5])
    run(settings, validate=lambda model: {"mark": next(marks)})
    assert [line["step"] for line in lines(settings, "step", "toy/loss") if "toy/loss" in line] == [6]


def test_a_folder_has_one_training_at_a_time(tmp_path):
    settings, said = settings_for(tmp_path, steps=2), "another training is at work in"
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match=said), begun(settings):
        pass
    reset()
    with begun(settings) as accelerator:
        assert accelerator.is_main_process
