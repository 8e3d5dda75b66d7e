"""The pipeline takes what a checkpoint or a LoRA says of its schedule, and a call's own arguments go before it."""

import json
import shlex

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from byteedit import ByteEditInpaintPipeline
from byteedit.cli import main
from byteedit.diffusion import signal_and_noise
from byteedit.schedule import Schedule
from byteedit.training.adapters import LoraSettings, add_lora, fill_lora, save_lora
from conftest import build_unet

FAST = Schedule.trained(8, 6, "masked", "trailing")
CALM = Schedule(num_inference_steps=4, guidance_scale=1.0, timestep_spacing="trailing", noise_scale=0.5)


def lora_of(folder, schedule=None, seed=0, rank=2):
    """The folder of a LoRA for the tiny UNet, which changes what it does."""
    unet = build_unet()
    add_lora(unet, LoraSettings(rank=rank))
    torch.manual_seed(seed)
    for name, value in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    save_lora(unet, folder, schedule=schedule)
    return folder


def generator():
    return torch.Generator().manual_seed(0)


def content_of(file):
    """The tensors and the metadata of a safetensors file."""
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def timesteps_of(pipe):
    """Function that makes an edit and says which timesteps the UNet saw, and what it saw first."""
    seen = []
    pipe.unet.register_forward_hook(lambda module, args, output: seen.append((int(args[1]), args[0])))

    def run(scene, **asked):
        seen.clear()
        pipe("a red boat", *scene(), generator=generator(), **asked)
        return [t for t, _ in seen], seen[0][1]

    return run


# A schedule and its words


def test_a_pipeline_runs_as_many_steps_as_the_rollouts_it_was_tuned_on(pipe):
    for T in range(1, 60):
        pipe.scheduler.set_timesteps(T)
        for T1 in range(1, T + 1):
            assert pipe.get_timesteps(T, Schedule.trained(T, T1, "masked", None).strength, "cpu")[1] == T1
    own = {"num_inference_steps": 8, "guidance_scale": 1.0, "timestep_spacing": "trailing"}
    assert Schedule(**own, strength=0.75, init="masked") == FAST
    assert Schedule.trained(8, 6, "noise", None) == Schedule(num_inference_steps=8, guidance_scale=1.0)


def test_a_lora_says_in_its_metadata_what_is_read_from_them():
    assert Schedule.of_lora(json.loads(json.dumps({"unet.r": 2} | FAST.to_lora()))) == FAST
    assert Schedule.of_lora(CALM.to_lora()) == CALM
    later = {"schedule.noise_scale", "schedule.guidance_end"}
    first = {name: value for name, value in FAST.to_lora().items() if name not in later}
    assert Schedule.of_lora(first) == FAST
    assert Schedule.of_lora({"unet.r": 2}) is None
    assert Schedule.of_lora(None) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule.strength": "much"}, "strength=much is out of range"),
        ({"schedule.strength": 0}, "nothing to do"),
        ({"schedule.num_inference_steps": 2.5}, "num_inference_steps is 2.5; give a whole number"),
        ({"schedule.guidance_scale": float("nan")}, "guidance_scale is nan; give a finite number"),
        ({"schedule.init": "grey"}, "init is 'grey'; give 'noise', 'masked'"),
        ({"schedule.init": "noise"}, "init='noise' starts from pure noise, strength=0.75 does not"),
        ({"schedule.timestep_spacing": "even"}, "timestep_spacing is 'even'; give 'trailing'"),
        ({"schedule.noise_scale": 0}, "noise_scale is 0; give a number above 0"),
        ({"schedule.guidance_end": 0}, "guidance_end is 0; give a share of the steps"),
        ({"schedule.solver": "euler"}, r"does not fit this version of byteedit \(solver\)"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        Schedule.of_lora(FAST.to_lora() | changes)


# Checkpoints


def test_a_checkpoint_keeps_its_schedule(parts, tmp_path):
    pipe = ByteEditInpaintPipeline(**parts())
    pipe.follow(FAST)
    pipe.save_pretrained(tmp_path)
    opened = ByteEditInpaintPipeline.from_pretrained(tmp_path)
    assert opened.schedule == FAST
    assert json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())["timestep_spacing"] == "trailing"


