"""What a call of the pipeline may ask for, checked before any work is done.

Each check raises a ValueError that says what came, what was expected and what to do. No models, no pixels changed.
"""

import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from diffusers import PNDMScheduler

from byteedit.diffusion import hands_on
from byteedit.image import LARGEST, SMALLEST, Picture
from byteedit.schedule import Schedule

OUTPUT_TYPES = {"pil": "pil", "np": "np", "numpy": "np", "pt": "pt", "latent": "latent"}
RENAMED = {"callback": "callback_on_step_end", "callback_steps": "callback_on_step_end", "mask": "mask_image"}


def check_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """No argument that the pipeline does not know."""
    for name in names:
        near = [RENAMED[name]] if name in RENAMED else difflib.get_close_matches(name, list(known), 1)
        hint = (
            f"did you mean {near[0]!r}?" if near else "see help(ByteEditInpaintPipeline.__call__) for those there are."
        )
        raise ValueError(f"Unknown argument {name!r}; {hint}")


def check_safety(safety_checker, feature_extractor) -> None:
    """A safety checker with what prepares pictures for it."""
    if safety_checker is not None and feature_extractor is None:
        raise ValueError("A safety_checker came without a feature_extractor; give both, or safety_checker=None.")


def check_noise_scale(noise_scale: float, scheduler) -> None:
    """Warn where a solver passes over the `noise_scale` that a call, a LoRA or the checkpoint asks for."""
    if noise_scale != 1 and not hands_on(scheduler):
        message = f"{type(scheduler).__name__} keeps noise in a way of its own and passes over noise_scale"
        warnings.warn(f"{message}={noise_scale:g}; take DDIMScheduler, for example.", stacklevel=4)


def check_steps(steps: int, scheduler) -> None:
    """No more steps than the noise levels that the model was trained at."""
    if steps > (most := scheduler.config.num_train_timesteps):
        raise ValueError(f"num_inference_steps is {steps}; give {most} or fewer, which is all that the model knows.")


def check_solver(schedule: Schedule, scheduler) -> None:
    """Warn where a solver makes other steps of a LoRA's schedule than those that it was made for."""
    if isinstance(scheduler, PNDMScheduler) or scheduler.order > 1:
        message = f"{type(scheduler).__name__} asks the UNet more often, and from another noise, than the LoRA's"
        warnings.warn(
            f"{message} {schedule.num_inference_steps} steps; set DDIMScheduler.from_config(pipe.scheduler.config).",
            stacklevel=3,
        )


def check_output(output_type: str) -> str:
    """The output type by its short name."""
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type is {output_type!r}; choose one of {', '.join(OUTPUT_TYPES)}.")
    return OUTPUT_TYPES[output_type]


def check_crop(padding_mask_crop) -> int | str | None:
    """The margin around the mask: "auto", pixels, or None for the whole picture (0 is off, too)."""
    if padding_mask_crop == "auto" or padding_mask_crop is None:
        return padding_mask_crop
    if not isinstance(padding_mask_crop, (int, np.integer)) or padding_mask_crop < 0:
        raise ValueError(
            f"padding_mask_crop is {padding_mask_crop!r}; give 'auto', a number of pixels, or None for no crop."
        )
    return int(padding_mask_crop) or None


def check_sizes(height: int, width: int, factor: int) -> None:
    """A size that the autoencoder can work at."""
    if height < 1 or width < 1 or height % factor or width % factor:
        raise ValueError(
            f"`height` and `width` have to be divisible by {factor} and positive but are {height} and {width}."
        )


def check_prompts(prompt, prompt_embeds, negative_prompt, negative_prompt_embeds) -> None:
    """Words or embeddings, not both, and of matching kinds."""
    for name, words, embeds in (
        ("prompt", prompt, prompt_embeds),
        ("negative_prompt", negative_prompt, negative_prompt_embeds),
    ):
        if words is not None and embeds is not None:
            raise ValueError(f"Cannot forward both `{name}` and `{name}_embeds`; leave one of them out.")
        listed = isinstance(words, (list, tuple)) and words and all(isinstance(word, str) for word in words)
        if words is not None and not isinstance(words, str) and not listed:
            raise ValueError(f"`{name}` has to be a string or a list of strings but is {words!r}.")
    if prompt_embeds is not None and negative_prompt_embeds is not None:
        same = prompt_embeds.shape == negative_prompt_embeds.shape
        if not same:
            shapes = f"{tuple(prompt_embeds.shape)} and {tuple(negative_prompt_embeds.shape)}"
            raise ValueError(
                f"`prompt_embeds` and `negative_prompt_embeds` must have the same shape but have {shapes}."
            )


def check_adapter(unet, image, embeds) -> None:
    """A picture to go by, or its embeddings, where the UNet has an IP-Adapter, and nothing where it has none."""
    has = unet.encoder_hid_proj is not None and unet.config.encoder_hid_dim_type == "ip_image_proj"
    given = {"ip_adapter_image": image, "ip_adapter_image_embeds": embeds}
    came = [name for name, value in given.items() if value is not None]
    if len(came) > 1:
        raise ValueError("Both `ip_adapter_image` and `ip_adapter_image_embeds` came; leave one of them out.")
    if came and not has:
        raise ValueError(f"No IP-Adapter is loaded for `{came[0]}`; load one with load_ip_adapter, or leave it out.")
    if has and not came:
        raise ValueError("An IP-Adapter is loaded, but no `ip_adapter_image` came; give it, or unload_ip_adapter().")
    listed = isinstance(embeds, list) and all(isinstance(rows, torch.Tensor) and rows.ndim in (3, 4) for rows in embeds)
    if embeds is not None and not listed:
        raise ValueError("`ip_adapter_image_embeds` has to be a list of 3D or 4D tensors, one for each IP-Adapter.")


