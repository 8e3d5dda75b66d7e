"""Bad input: a ValueError or a warning in words that name the fix, before any work is done."""

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit import ByteEditInpaintPipeline


def black(mask):
    return mask.point(lambda value: 0)


CASES = {
    "no mask": (lambda image, mask: {"mask_image": None}, "`mask_image` is missing"),
    "no image": (lambda image, mask: {"image": None}, "`image` is missing"),
    "mask of another size": (
        lambda image, mask: {"mask_image": mask.resize((32, 64))},
        "32 x 64.*image 64 x 64.*resize",
    ),
    "empty mask with crop": (lambda image, mask: {"mask_image": black(mask), "padding_mask_crop": 8}, "paint white"),
    "NaN": (lambda image, mask: {"image": np.full((64, 64, 3), np.nan)}, "nan_to_num"),
    "NaN in the mask": (lambda image, mask: {"mask_image": torch.full((64, 64), torch.nan)}, "mask_image has NaN"),
    "values above 1": (lambda image, mask: {"image": np.full((64, 64, 3), 9.0)}, "divide by 255"),
    "1 pixel": (
        lambda image, mask: {"image": image.resize((1, 1)), "mask_image": mask.resize((1, 1))},
        "1 x 1 pixels.*enlarge",
    ),
    "30,000 pixels": (
        lambda image, mask: {"image": Image.new("RGB", (30_000, 9)), "mask_image": Image.new("L", (30_000, 9), 255)},
        "30000 x 9 pixels.*crop",
    ),
    "too many steps": (lambda image, mask: {"num_inference_steps": 1001}, "num_inference_steps is 1001; give 1000 or"),
    "negative steps": (lambda image, mask: {"num_inference_steps": -3}, "num_inference_steps is -3.*1 or more"),
    "no steps": (lambda image, mask: {"num_inference_steps": 0}, "1 or more"),
    "half a step": (lambda image, mask: {"num_inference_steps": 2.5}, "whole number"),
    "strength 0": (lambda image, mask: {"strength": 0.0}, "keeps the picture"),
    "strength 2": (lambda image, mask: {"strength": 2.0}, "value of strength"),
    "strength without a step": (lambda image, mask: {"strength": 0.1}, "leaves no step"),
    "guidance NaN": (lambda image, mask: {"guidance_scale": float("nan")}, "finite"),
    "unknown argument": (lambda image, mask: {"gudance_scale": 2.0}, "did you mean 'guidance_scale'"),
    "unlike any argument": (lambda image, mask: {"zzzz": 2.0}, "Unknown argument 'zzzz'"),
    "old callback": (lambda image, mask: {"callback": print}, "callback_on_step_end"),
    "init": (lambda image, mask: {"init": "blank"}, "'noise', 'masked', 'image'"),
    "init noise with strength": (lambda image, mask: {"init": "noise", "strength": 0.5}, "init='masked' or strength=1"),
    "output type": (lambda image, mask: {"output_type": "jpeg"}, "output_type is 'jpeg'"),
    "crop": (lambda image, mask: {"padding_mask_crop": -1}, "padding_mask_crop is -1"),
    "height": (lambda image, mask: {"height": 33}, "divisible by 2"),
    "prompt twice": (lambda image, mask: {"prompt_embeds": torch.zeros(1, 16, 16)}, "Cannot forward both `prompt`"),
    "prompt of numbers": (lambda image, mask: {"prompt": 3}, "string or a list of strings"),
    "embeddings of two shapes": (
        lambda image, mask: {
            "prompt": None,
            "prompt_embeds": torch.zeros(1, 16, 16),
            "negative_prompt_embeds": torch.zeros(1, 8, 16),
        },
        "same shape",
    ),
    "three prompts, two pictures": (
        lambda image, mask: {"prompt": ["a"] * 3, "image": [image] * 2, "mask_image": [mask] * 2},
        "3 prompts and 2 pictures",
    ),
    "three masks, two pictures": (
        lambda image, mask: {"image": [image] * 2, "mask_image": [mask] * 3},
        "2 pictures and 3 masks",
    ),
    "negative prompts": (lambda image, mask: {"negative_prompt": ["a", "b"]}, "2 prompts came where 1"),
    "generators": (lambda image, mask: {"generator": [torch.Generator()] * 2}, "2 generators"),
    "images per prompt": (lambda image, mask: {"num_images_per_prompt": 0}, "num_images_per_prompt is 0"),
    "latents": (lambda image, mask: {"latents": torch.zeros(1, 4, 8, 8)}, r"\(1, 4, 8, 8\); this call needs"),
    "image as latents": (lambda image, mask: {"image": torch.zeros(1, 4, 32, 32)}, "give masked_image_latents"),
    "tensor inputs": (lambda image, mask: {"callback_on_step_end_tensor_inputs": ["noise"]}, r"found \['noise'\]"),
    "ragged arrays": (
        lambda image, mask: {
            "image": [image, image.resize((70, 50))],
            "mask_image": [mask, mask.resize((70, 50))],
            "output_type": "np",
        },
        "output_type='pil'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(pipe, scene, case):
    change, words = CASES[case]
    image, mask = scene()
    with pytest.raises(ValueError, match=words):
        pipe(**{"prompt": "a red boat", "image": image, "mask_image": mask, **change(image, mask)})


def test_an_empty_mask_warns_and_changes_nothing(pipe, scene):
    image, mask = scene(70, 50)
    with pytest.warns(UserWarning, match="all black.*paint white"):
        result = pipe("a red boat", image, black(mask)).images[0]
    assert np.array_equal(np.asarray(result), np.asarray(image))


def test_a_unet_of_stable_diffusion_xl_is_refused(parts, scene):
    pipe = ByteEditInpaintPipeline(**parts(9))
    pipe.unet.register_to_config(addition_embed_type="text_time")
    with pytest.raises(ValueError, match=r"Stable Diffusion XL.*load an inpainting checkpoint of Stable Diffusion 1"):
        pipe("a cat", *scene(32, 32), num_inference_steps=1)


@pytest.mark.parametrize("channels", [5, 8])
def test_wrong_channel_count(parts, scene, channels):
    pipe = ByteEditInpaintPipeline(**parts(channels))
    with pytest.raises(ValueError, match=f"UNet has {channels} input channels.*Load an inpainting checkpoint"):
        pipe("a red boat", *scene())


def test_wrong_autoencoder(parts, scene):
    from diffusers import AutoencoderKL

    pipe = ByteEditInpaintPipeline(**parts() | {"vae": AutoencoderKL(latent_channels=8)})
    with pytest.raises(ValueError, match="8 latent channels"):
        pipe("a red boat", *scene())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "in one way"),
        ({"left": 8, "size": (99, 99)}, "in one way"),
        ({"left": -8}, "none negative"),
        ({"left": 8.5}, "whole numbers"),
        ({"size": (64, 64)}, "nothing to extend"),
        ({"size": (32, 99)}, "smaller than the picture"),
        ({"aspect_ratio": "wide"}, "'16:9'"),
        ({"aspect_ratio": "16:0"}, "'16:9'"),
        ({"aspect_ratio": 1.0}, "nothing to extend"),
        ({"aspect_ratio": 2.0, "anchor": "middle"}, "anchor is 'middle'"),
        ({"left": 8, "mask_image": 1}, "mask_image itself"),
        ({"left": 8, "output_type": "latent"}, "no latents"),
        ({"left": 8, "gudance_scale": 1}, "did you mean 'guidance_scale'"),
    ],
)
def test_bad_outpainting(pipe, scene, options, words):
    with pytest.raises(ValueError, match=words):
        pipe.outpaint(scene()[0], **options)


def test_what_is_not_finite_is_no_picture(pipe, scene):
    pipe.unet.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="What the model made has NaN or infinite values"):
        pipe("a red boat", *scene(), num_inference_steps=1)
