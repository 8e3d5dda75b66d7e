"""What a checkpoint may have besides the usual parts: IP-Adapter, asymmetric autoencoder, safety checker, bf16."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    AsymmetricAutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from byteedit import ByteEditInpaintPipeline

VISION = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
EYE = {**VISION, "image_size": 16, "patch_size": 8, "projection_dim": 8}
RAW = {"padding_mask_crop": None, "composite": False}


def seeded():
    return torch.Generator().manual_seed(1)


def run(pipe, picture, **options):
    """Latents, or what output_type says, of two steps with a fixed seed."""
    pipe.set_progress_bar_config(disable=True)
    options = {"output_type": "latent", "num_inference_steps": 2, "guidance_scale": 3.0, **options}
    return pipe("a red boat", *picture, generator=seeded(), **options).images


@pytest.fixture
def adapter(tmp_path):
    """A folder with a tiny IP-Adapter and its image encoder, laid out as on the hub."""
    torch.manual_seed(0)
    weights = {"image_proj.proj.weight": torch.randn(4 * 16, 8), "image_proj.proj.bias": torch.zeros(4 * 16)}
    weights |= {"image_proj.norm.weight": torch.ones(16), "image_proj.norm.bias": torch.zeros(16)}
    names = [f"ip_adapter.{2 * n + 1}.to_{part}_ip.weight" for n in range(4) for part in "kv"]
    (tmp_path / "models").mkdir()
    save_file(weights | {name: torch.randn(16, 16) for name in names}, tmp_path / "models" / "tiny.safetensors")
    CLIPVisionModelWithProjection(CLIPVisionConfig(**EYE)).save_pretrained(tmp_path / "models" / "image_encoder")
    return tmp_path


def test_an_ip_adapter_works_as_in_diffusers(parts, scene, adapter):
    results = {}
    for cls, own, extra in (
        (ByteEditInpaintPipeline, RAW, {}),
        (StableDiffusionInpaintPipeline, {}, {"requires_safety_checker": False}),
    ):
        pipe = cls(**parts(), **extra)
        pipe.load_ip_adapter(adapter, subfolder="models", weight_name="tiny.safetensors")
        shown = {"ip_adapter_image": scene(seed=7)[0]}
        results[cls] = [run(pipe, scene(), **shown, **own)]
        pipe.set_ip_adapter_scale(0.0)
        results[cls].append(run(pipe, scene(), **shown, **own))
    for ours, theirs in zip(*results.values(), strict=True):
        assert torch.equal(ours, theirs)
    strong, off = results[ByteEditInpaintPipeline]
    assert (strong - off).abs().max() > 0.01


def test_what_does_not_fit_an_ip_adapter_is_said(pipe, scene, adapter):
    picture, mask = scene()
    with pytest.raises(ValueError, match="No IP-Adapter is loaded for `ip_adapter_image`; load one"):
        pipe("a boat", picture, mask, ip_adapter_image=picture)
    pipe.load_ip_adapter(adapter, subfolder="models", weight_name="tiny.safetensors")
    embeds = [torch.zeros(2, 1, 8)]
    with pytest.raises(ValueError, match="An IP-Adapter is loaded, but no `ip_adapter_image`"):
        pipe.erase(picture, mask)
    with pytest.raises(ValueError, match="Both `ip_adapter_image` and `ip_adapter_image_embeds` came"):
        pipe("a boat", picture, mask, ip_adapter_image=picture, ip_adapter_image_embeds=embeds)
    with pytest.raises(ValueError, match="has to be a list of 3D or 4D tensors"):
        pipe("a boat", picture, mask, ip_adapter_image_embeds=embeds[0])
    with pytest.raises(ValueError, match="has to be a list of 3D or 4D tensors"):
        pipe("a boat", picture, mask, ip_adapter_image_embeds=["x"])


def test_an_asymmetric_autoencoder_sees_the_picture_and_its_mask(parts, scene):
    torch.manual_seed(0)
    layers = {"layers_per_down_block": 1, "layers_per_up_block": 1, "norm_num_groups": 4, "sample_size": 64}
    vae = AsymmetricAutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        down_block_out_channels=(8, 8),
        up_block_types=("UpDecoderBlock2D",) * 2,
        up_block_out_channels=(8, 8),
        **layers,
    ).eval()
    pipe = ByteEditInpaintPipeline(**{**parts(), "vae": vae})
    seen = []
    vae.decoder.register_forward_hook(
        lambda module, args, kwargs, output: seen.append((args, kwargs)), with_kwargs=True
    )
    image, mask = scene()
    result = run(pipe, (image, mask), output_type="pil")[0]
    tensors = [x for x in (*seen[0][0], *seen[0][1].values()) if isinstance(x, torch.Tensor)]
    shapes = sorted(tuple(x.shape) for x in tensors)
    assert shapes == [(1, 1, 64, 64), (1, 3, 64, 64), (1, 4, 32, 32)]
    kept = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(result)[kept], np.asarray(image)[kept])


def test_what_the_safety_checker_finds_is_black_inside_the_mask(parts, scene):
    torch.manual_seed(0)
    config = CLIPConfig(text_config={}, vision_config=EYE, projection_dim=8)
    checker = StableDiffusionSafetyChecker(config).eval()
    eyes = CLIPImageProcessor(size=16, crop_size=16)
    image, mask = scene()
    for threshold, found in ((-2.0, True), (2.0, False)):  # cosines lie between
        checker.concept_embeds_weights.data.fill_(threshold)
        checker.special_care_embeds_weights.data.fill_(2.0)
        pipe = ByteEditInpaintPipeline(**{**parts(), "safety_checker": checker, "feature_extractor": eyes})
        pipe.set_progress_bar_config(disable=True)
        output = pipe("a red boat", image, mask, num_inference_steps=2)
        made = np.asarray(output.images[0])
        assert output.nsfw_content_detected == [found]
        assert bool(made[np.asarray(mask) > 0].max() == 0) is found
        assert np.array_equal(made[np.asarray(mask) == 0], np.asarray(image)[np.asarray(mask) == 0])


def test_bfloat16_gives_nearly_the_same_picture(parts, scene):
    picture, plain = scene(), {"output_type": "pil", "guidance_scale": 1.0}  # guidance multiplies what is rounded
    exact, rough = (
        np.asarray(run(ByteEditInpaintPipeline(**parts()).to(dtype), picture, **plain)[0]).astype(int)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 0 < np.abs(exact - rough).max() < 8
    kept = np.asarray(picture[1]) == 0
    assert np.array_equal(exact[kept], rough[kept])


def test_a_model_that_is_moved_for_each_call_says_where_it_runs(parts):
    pipe = ByteEditInpaintPipeline(**parts())
    assert pipe._execution_device == torch.device("cpu")
    pipe.unet.mid_block._hf_hook = pipe.unet._hf_hook = SimpleNamespace(execution_device="meta")
    for part in (pipe.vae, pipe.text_encoder):
        part._hf_hook = SimpleNamespace(execution_device=None)
    assert pipe._execution_device == torch.device("meta")


def test_a_model_that_is_moved_for_each_call_is_taken_back_after_it(pipe, scene):
    """diffusers takes all parts back and hangs its hooks anew."""
    pipe.enable_model_cpu_offload(device="cpu")
    hook = pipe.vae._hf_hook
    run(pipe, scene())
    assert pipe.vae._hf_hook is not hook


@pytest.mark.parametrize("elsewhere", [(), ("unet",)])
def test_the_device_is_that_of_diffusers(parts, elsewhere):
    pipe = ByteEditInpaintPipeline(**parts())
    for name in elsewhere:
        getattr(pipe, name).to("meta")
    assert pipe._execution_device == DiffusionPipeline._execution_device.fget(pipe)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_hands_on_less_noise_too(pipe, scene, dtype):
    whole = pipe("a red boat", *scene(), generator=seeded(), noise_scale=0.5, output_type="np").images
    half = pipe.to(dtype=dtype)("a red boat", *scene(), generator=seeded(), noise_scale=0.5, output_type="np").images
    assert np.abs(whole - half).mean() < 0.05


def test_the_autoencoder_may_be_more_precise_than_the_rest(pipe, scene):
    pipe.to(dtype=torch.bfloat16)
    pipe.vae.to(torch.float32)
    for init in ("noise", "image"):
        result = pipe(
            "a red boat",
            *scene(),
            generator=torch.Generator().manual_seed(1),
            init=init,
            strength=1.0,
            output_type="np",
        ).images
        assert np.isfinite(result).all()


@pytest.mark.parametrize("solver", [UniPCMultistepScheduler, DPMSolverMultistepScheduler])
def test_a_flow_by_other_solvers_is_as_in_diffusers(parts, scene, solver):
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    ours = ByteEditInpaintPipeline(**parts(scheduler=solver(**flow)))
    theirs = StableDiffusionInpaintPipeline(**parts(scheduler=solver(**flow)), requires_safety_checker=False)
    made = [run(one, scene(), strength=0.6, **own) for one, own in ((ours, RAW), (theirs, {}))]
    assert torch.equal(*made)


def test_flow_matching_schedulers_run(pipe, scene):
    pipe.scheduler = FlowMatchEulerDiscreteScheduler()
    for asked in ({}, {"strength": 0.5}):
        result = pipe("a red boat", *scene(), generator=seeded(), num_inference_steps=4, **asked).images[0]
        assert result.size == scene()[0].size


def test_what_corrects_itself_hands_on_all_of_its_noise_and_says_so(pipe, scene):
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)

    def edit(**asked):
        return pipe(
            "a red boat",
            *scene(),
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=4,
            output_type="np",
            **asked,
        )

    plain = edit().images
    with pytest.warns(UserWarning, match="UniPCMultistepScheduler keeps noise in a way of its own"):
        assert np.array_equal(edit(noise_scale=0.5).images, plain)
    pipe.follow(replace(pipe.schedule, noise_scale=0.5))  # as a LoRA does it
    with pytest.warns(UserWarning, match="UniPCMultistepScheduler keeps noise .* passes over noise_scale"):
        assert np.array_equal(edit().images, plain)


def test_skipped_layers_follow_the_strength_of_loras(pipe):
    pipe._clip_skip, pipe._cross_attention_kwargs = 1, None
    plain = pipe._skip_layers(["a red boat"])
    lora = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    inject_adapter_in_model(lora, pipe.text_encoder)
    full = pipe._skip_layers(["a red boat"])
    pipe._cross_attention_kwargs = {"scale": 0.0}
    none = pipe._skip_layers(["a red boat"])
    pipe._cross_attention_kwargs = None
    assert not torch.allclose(full, plain, atol=1e-3)
    torch.testing.assert_close(none, plain)
    torch.testing.assert_close(pipe._skip_layers(["a red boat"]), full)


def test_the_strength_of_loras_reaches_the_text_encoder(pipe, scene):
    plain = run(pipe, scene())
    inject_adapter_in_model(LoraConfig(target_modules=["q_proj"], init_lora_weights=False), pipe.text_encoder)
    full, none = (run(pipe, scene(), cross_attention_kwargs={"scale": scale}) for scale in (1.0, 0.0))
    assert not torch.allclose(full, plain, atol=1e-4)
    torch.testing.assert_close(none, plain)