def test_a_call_without_arguments_begins_as_training_does(parts, scene):
    """At T1 of T steps, from the masked picture that is noised to there."""
    pipe = ByteEditInpaintPipeline(**parts())
    pipe.set_progress_bar_config(disable=True)
    pipe.follow(FAST)
    times, first = timesteps_of(pipe)(scene)
    pipe.scheduler.set_timesteps(8)
    assert times == pipe.scheduler.timesteps[2:].tolist() == [749, 624, 499, 374, 249, 124]
    alpha, sigma = signal_and_noise(pipe.scheduler, torch.tensor(749))
    noise = torch.randn(1, 4, 32, 32, generator=generator())
    torch.testing.assert_close(first[:, :4], alpha * first[:, 5:] + sigma * noise)


# LoRAs


@pytest.fixture
def fast(tmp_path):
    return lora_of(tmp_path / "fast", FAST)


def test_a_lora_sets_the_defaults_and_takes_them_with_it(pipe, fast, scene):
    own, run = pipe.schedule, timesteps_of(pipe)
    assert own == Schedule(num_inference_steps=2, guidance_scale=3.0, timestep_spacing="leading")
    before = run(scene)[0]
    pipe.load_lora_weights(fast)
    assert pipe.schedule == FAST
    assert run(scene)[0] == [749, 624, 499, 374, 249, 124]
    pipe.unload_lora_weights()
    assert pipe.schedule == own
    assert run(scene)[0] == before


