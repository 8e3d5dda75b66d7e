"""On an accelerator: the same pictures and scores as on the processor, in every precision, and trainings that end.

Marked `gpu`; `make test-gpu` runs them where there is one.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import byteedit
from byteedit import ByteEditInpaintPipeline
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.systems import answer
from byteedit.rewards import opening
from byteedit.rewards.opening import SHIPPED
from byteedit.training.boost import PeflSettings
from byteedit.training.phases import FastSettings
from byteedit.training.run import train_fast, train_pefl
from toy_training import fresh  # noqa: F401

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

SMALL = {"base": "picturebook", "data": "picturebook", "T": 4, "T1": 3, "T2": 2, "steps": 2, "batch_size": 2}
LEARNT = {"rewards": {"aesthetic": 1, "alignment": 1}, "features": "aesthetic", "lr": 1e-4, "log_every": 1, "rank": 4}


def opened(dtype=torch.float32):
    pipe = ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def open_reward(name):
    return opening.open_reward(str(Path(byteedit.REWARDS) / name))


def edits(pipe):
    """Four answers, (4, 128, 128, 3) in levels."""
    return np.stack(answer(pipe, cases("editing", "validation", 4), num_inference_steps=8)).astype(float)


@pytest.fixture(scope="module")
def expected():
    return edits(opened())


def difference(made, expected):
    """The mean difference of those that agree best, three of four: one may tip over into another picture."""
    return np.sort(np.abs(made - expected).mean((1, 2, 3)))[:3].mean()


@pytest.mark.parametrize(("dtype", "levels"), [(torch.float32, 0.5), (torch.float16, 1.5), (torch.bfloat16, 4.0)])
def test_edits_are_those_of_the_processor(dtype, levels, expected):
    assert difference(edits(opened(dtype).to("cuda")), expected) < levels


def test_offloaded_models_make_the_same_edits(expected):
    pipe = opened()
    pipe.enable_model_cpu_offload()
    assert difference(edits(pipe), expected) < 0.5


def test_a_lora_is_followed(expected):
    pipe = opened().to("cuda")
    pipe.load_lora_weights(str(Path(byteedit.LORAS) / "fast8"))
    assert pipe.schedule.guidance_scale == 1.0
    processor = opened()
    processor.load_lora_weights(str(Path(byteedit.LORAS) / "fast8"))
    made = edits(pipe)
    assert difference(made, edits(processor)) < 0.5
    assert difference(made, expected) > 0.5


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_scores_are_those_of_the_processor(name):
    some = cases("editing", "validation", 6)
    pictures, prompts = [Image.fromarray(case.picture) for case in some], [case.prompt for case in some]
    reward = open_reward(name)
    scores = reward.score(pictures, prompts)
    assert np.allclose(reward.to("cuda").score(pictures, prompts), scores, atol=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_gradients_reach_the_pixels(name, dtype):
    image = torch.rand(2, 3, 128, 128, device="cuda", requires_grad=True)
    open_reward(name).to("cuda", dtype).rate(2 * image - 1, ["a red boat"] * 2).sum().backward()
    assert image.grad.isfinite().all() and image.grad.abs().sum() > 0


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_feedback_learning_ends(precision, tmp_path):
    train_pefl(PeflSettings(output=tmp_path, mixed_precision=precision, **SMALL, **LEARNT))
    weights = load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    assert any(value.any() for name, value in weights.items() if "lora_B" in name)  # begins as 0
    opened().to("cuda").load_lora_weights(str(tmp_path / "lora"))


def test_processes_that_talk_by_nccl_agree_on_what_is_drawn(tmp_path):
    """One process under torchrun sends what several would, half of its steps from noise."""
    preset, example = tmp_path / "pefl.yaml", Path(__file__).parent.parent / "examples" / "train_pefl.py"
    preset.write_text(json.dumps(SMALL | LEARNT | {"output": str(tmp_path / "run"), "noise_share": 0.5}))
    alone = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    done = subprocess.run([*alone, str(example), str(preset)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "lora" / "pytorch_lora_weights.safetensors").is_file()


def test_acceleration_ends(tmp_path):
    phases = ({"name": "fast4"}, {"name": "fast2", "T": 2, "T1": 2, "T2": 1})
    train_fast(
        FastSettings(
            output=tmp_path, mixed_precision="bf16", discriminator="coherence", phases=phases, **SMALL, **LEARNT
        )
    )
    assert (tmp_path / "fast2" / "lora" / "pytorch_lora_weights.safetensors").is_file()
