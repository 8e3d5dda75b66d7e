"""The accelerated weights are the shipped model's default; what is asked for goes first."""

import shlex

import numpy as np
import pytest
import torch
from PIL import Image

import byteedit
from byteedit.cli import main
from byteedit.commands.opening import add_loras, default_loras, open_pipeline
from byteedit.hub import UNREACHABLE
from byteedit.provenance import read_record
from byteedit.schedule import Schedule
from test_compare import write

EDIT = "edit photo.png --mask mask.png --prompt 'a red boat' --seed 3 --output"


@pytest.fixture
def folder(tmp_path, monkeypatch, pipe, scene):
    """The current folder, with photo.png and mask.png, and tiny weights in place of the shipped model's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(byteedit, "PICTUREBOOK", str(tmp_path / "model"))
    monkeypatch.setattr(byteedit, "LORAS", str(tmp_path / "loras"))
    pipe.save_pretrained("model")
    for name, picture in zip(("photo.png", "mask.png"), scene(70, 50), strict=True):
        picture.save(name)
    return tmp_path


def made(name: str, *options: str) -> np.ndarray:
    assert main([*shlex.split(EDIT), name, *options]) == 0
    return np.asarray(Image.open(name))


def test_the_accelerated_weights_are_the_default(folder, capsys):
    write(folder / "loras" / "fast4", 0, Schedule.trained(4, 3, "masked", "trailing"))
    fast, none = made("fast.png"), made("none.png", "--lora", "none")
    assert read_record(folder / "fast.png").settings["lora"] == ["fast4"]
    assert read_record(folder / "none.png").settings["lora"] == []
    assert not np.array_equal(fast, none)
    for name in ("fast", "none"):
        assert main(["edit", "--replay", f"{name}.png"]) == 0
        assert capsys.readouterr().out.splitlines()[-1].endswith(f"identical to {name}.png")


def test_another_model_or_lora_goes_first(folder):
    assert default_loras("picturebook") == ("fast4",)
    assert default_loras("picturebook", outpaint=True) == ("fast8",)
    assert default_loras("model") == ()
    write(folder / "mine", 1)
    made("mine.png", "--lora", "mine")
    assert read_record(folder / "mine.png").settings["lora"] == ["mine"]


def test_outpainting_takes_its_own(folder):
    for steps, run in ((4, 3), (8, 6)):
        write(folder / "loras" / f"fast{steps}", 0, Schedule.trained(steps, run, "masked", "trailing"))
    assert main(shlex.split("outpaint photo.png --right 20 --prompt 'a red boat' --steps 2 --output wider.png")) == 0
    assert read_record(folder / "wider.png").settings["lora"] == ["fast8"]


def test_the_pipeline_takes_their_schedule(folder):
    write(folder / "loras" / "fast4", 0, Schedule.trained(4, 3, "masked", "trailing"))
    pipe = open_pipeline("picturebook")
    add_loras(pipe, default_loras("picturebook"))
    assert (pipe.schedule.num_inference_steps, pipe.schedule.guidance_scale, pipe.schedule.strength) == (4, 1.0, 0.75)


def test_they_are_fused_and_leave_no_layers_behind(folder):
    for seed, name in enumerate(("one", "two")):
        write(folder / name, seed)
    plain, fused, loaded = (open_pipeline("picturebook") for _ in range(3))
    add_loras(fused, ("one", "two:0.5"))
    for name in ("one", "two"):
        loaded.load_lora_weights(str(folder / name), adapter_name=name)
    loaded.set_adapters(["one", "two"], [1.0, 0.5])
    sample, text = (
        torch.randn(1, plain.unet.config.in_channels, 16, 16),
        torch.randn(1, 4, plain.unet.config.cross_attention_dim),
    )
    before, one, other = (p.unet(sample, 500, text).sample for p in (plain, fused, loaded))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(one, before, atol=1e-4)
    assert [name for name, _ in fused.unet.named_modules()] == [name for name, _ in plain.unet.named_modules()]


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf"])
def test_a_weight_that_is_no_number_is_refused(folder, capsys, weight):
    assert main(shlex.split(f"{EDIT} out.png --lora mine:{weight}")) == 2
    assert f"--lora is 'mine:{weight}'; its weight must be a number, such as mine:0.7." in capsys.readouterr().err
    assert not (folder / "out.png").exists()


def test_a_lora_that_is_nowhere_is_named(folder, capsys, monkeypatch):
    def unreachable(*_, **__):
        raise UNREACHABLE[0]("[Errno -2] Name or service not known")

    monkeypatch.setattr(byteedit.ByteEditInpaintPipeline, "load_lora_weights", unreachable)
    assert main(shlex.split(f"{EDIT} out.png --lora runs/nothing")) == 1
    assert (
        "there is no LoRA runs/nothing here, and the hub does not give it ([Errno -2] Name" in capsys.readouterr().err
    )


def test_a_lora_that_was_trained_again_in_its_folder_is_not_replayed(folder, capsys):
    write(folder / "mine", 1)
    assert main(shlex.split(f"{EDIT} out.png --lora mine")) == 0
    assert main(shlex.split("edit --replay out.png")) == 0
    write(folder / "mine", 2)
    assert main(shlex.split("edit --replay out.png")) == 1
    assert "pytorch_lora_weights.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"), [("", 1), ("--guidance-scale 1", 1), ("--guidance-scale 3", 0), ("--lora none", 0)]
)
def test_a_negative_prompt_without_guidance_is_said_to_do_nothing(folder, capsys, options, said):
    write(folder / "loras" / "fast4", 0, Schedule.trained(4, 3, "masked", "trailing"))
    assert main(shlex.split(f"{EDIT} out.png --negative-prompt grass {options}")) == 0
    assert capsys.readouterr().err.count("--negative-prompt does nothing, since there is no guidance; add") == said