@pytest.mark.parametrize(
    ("asked", "times", "rows"),
    [
        ({"num_inference_steps": 4}, [749, 499, 249], 1),
        ({"strength": 0.5}, [499, 374, 249, 124], 1),
        ({"strength": 1.0}, [999, 874, 749, 624, 499, 374, 249, 124], 1),
        ({"init": "noise"}, [999, 874, 749, 624, 499, 374, 249, 124], 1),
        ({"guidance_scale": 2.0}, [749, 624, 499, 374, 249, 124], 2),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_a_call_asks_for_goes_before_it(pipe, fast, scene, asked, times, rows):
    pipe.load_lora_weights(fast)
    run = timesteps_of(pipe)
    seen, first = run(scene, **asked)
    assert (seen, len(first)) == (times, rows)
    if asked.get("init") == "noise":
        assert torch.equal(first[:, :4], torch.randn(1, 4, 32, 32, generator=generator()))


def test_a_lora_says_how_much_noise_is_handed_on(pipe, tmp_path, scene):
    def edit(**asked):
        return pipe("a red boat", *scene(), generator=generator(), output_type="latent", **asked).images

    pipe.load_lora_weights(lora_of(tmp_path, CALM))
    own, all_of_it, half = edit(), edit(noise_scale=1.0), edit(noise_scale=0.5)
    assert torch.equal(own, half)
    assert not torch.allclose(own, all_of_it, atol=1e-2)
    assert pipe.schedule.asked(num_inference_steps=8).noise_scale == pytest.approx(0.5**0.5)
    assert pipe.schedule.asked(num_inference_steps=8, noise_scale=0.5).noise_scale == 0.5
    pipe.unload_lora_weights()
    assert pipe.schedule.noise_scale == 1


def test_what_is_fused_keeps_its_schedule(pipe, fast, tmp_path):
    pipe.load_lora_weights(fast)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path / "fused")
    opened = ByteEditInpaintPipeline.from_pretrained(tmp_path / "fused")
    assert opened.schedule == FAST
    assert not torch.equal(opened.unet.conv_in.weight, build_unet().conv_in.weight)
    pipe.load_lora_weights(lora_of(tmp_path / "again", Schedule.trained(4, 3, "masked", "trailing")), "again")
    pipe.unload_lora_weights()
    assert pipe.schedule == FAST


def test_a_lora_with_a_schedule_loads_in_diffusers_as_one_without(parts, tmp_path, scene):
    found = []
    for schedule in (None, FAST):
        stock = StableDiffusionInpaintPipeline(**parts(), requires_safety_checker=False)
        stock.set_progress_bar_config(disable=True)
        stock.load_lora_weights(lora_of(tmp_path / str(schedule is None), schedule))
        options = {"num_inference_steps": 2, "output_type": "latent", "generator": generator()}
        found.append(stock("a red boat", *scene(), **options).images)
    assert torch.equal(*found)


def test_a_lora_whose_schedule_makes_no_sense_is_not_loaded(pipe, fast):
    file = fast / "pytorch_lora_weights.safetensors"
    weights, metadata = content_of(file)
    said = json.loads(metadata["lora_adapter_metadata"]) | {"schedule.strength": 2}
    save_file(weights, file, metadata | {"lora_adapter_metadata": json.dumps(said)})
    with pytest.raises(ValueError, match="strength=2 is out of range"):
        pipe.load_lora_weights(fast)
    assert pipe.get_list_adapters() == {}


def test_weights_that_are_passed_in_memory_change_no_schedule(pipe, fast):
    own = pipe.schedule
    state = pipe.lora_state_dict(fast)[0]
    pipe.load_lora_weights(state)
    assert (pipe.schedule, len(pipe.get_list_adapters()["unet"])) == (own, 1)


def test_without_guidance_there_is_one_unet_call_a_step_and_no_second_text(pipe, fast, scene):
    pipe.load_lora_weights(fast)
    unets, texts = [], []
    pipe.unet.register_forward_hook(lambda module, args, output: unets.append(len(args[0])))
    pipe.text_encoder.register_forward_hook(
        lambda module, args, kwargs, output: texts.append([*args, *kwargs.values()][0].shape[0]), with_kwargs=True
    )
    image, mask = scene()
    for edit in (
        lambda: pipe("a red boat", image, mask),
        lambda: pipe("a red boat", image, mask, negative_prompt="a green tree"),
        lambda: pipe.erase(image, mask),
        lambda: pipe.outpaint(image, left=16, prompt="a red boat"),
    ):
        unets.clear(), texts.clear()
        edit()
        assert (unets, texts) == ([1] * 6, [1])


def test_the_command_line_takes_a_loras_schedule(pipe, fast, scene, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("byteedit.LORAS", str(tmp_path))  # as if `fast` shipped
    monkeypatch.chdir(tmp_path / "elsewhere")
    pipe.save_pretrained("model")
    for name, picture in zip(("photo", "mask"), scene(), strict=True):
        picture.save(f"{name}.png")
    edit = shlex.split("edit photo.png --mask mask.png --model model --prompt boat --seed 0 --lora fast --output")
    assert main([*edit, "short.png"]) == 0
    said = ["--steps", "8", "--guidance-scale", "1"]
    assert main([*edit, "said.png", *said]) == 0
    assert main([*edit, "other.png", "--steps", "4"]) == 0
    short, same, other = (np.asarray(Image.open(f"{name}.png")) for name in ("short", "said", "other"))
    assert np.array_equal(short, same)
    assert not np.array_equal(short, other)


# A LoRA that goes on being trained


def test_a_saved_lora_goes_on_where_it_was(fast):
    unet, filled = build_unet(), build_unet()
    for each in (unet, filled):
        add_lora(each, LoraSettings(rank=2))
    fill_lora(filled, fast)
    again = save_lora(filled, fast.parent / "again", schedule=FAST)
    (ours, metadata), (theirs, known) = content_of(again), content_of(fast / again.name)
    assert metadata == known
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(filled.conv_in.lora_B["default"].weight, unet.conv_in.lora_B["default"].weight)
    assert all(value.requires_grad == ("lora" in name) for name, value in filled.named_parameters())


@pytest.mark.parametrize("settings", [{"rank": 4}, {"rank": 2, "alpha": 1.0}, {"rank": 2, "targets": ("to_q",)}])
def test_a_lora_of_another_shape_is_refused(fast, settings):
    unet = build_unet()
    add_lora(unet, LoraSettings(**settings))
    with pytest.raises(ValueError, match=r"rank 2, alpha 2\) is not one of rank"):
        fill_lora(unet, fast)