def check_clip_skip(clip_skip, layers: int) -> None:
    """As many layers of the text encoder as it can do without."""
    if not isinstance(clip_skip, (int, np.integer)) or not 0 <= clip_skip < layers:
        raise ValueError(f"clip_skip is {clip_skip!r}; give a whole number from 0 to {layers - 1}, of {layers} layers.")


def check_no_loras(adapters: Mapping[str, Sequence[str]]) -> None:
    """Nothing that would be written as layers which no checkpoint has."""
    if names := sorted({name for names in adapters.values() for name in names}):
        raise ValueError(
            f"LoRAs are loaded ({', '.join(names)}), which a checkpoint has no place for; fuse_lora() and then"
            " unload_lora_weights() writes them into the weights, unload_lora_weights() alone leaves them out."
        )


def check_tensor_inputs(names: Sequence[str] | None, known: Sequence[str]) -> None:
    """Only tensors that a callback can get."""
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"`callback_on_step_end_tensor_inputs` has to be in {list(known)}, but found {unknown}.")


def check_unet(unet, vae) -> None:
    """A UNet of Stable Diffusion 1.x or 2.x, of 4 channels, or of 9: noisy latents, mask, masked latents."""
    latents, channels = vae.config.latent_channels, unet.config.in_channels
    if latents != 4:
        raise ValueError(
            f"The autoencoder has {latents} latent channels, the UNet needs 4; load the two from one checkpoint."
        )
    if channels not in (4, 9):
        raise ValueError(
            f"The UNet has {channels} input channels; inpainting needs 9 (latents, mask, masked latents) or 4 (plain"
            " Stable Diffusion). Load an inpainting checkpoint."
        )
    if unet.config.addition_embed_type == "text_time":
        raise ValueError(
            "The UNet is of Stable Diffusion XL's kind, which has a second text encoder and is told sizes; load an"
            " inpainting checkpoint of Stable Diffusion 1.x or 2.x."
        )


def check_pictures(pictures: Sequence[Picture]) -> None:
    """Pictures of a size that can be edited."""
    for width, height in (picture.size for picture in pictures):
        if min(width, height) < SMALLEST:
            raise ValueError(
                f"image is {width} x {height} pixels; it needs {SMALLEST} a side at least: enlarge it first."
            )
        if max(width, height) > LARGEST:
            raise ValueError(
                f"image is {width} x {height} pixels; {LARGEST} a side is the most: crop around the mask first."
            )


def check_masks(masks: Sequence[np.ndarray], pictures: Sequence[Picture], margin: int | str | None) -> None:
    """Masks of their pictures' sizes; an all-black one is warned of, or refused where a crop is asked for."""
    if 1 not in (len(masks), len(pictures)) and len(masks) != len(pictures):
        raise ValueError(
            f"{len(pictures)} pictures and {len(masks)} masks came; give one mask, or one for each picture."
        )
    count = max(len(masks), len(pictures))
    pairs = zip(list(masks) * (count // len(masks)), list(pictures) * (count // len(pictures)), strict=True)
    for mask, (width, height) in ((mask, picture.size) for mask, picture in pairs):
        if mask.shape != (height, width):
            came = f"mask_image is {mask.shape[1]} x {mask.shape[0]} pixels, image {width} x {height}"
            raise ValueError(f"{came}; they must have one size: resize the mask, or paint it on the picture.")
    if not all(mask.any() for mask in masks):
        message = "mask_image is all black, so nothing is to be generated; paint white what should change."
        if isinstance(margin, int):
            raise ValueError(f"{message} padding_mask_crop={margin} has nothing to crop to.")
        warnings.warn(message, stacklevel=4)


def check_batch(prompts: int, pictures: int, generator, images_per_prompt: int) -> int:
    """How many edits there are: prompts and pictures in pairs, or one of a kind for all of the other."""
    if 1 not in (prompts, pictures) and prompts != pictures:
        raise ValueError(f"{prompts} prompts and {pictures} pictures came; give as many of both, or one of a kind.")
    count = max(prompts, pictures)
    if not isinstance(images_per_prompt, (int, np.integer)) or images_per_prompt < 1:
        raise ValueError(f"num_images_per_prompt is {images_per_prompt!r}; give a whole number, 1 or more.")
    generators = generator if isinstance(generator, list) else [generator]
    if not all(isinstance(one, torch.Generator | None) for one in generators):
        raise ValueError(f"generator is {generator!r}; give torch.Generator().manual_seed(0), or a list of generators.")
    if isinstance(generator, list) and len(generator) != count * images_per_prompt:
        raise ValueError(
            f"{len(generator)} generators came for a batch of {count * images_per_prompt}; give one for each."
        )
    return count
