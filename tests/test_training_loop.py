"""The loop: AdamW by hand, means, objectives in turn, clear stops, early stop, trackers, batches, settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from byteedit.training.batches import Batches, order
from byteedit.training.loop import Objective, begin, train
from byteedit.training.settings import Settings, read
from toy_training import ROWS, build, equal, fresh, jitter, lines, plain, run, settings_for, squared  # noqa: F401


def test_accumulated_batches_equal_one_large_one(tmp_path):
    whole = run(settings_for(tmp_path / "whole", batch_size=8), prepare=plain, dropout=0.0)
    parts = run(settings_for(tmp_path / "parts", accumulate=2), prepare=plain, dropout=0.0)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


def test_the_loop_is_adam_by_hand(tmp_path):
    settings = settings_for(tmp_path, steps=5, clip=0.5, lr_scheduler="constant_with_warmup", weight_decay=0.1)
    weights = run(settings, prepare=plain, dropout=0.0)

    model = build(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1, betas=(0.9, 0.999))
    for step in range(5):
        batch = [ROWS[row] for row in order(0, 0, 40)[4 * step : 4 * step + 4]]
        x, y = (torch.tensor(np.stack([row[name] for row in batch])) for name in "xy")
        optimizer.param_groups[0]["lr"] = 0.05 * min(1, step / 3)
        optimizer.zero_grad()
        ((model(x).squeeze(-1) - y) ** 2).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    torch.testing.assert_close(weights, dict(model.state_dict()), atol=1e-6, rtol=0)


def test_running_means_are_what_is_kept(tmp_path):
    settings = settings_for(tmp_path, ema_decay=0.2, steps=4, checkpoint_every=1, keep=9)
    kept = run(settings)
    mean = build()[0].weight.detach()
    for step, decay in ((1, 0.0), (2, 2 / 11), (3, 0.2), (4, 0.2)):  # diffusers lets the decay grow with the steps
        weight = load_file(tmp_path / "checkpoints" / f"step-{step:08}" / "model.safetensors")["0.weight"]
        mean = decay * mean + (1 - decay) * weight
    torch.testing.assert_close(kept["0.weight"], mean)
    assert not torch.allclose(mean, weight)


def test_attention_that_gives_no_numbers_on_hopper_is_not_used(tmp_path):
    torch.backends.cuda.enable_cudnn_sdp(True)
    begin(settings_for(tmp_path), cpu=True)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_fixed_parameters_stay_and_are_not_kept(tmp_path):
    model = build()
    before = model[0].weight.clone()
    model[0].requires_grad_(False)
    accelerator = begin(settings_for(tmp_path), cpu=True)
    batches = Batches(dataset=ROWS, prepare=plain, batch_size=4)
    objective = Objective(name="toy", model=model, loss=squared)
    kept = train(accelerator, [objective], batches, settings_for(tmp_path))["toy"]
    assert set(kept) == {"3.weight", "3.bias"}
    assert torch.equal(model[0].weight, before)


def test_objectives_take_turns_each_with_its_own_optimiser(tmp_path):
    maker, critic = nn.Linear(3, 1), nn.Linear(1, 1)
    seen = []

    def follow(model, batch):
        seen.append("maker")
        with torch.no_grad():
            slope = critic.weight.clone()
        return {"loss": (slope * model(batch["x"])).mean()}

    def judge(model, batch):
        seen.append("critic")
        with torch.no_grad():
            made = maker(batch["x"])
        return {"loss": ((model(made) - batch["y"][:, None]) ** 2).mean()}

    settings = settings_for(tmp_path, steps=3, warmup=0, lr_scheduler="constant_with_warmup")
    objectives = [
        Objective(name="maker", model=maker, loss=follow),
        Objective(name="critic", model=critic, loss=judge, lr=1e-3),
    ]
    bias = critic.bias.item()
    batches = Batches(dataset=ROWS, prepare=plain, batch_size=4)
    kept = train(begin(settings, cpu=True), objectives, batches, settings)
    assert seen == ["maker", "critic"] * 3
    assert set(kept) == {"maker", "critic"}
    assert 0 < abs(critic.bias.item() - bias) <= 3.1e-3
    assert set(lines(settings, "maker/loss", "critic/loss", "critic/gradient")[-1]) == {
        "maker/loss",
        "critic/loss",
        "critic/gradient",
    }


def test_an_objective_whose_rate_is_0_stays_as_it_is(tmp_path):
    still, other = nn.Linear(3, 1), nn.Linear(3, 1)
    before, moved = still.weight.clone(), other.weight.clone()
    objectives = [
        Objective(name="still", model=still, loss=squared, lr=0.0),
        Objective(name="other", model=other, loss=squared),
    ]
    batches = Batches(dataset=ROWS, prepare=plain, batch_size=4)
    train(begin(settings_for(tmp_path), cpu=True), objectives, batches, settings_for(tmp_path))
    assert torch.equal(still.weight, before) and not torch.equal(other.weight, moved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(({name: 0}, f"{name} is 0; give 1 or more") for name in ("steps", "batch_size", "accumulate", "keep")),
        ({"clip": 0.0}, "clip is 0.0; give a norm above 0"),
        ({"clip": -1.0}, "clip is -1.0; give a norm above 0"),
    ],
)
def test_settings_by_which_nothing_is_learnt_are_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        begin(settings_for(tmp_path, **changes), cpu=True)


def scaled(settings):
    """An accelerator that scales its losses, as it does in fp16."""
    accelerator = begin(settings, cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu")
    return accelerator


@pytest.mark.parametrize("heals", [False, True])
def test_fp16_stops_when_it_skips_step_after_step(tmp_path, heals):
    settings, steps = settings_for(tmp_path, steps=30), iter(range(1, 100))

    def loss(model, batch):
        terms, step = squared(model, batch), next(steps)
        bad = step > 3 and not (heals and step % 19 == 0)
        terms["loss"].register_hook(lambda gradient: gradient * float("nan") if bad else gradient)
        return terms

    objectives = [Objective(name="toy", model=build(), loss=loss)]
    batches = Batches(dataset=ROWS, prepare=plain, batch_size=4)
    if heals:
        train(scaled(settings), objectives, batches, settings)
        assert next(steps) == 31
        return
    with pytest.raises(FloatingPointError, match=r"gradient of toy .* for 20 steps in a row, up to step 23;"):
        train(scaled(settings), objectives, batches, settings)


def test_several_objectives_are_not_trained_in_fp16(tmp_path):
    settings = settings_for(tmp_path)
    objectives = [Objective(name=name, model=build(), loss=squared) for name in ("one", "two")]
    with pytest.raises(ValueError, match="fp16 scales the loss of one objective only; take mixed_precision bf16"):
        train(scaled(settings), objectives, Batches(dataset=ROWS, prepare=plain, batch_size=4), settings)


@pytest.mark.parametrize("term", ["worst", "gradient"])
def test_a_term_that_is_not_finite_stops_with_its_name_and_step(tmp_path, term):
    steps = iter(range(100))

    def loss(model, batch):
        terms, bad = squared(model, batch), next(steps) == 6
        if term == "worst":
            return {"loss": terms["loss"], "worst": terms["worst"] * (float("nan") if bad else 1)}
        terms["loss"].register_hook(lambda gradient: gradient * float("inf") if bad else gradient)
        return terms

    with pytest.raises(FloatingPointError, match=rf"toy/{term} is (nan|inf) at step 7;"):
        run(settings_for(tmp_path, checkpoint_every=3), loss=loss)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000003", "step-00000006"]


def test_it_stops_early_and_keeps_the_best_weights(tmp_path):
    marks, seen = iter([0.1, 0.7, 0.5, 0.6, 0.9]), []

    def validate(model):
        assert not model.training
        seen.append(model[0].weight.clone())
        return {"mark": next(marks)}

    settings = settings_for(tmp_path, validate_every=2, watch="mark", patience=2)
    kept = run(settings, validate=validate)
    assert [line["validation/mark"] for line in lines(settings, "validation/mark") if line] == [0.1, 0.7, 0.5, 0.6]
    assert torch.equal(kept["0.weight"], seen[1])
    assert equal(run(settings, validate=validate), kept)  # a run that is over stays so
    assert len(seen) == 4


def test_what_is_watched_must_be_measured(tmp_path):
    with pytest.raises(ValueError, match="watch is 'gold'; of the validation's measures, higher is better for silver"):
        run(settings_for(tmp_path, watch="gold", steps=2), validate=lambda model: {"silver": 1.0})
    with pytest.raises(ValueError, match="this stage has no validation"):
        run(settings_for(tmp_path, watch="gold"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_watched_measure_that_is_not_finite_stops_with_its_name_and_step(tmp_path, bad):
    marks = iter([0.5, bad, 0.9])
    settings = settings_for(tmp_path, validate_every=2, watch="mark")
    with pytest.raises(FloatingPointError, match=rf"mark, which is watched, is {bad} at step 4;"):
        run(settings, validate=lambda model: {"mark": next(marks)})
    others = iter([bad] * 99)
    run(settings_for(tmp_path / "other", watch=""), validate=lambda model: {"mark": next(others)})


def test_validation_comes_first_where_asked_and_its_sheet_is_written(tmp_path):
    settings, sheet = settings_for(tmp_path, steps=2, validate_every=1), Image.new("RGB", (3, 2))
    (tmp_path / "log.jsonl").write_text('{"step": 0, "validation/mark": 1}\n')  # of a run killed before any checkpoint
    train(
        begin(settings, cpu=True),
        [Objective(name="toy", model=build(), loss=squared)],
        Batches(dataset=ROWS, prepare=plain, batch_size=4),
        settings,
        validate=lambda model: {"mark": 0.5, "sheet": sheet},
        validate_first=True,
    )
    measured = [line for line in lines(settings, "step", "validation/mark") if "validation/mark" in line]
    assert measured == [{"step": step, "validation/mark": 0.5} for step in range(3)]
    assert sorted(p.name for p in (tmp_path / "validation").iterdir()) == [f"step-0000{step}.png" for step in range(3)]


def test_trackers_get_every_term(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = settings_for(tmp_path, trackers=("tensorboard",))
    run(settings, validate=lambda model: {"mark": 0.5})
    events = EventAccumulator(str(tmp_path / "trackers" / "byteedit")).Reload()
    assert {"toy/loss", "toy/worst", "toy/gradient", "lr", "validation/mark"} <= set(events.Tags()["scalars"])
    logged = {line["step"]: line["toy/loss"] for line in lines(settings, "step", "toy/loss") if "toy/loss" in line}
    assert {event.step: event.value for event in events.Scalars("toy/loss")} == pytest.approx(logged, rel=1e-4)


def test_bf16_trains_and_keeps_its_parameters_in_float32(tmp_path):
    settings = settings_for(tmp_path, mixed_precision="bf16", steps=12)
    seen = []

    def loss(model, batch):
        model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        return squared(model, batch)

    kept = run(settings, loss=loss)
    assert seen[0] == torch.bfloat16
    assert {value.dtype for value in kept.values()} == {torch.float32}


def test_batches_are_a_pure_function_of_their_number():
    batches = Batches(dataset=ROWS, prepare=jitter, batch_size=8, seed=3)
    assert batches.per_epoch == 5
    once = [batch["x"] for batch in batches.stream(0, 12)]
    again = [batch["x"] for batch in replace(batches, workers=2).stream(7, 12)]
    assert all(torch.equal(a, b) for a, b in zip(once[7:], again, strict=True))
    assert sorted(torch.cat(once[:5])[:, 0].tolist()) != sorted(torch.cat(once[5:10])[:, 0].tolist())  # new draws
    rows = np.concatenate([order(3, 0, 40)[:40]])
    assert sorted(rows) == list(range(40))
    assert not np.array_equal(rows, order(3, 1, 40))


def test_too_little_data_for_a_batch_is_said():
    with pytest.raises(ValueError, match="40 rows do not fill one batch of 30 on each of 2 processes"):
        Batches(dataset=ROWS, prepare=plain, batch_size=30, processes=2)


def test_a_preset_says_only_what_differs_from_the_one_beside_it(tmp_path):
    (tmp_path / "whole.yaml").write_text("output: out\nsteps: 10\nbatch_size: 4\nlr: 1e-5\n")
    (tmp_path / "other.yaml").write_text("like: whole.yaml\nsteps: 20\n")
    settings = read(Settings, tmp_path / "other.yaml", ["lr=1e-3"])
    assert (settings.steps, settings.batch_size, settings.lr) == (20, 4, 1e-3)
    (tmp_path / "third.yaml").write_text("like: other.yaml\nbatch_size: 6\n")
    settings = read(Settings, tmp_path / "third.yaml")
    assert (settings.steps, settings.batch_size, settings.lr) == (20, 6, 1e-5)
    (tmp_path / "whole.yaml").write_text("like: third.yaml\n")
    with pytest.raises(ValueError, match=r"third.yaml is like .*other.yaml, which is like .*whole.yaml, which is like"):
        read(Settings, tmp_path / "third.yaml")


def test_settings_come_from_yaml_and_overrides(tmp_path):
    preset = tmp_path / "preset.yaml"
    preset.write_text("steps: 10\nbatch_size: 4\nlr: 1e-5\ntrackers: [tensorboard]\n")
    settings = read(Settings, preset, ["output=out", "clip=5e-1"])
    assert (settings.lr, settings.clip, settings.steps, settings.trackers) == (1e-5, 0.5, 10, ("tensorboard",))
    assert str(settings.output) == "out"
    for overrides, words in (
        ([], "output must be given"),
        (["output=out", "steps=many"], "steps is 'many', expected a number"),
        (["output=out", "steps=2.5"], "steps is 2.5, expected a whole number"),
        (["output=out", "trackers=wandb"], r"trackers is 'wandb', expected a list, such as \[wandb\]"),
        (["output=out", "setps=3"], r"no settings are called setps; perhaps steps\?$"),
        (["output"], "expected name=value, got 'output'"),
        (["output=out", "patience=2"], "patience needs a measure to watch"),
    ):
        with pytest.raises(ValueError, match=words):
            read(Settings, preset, overrides)
