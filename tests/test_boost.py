"""Feedback learning as a whole stage: what it trains, writes and measures; how it stops, goes on, and complains."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from byteedit import ByteEditInpaintPipeline
from byteedit.rewards import PreferenceReward
from byteedit.training.base import open_base
from byteedit.training.boost import PeflSettings, fit, open_features, open_rewards
from byteedit.training.loop import begin
from byteedit.training.pefl import Feedback
from byteedit.training.watching import HeldOut
from test_adapters import RAW, latents
from toy_rewards import coherence, preference
from toy_training import FORKS, equal, fresh, group, lines  # noqa: F401

SMALL = {"data": "picturebook", "size": 32, "T": 4, "T1": 3, "T2": 2, "steps": 4, "batch_size": 2, "lr": 1e-2}


@pytest.fixture
def settings(pipe, tokenizer, tmp_path):
    """Settings of a tiny run: a LoRA, two rewards, the tower of one of them."""
    pipe.save_pretrained(tmp_path / "base")
    for name in ("pretty", "alignment"):
        preference(tokenizer).save_pretrained(tmp_path / name)
    return PeflSettings(
        output=tmp_path / "run",
        base=str(tmp_path / "base"),
        rewards={"pretty": 1, "alignment": 0.5},
        reward_models={name: str(tmp_path / name) for name in ("pretty", "alignment")},
        features="pretty",
        rank=2,
        log_every=1,
        seed=1,
        **SMALL,
    )


def watched(settings, **changes):
    """The same with pictures that are held out."""
    return replace(settings, held_out="picturebook:validation", held_out_rows=5, shown=3, **changes)


def run(settings, judge=None):
    """The measures, and the pipeline as it is in the end."""
    accelerator = begin(settings, cpu=True)
    pipe = open_base(settings)
    return fit(accelerator, pipe, settings, judge), pipe


def lora_of(settings):
    return load_file(settings.output / "lora" / "pytorch_lora_weights.safetensors")


def logged(settings):
    """The names of all that the log tells."""
    return {name for line in (settings.output / "log.jsonl").read_text().splitlines() for name in json.loads(line)}


def parameters(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def test_a_run_learns_what_its_rewards_say_and_tells_every_term(settings):
    for place in settings.reward_models.values():  # so that they tell more than they do with random weights
        config = Path(place) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"score_mean": 0.28, "score_std": 0.002}))
    follow = {"reward_shape": "linear", "eta": 0.0, "mask_probs": {"global": 1}, "prompted": ()}
    settings = watched(settings, rank=0, steps=12, lr=2e-2, **follow)
    measures, _ = run(settings)
    before, *_, after = lines(settings, "step", "validation/score/pretty", "validation/score/alignment")
    assert before["step"] == 0 and after["step"] == 12
    assert measures["score/pretty"] > before["validation/score/pretty"] + 1
    assert measures == pytest.approx({name: after[f"validation/{name}"] for name in measures}, rel=1e-4)
    terms = {"score/pretty", "reward/pretty", "score/alignment", "reward/alignment", "reg", "vgg", "loss", "gradient"}
    assert {f"pefl/{name}" for name in terms} < logged(settings)


def test_exactly_the_lora_is_trained_and_kept_in_checkpoints(settings):
    opened = open_base(settings)
    start = {name: parameters(part) for name, part in opened.components.items() if isinstance(part, torch.nn.Module)}
    _, pipe = run(settings)
    for name, values in start.items():
        moved = {key for key, value in parameters(getattr(pipe, name)).items() if not torch.equal(value, values[key])}
        trained = {key for key in values if "lora_" in key}
        assert moved == trained and bool(trained) == (name == "unet")
    written = load_file(settings.output / "checkpoints" / "step-00000004" / "model.safetensors")
    assert written.keys() == {key for key in start["unet"] if "lora_" in key}
    assert sum(value.numel() for value in written.values()) < 0.1 * sum(v.numel() for v in start["unet"].values())


@pytest.mark.parametrize("half", [False, True])
def test_the_lora_loads_in_both_pipelines_and_measures_as_it_was_written(settings, parts, scene, half):
    settings = watched(settings, half=half)
    measures, tuned = run(settings)
    ours, theirs = (
        kind.from_pretrained(settings.base, safety_checker=None)
        for kind in (ByteEditInpaintPipeline, StableDiffusionInpaintPipeline)
    )
    before = latents(ours, scene(), **RAW)
    for opened, own in ((ours, RAW), (theirs, {})):
        opened.load_lora_weights(settings.output / "lora")
        torch.testing.assert_close(latents(opened, scene(), **own), latents(tuned, scene(), **RAW), rtol=0, atol=1e-5)
    assert torch.equal(latents(ours, scene(), **RAW), latents(theirs, scene()))
    assert (latents(ours, scene(), **RAW) - before).abs().max() > 0.01
    assert {value.dtype for value in lora_of(settings).values()} == {torch.float16 if half else torch.float32}
    again, _ = run(settings)  # a run that is over measures what it wrote
    assert again == measures


@pytest.mark.parametrize("guidance", [None, 1.0])
def test_a_lora_recommends_the_guidance_that_it_was_watched_with(settings, guidance):
    _, tuned = run(watched(settings, guidance_scale=guidance))
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    before = opened.schedule
    opened.load_lora_weights(settings.output / "lora")
    assert before.guidance_scale == 3.0 and before.num_inference_steps == 2
    assert opened.schedule == tuned.schedule == (before if guidance is None else replace(before, guidance_scale=1.0))


def test_guidance_that_is_asked_for_is_recommended_though_it_is_the_bases_own(settings):
    run(replace(settings, guidance_scale=3.0))
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    assert opened.schedule.guidance_scale == 3.0
    opened.follow(replace(opened.schedule, guidance_scale=5.0))
    opened.load_lora_weights(settings.output / "lora")
    assert opened.schedule.guidance_scale == 3.0


def test_a_lora_recommends_the_steps_that_it_was_trained_with(settings):
    _, tuned = run(replace(settings, timestep_spacing="trailing"))
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    before = opened.schedule
    opened.load_lora_weights(settings.output / "lora")
    assert before.timestep_spacing == "leading"
    assert opened.schedule == tuned.schedule == replace(before, timestep_spacing="trailing")
    assert opened.scheduler.config.timestep_spacing == "trailing"


def test_all_weights_are_trained_without_a_rank(settings):
    settings = replace(settings, rank=0, half=True, features="")
    assert run(settings)[0] == {}
    tuned, base = (UNet2DConditionModel.from_pretrained(p) for p in (settings.output / "unet", f"{settings.base}/unet"))
    assert all(not torch.equal(value, base.state_dict()[name]) for name, value in tuned.state_dict().items())
    assert "pefl/vgg" not in lines(settings, "pefl/vgg")[0]


def test_a_run_that_was_stopped_ends_with_the_same_weights(settings, monkeypatch):
    whole = watched(settings, ema_decay=0.5, validate_every=3)
    parts, learn, calls = replace(whole, output=whole.output / "parts", checkpoint_every=1), Feedback.loss, []
    measures, _ = run(whole)

    def stopping(self, unet, batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return learn(self, unet, batch)

    monkeypatch.setattr(Feedback, "loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(parts)
    monkeypatch.setattr(Feedback, "loss", learn)
    torch.manual_seed(99)
    assert run(parts)[0] == measures
    assert equal(lora_of(parts), lora_of(whole))
    names = ("step", "pefl/loss", "validation/score/pretty")
    assert lines(parts, *names) == lines(whole, *names)


def share(settings, environment):
    """One process of a run."""
    os.environ |= environment
    torch.set_num_threads(1)
    measures, _ = run(settings, judge=lambda pipe: {"rank": int(environment.get("RANK", 0.5))})
    (settings.output / f"measures-{environment.get('RANK', 0)}.json").write_text(json.dumps(measures))


@pytest.mark.slow
def test_two_processes_equal_one_with_batches_twice_as_large(settings):
    one = watched(settings, output=settings.output / "one", batch_size=4, T2=1)  # so that all draw the same t'
    two = replace(one, output=settings.output.parent / "two", batch_size=2)
    processes = [FORKS.Process(target=share, args=job) for job in ((one, {}), *((two, rank) for rank in group(2)))]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    torch.testing.assert_close(lora_of(one), lora_of(two), atol=1e-5, rtol=0)
    files = one.output / "measures-0.json", two.output / "measures-0.json", two.output / "measures-1.json"
    alone, first, second = (json.loads(file.read_text()) for file in files)
    assert first == second
    assert first.pop("rank") == 0.5  # the mean over processes
    alone.pop("rank")
    assert first == pytest.approx(alone, abs=1e-4)
    assert (
        Image.open(two.output / "validation" / "kept.png").size
        == Image.open(one.output / "validation" / "kept.png").size
    )


def test_a_judge_stops_early_and_chooses_the_weights(settings):
    gold, seen = iter([0.4, 0.9, 0.5, 0.6, 0.7]), []

    def judge(pipe):
        seen.append({name: value for name, value in parameters(pipe.unet).items() if "lora_" in name})
        assert not pipe.unet.training
        return {"gold": next(gold)}

    settings = watched(settings, steps=40, validate_every=1, watch="gold", patience=2)
    measures, pipe = run(settings, judge)
    assert [line["validation/gold"] for line in lines(settings, "validation/gold") if line] == [0.4, 0.9, 0.5, 0.6]
    assert all(torch.equal(value, parameters(pipe.unet)[name]) for name, value in seen[1].items())
    assert measures["gold"] == pytest.approx(0.7) and "score/pretty" in measures
    sheets = sorted(path.name for path in (settings.output / "validation").iterdir())
    assert sheets == ["kept.png", "step-00000.png", "step-00001.png", "step-00002.png", "step-00003.png"]
    assert Image.open(settings.output / "validation" / "kept.png").size == (3 * (2 * 32 + 4) - 4, 32)


def test_a_reward_of_weight_0_is_measured_and_not_followed(settings):
    settings = watched(settings, rewards={"pretty": 1, "alignment": 0}, watch="score/alignment")
    measures, _ = run(settings)
    assert measures.keys() == {"score/pretty", "score/alignment"}
    assert "pefl/score/pretty" in logged(settings) and "pefl/score/alignment" not in logged(settings)


def test_rewards_are_fixed_and_towers_are_shared(settings):
    accelerator = begin(settings, cpu=True)
    rewards = open_rewards(accelerator, settings)
    assert list(rewards) == ["pretty", "alignment"]
    for reward in rewards.values():
        assert isinstance(reward, PreferenceReward) and not reward.training
        assert {(value.requires_grad, value.dtype) for value in reward.parameters()} == {(False, torch.float32)}
    assert open_features(accelerator, settings, rewards).__wrapped__.__self__ is rewards["pretty"]
    alone = open_features(accelerator, settings, {})  # of a reward that is not followed
    assert len(alone(torch.zeros(1, 3, 16, 16))) == 4


def test_rows_without_prompt_count_only_where_a_reward_says_something_of_them(settings, pipe):
    rewards = dict.fromkeys(("pretty", "alignment"), lambda image, prompt: torch.tensor([1.0, 3.0]))
    held_out = HeldOut(begin(settings, cpu=True), pipe, rewards, [], prompted=settings.prompted)
    assert held_out.score(torch.zeros(2, 3, 4, 4), ["a boat", ""]).tolist() == [[4, 1], [2, 1]]


def test_a_reward_may_be_prompted_though_it_is_not_followed(settings):
    assert replace(settings, prompted=("aesthetic", "pretty")).prompted == ("aesthetic", "pretty")


def test_sharded_processes_must_take_as_many_steps(settings, monkeypatch):
    monkeypatch.setattr("byteedit.training.boost.sharded", lambda accelerator: True)
    with pytest.raises(ValueError, match=r"sampling is uniform, .* set sampling to stratified, or launch with DDP"):
        run(replace(settings, rank=0, sampling="uniform"))
    with pytest.raises(ValueError, match="A LoRA, held-out pictures and a judge need whole parameters"):
        run(replace(settings, sampling="stratified"))


def test_bf16_runs(settings):
    settings = watched(settings, mixed_precision="bf16", steps=2)
    measures, _ = run(settings)
    assert all(value == value for value in measures.values())
    assert {value.dtype for value in lora_of(settings).values()} == {torch.float32}


def test_what_is_wrong_is_said_in_a_sentence(settings, tmp_path):
    for changes, words in (
        ({"rewards": {"beauty": 1}}, "rewards has beauty, which is none of aesthetic, alignment, coherence; say where"),
        ({"rewards": {"pretty": "much"}}, "give weights by name, as in {aesthetic: 1}"),
        ({"rewards": {"pretty": 0}}, "give one a weight above 0, and none below"),
        ({"rewards": ["pretty"]}, "give weights by name"),
        ({"share": 0}, "share is 0; give more than 0, and at most 1"),
        ({"share": 0.5, "rank": 0}, "share is 0.5, which is for a LoRA; set a rank"),
        ({"prompted": ("prety",)}, "prompted has 'prety', which is no reward; there are pretty, alignment, aesthetic"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(settings, **changes)
    coherence().save_pretrained(tmp_path / "seam")
    accelerator = begin(settings, cpu=True)
    missing = replace(settings, reward_models={"pretty": "my/own/place", "alignment": "x"})
    with pytest.raises(ValueError, match="there is no reward at my/own/place; name a folder"):
        open_rewards(accelerator, missing)
    with pytest.raises(ValueError, match="features is seam, a CoherenceReward; take a PreferenceReward's tower"):
        open_features(
            accelerator,
            replace(settings, reward_models={"seam": str(tmp_path / "seam")} | settings.reward_models, features="seam"),
            {},
        )
    with pytest.raises(ValueError, match="watch is 'gold', but this stage has no validation"):
        run(replace(settings, watch="gold"))
