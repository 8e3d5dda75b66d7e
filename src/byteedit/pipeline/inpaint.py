"""`ByteEditInpaintPipeline`: edit, erase and outpaint with any Stable-Diffusion-inpainting checkpoint.

It reads pictures (`canvas`), encodes words (diffusers' own code), denoises by `diffusion.rollout`, the loop that
training shares, and pastes the result back. Left out on purpose: training. With `padding_mask_crop=None,
composite=False` the result equals diffusers' `StableDiffusionInpaintPipeline`, whose methods are borrowed by
assignment, not copied.
"""

import inspect
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AsymmetricAutoencoderKL, AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from diffusers import StableDiffusionInpaintPipeline as Stock
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import FromSingleFileMixin, IPAdapterMixin, TextualInversionLoaderMixin
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput, StableDiffusionSafetyChecker
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_timesteps
from diffusers.schedulers import KarrasDiffusionSchedulers
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from byteedit import diffusion
from byteedit.pipeline import checks
from byteedit.pipeline.loading import enlarged, modernised, only_variant, pickled_only
from byteedit.pipeline.loras import Loras
from byteedit.pipeline.outpaint import outpaint
from byteedit.pipeline.stages import Stages
from byteedit.pipeline.words import Words

Images = PIL.Image.Image | np.ndarray | Tensor | Sequence[PIL.Image.Image] | Sequence[np.ndarray] | Sequence[Tensor]


class ByteEditInpaintPipeline(
    Stages,
    Loras,
    DiffusionPipeline,
    StableDiffusionMixin,
    TextualInversionLoaderMixin,
    IPAdapterMixin,
    FromSingleFileMixin,
):
    """Edit, erase and outpaint pictures with a Stable-Diffusion-inpainting checkpoint (UNet of 9 channels, or 4).

    The components are those of diffusers' `StableDiffusionInpaintPipeline`. `num_inference_steps`, `guidance_scale`,
    `strength`, `init`, `noise_scale` and `guidance_end` are the checkpoint's own defaults for a call, written to
    `model_index.json`; a LoRA may bring others. `schedule` has those that count now.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->unet->vae"
    _optional_components = ["safety_checker", "feature_extractor", "image_encoder"]  # noqa: RUF012
    _exclude_from_cpu_offload = ["safety_checker"]  # noqa: RUF012
    _callback_tensor_inputs = Stock._callback_tensor_inputs

    encode_prompt = Stock.encode_prompt
    encode_image = Stock.encode_image
    prepare_ip_adapter_image_embeds = Stock.prepare_ip_adapter_image_embeds
    prepare_extra_step_kwargs = Stock.prepare_extra_step_kwargs
    run_safety_checker = Stock.run_safety_checker
    get_timesteps = Stock.get_timesteps
    get_guidance_scale_embedding = Stock.get_guidance_scale_embedding
    guidance_scale = Stock.guidance_scale
    clip_skip = Stock.clip_skip
    cross_attention_kwargs = Stock.cross_attention_kwargs
    num_timesteps = Stock.num_timesteps
    interrupt = Stock.interrupt

    def __init__(
        self,
        vae: AutoencoderKL | AsymmetricAutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        safety_checker: StableDiffusionSafetyChecker | None,  # no default: what `from_pretrained` gets goes by that
        feature_extractor: CLIPImageProcessor | None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        requires_safety_checker: bool = False,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        strength: float = 1.0,
        init: str | None = None,
        noise_scale: float = 1.0,
        guidance_end: float = 1.0,
    ):
        super().__init__()
        checks.check_safety(safety_checker, feature_extractor)
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=enlarged(unet),
            scheduler=modernised(scheduler),
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
        )
        self.register_to_config(
            requires_safety_checker=requires_safety_checker,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            strength=strength,
            init=init,
            noise_scale=noise_scale,
            guidance_end=guidance_end,
        )
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1) if vae is not None else 8
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs):
        """Load a checkpoint in diffusers layout: a folder, or a hub id (offline: from the standard cache).

        As in diffusers, but every part is in float32 unless `dtype` says otherwise, whatever its file is in; weights
        that a folder has as a `variant` only, such as fp16, are taken; and nothing is unpickled unless
        `use_safetensors` (None: where need be) asks for it: ValueError where weights are there in pickled form only.
        """
        kwargs.setdefault("use_safetensors", True)
        if kwargs.keys().isdisjoint({"dtype", "torch_dtype"}):
            kwargs["dtype"] = torch.float32
        folder = Path(pretrained_model_name_or_path)
        if kwargs["use_safetensors"] and pickled_only(folder, kwargs):
            raise ValueError(
                f"{folder} holds pickled weights (.bin) and no .safetensors; unpickling can run code. Convert it with"
                " save_pretrained, or pass use_safetensors=None if you trust where it came from."
            )
        kwargs.setdefault("variant", only_variant(folder, kwargs))
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def save_pretrained(self, save_directory, safe_serialization: bool = True, variant: str | None = None, **kwargs):
        """Save all parts in diffusers layout, always as `.safetensors`: pickles are neither written nor read. Raises
        ValueError while LoRAs are loaded, which the layout has no place for."""
        checks.check_no_loras(self.get_list_adapters())
        if not safe_serialization:
            warnings.warn("safe_serialization=False is not followed: weights are saved as .safetensors.", stacklevel=2)
        super().save_pretrained(save_directory, safe_serialization=True, variant=variant, **kwargs)

    @classmethod
    def from_single_file(cls, pretrained_model_link_or_path: str | os.PathLike, **kwargs):
        """Load one `.safetensors` file of Stable Diffusion's original layout; offline, `config=` names a local folder.

        As in diffusers, but a pickled file (.ckpt, .bin, .pt) is refused with a ValueError.
        """
        if not str(pretrained_model_link_or_path).endswith(".safetensors"):
            raise ValueError(
                f"{pretrained_model_link_or_path} is no .safetensors file; unpickling another can run code."
            )
        return super().from_single_file(str(pretrained_model_link_or_path), **kwargs)

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the UNet is asked twice a step: guidance above 1, and a prompt that differs from the negative one."""
        return self._guided and self._guidance_scale > 1

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        image: Images = None,
        mask_image: Images = None,
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | str | None = "auto",
        strength: float | None = None,
        num_inference_steps: int | None = None,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Images | None = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: Callable | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        init: str | None = None,
        noise_scale: float | None = None,
        guidance_end: float | None = None,
        composite: bool = True,
        **unknown,
    ) -> StableDiffusionPipelineOutput | tuple:
        """Fill the white part of `mask_image` by what `prompt` says, or, without a prompt, by what fits.

        Arguments are those of diffusers' `StableDiffusionInpaintPipeline`, plus `init`, `noise_scale`,
        `guidance_end` and `composite`. Here is what differs: None is the checkpoint's own default, or the LoRA's, in
        `strength`, `num_inference_steps`, `guidance_scale` and the first three of these.

        Args:
            prompt: words, one string or a list. Without, or equal to `negative_prompt`, guidance is off.
            image: PIL images of any mode and orientation; arrays (B, H, W, C), tensors (B, C, H, W) in [0, 1]; latents.
            mask_image: of the same size, 1 (white) = generate. Grey values blend.
            height, width: the output's size, multiples of the autoencoder's factor; one alone: the other is the model's
            own; without: the input's. With a whole number as `padding_mask_crop`, the window's as the model sees it.
            padding_mask_crop: "auto" shows the model a window around the mask, at the model's own resolution; pixels of
            margin do so more tightly; None or 0 take the whole picture.
            strength: share of the schedule that is run, in (0, 1].
            init: what is noised at its start: "noise", the "masked" picture, the "image"; None: noise at strength 1,
            else image.
            noise_scale: how much of its noise each step hands on to the next; a little below 1 makes up for what few
            steps err by.
            guidance_end: share of the steps after which none is guided, in (0, 1]: from there the UNet is asked once.
            composite: paste only the masked part, matched in colour, into the picture. False: the decode as it is.

        Returns:
            `StableDiffusionPipelineOutput`: `images` (list of PIL, or (B, H, W, 3) or (B, 3, H, W) in [0, 1]), or a
            tuple. PIL images have the input's mode; P becomes RGB and 1 becomes L.

        Raises:
            ValueError: if an argument does not fit; the message says what to do.
        """
        checks.check_unknown(unknown, inspect.signature(self.__call__).parameters)
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        checks.check_tensor_inputs(callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        checks.check_prompts(prompt, prompt_embeds, negative_prompt, negative_prompt_embeds)
        checks.check_unet(self.unet, self.vae)
        output_type, margin = checks.check_output(output_type), checks.check_crop(padding_mask_crop)
        own = self.schedule.asked(
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            strength=1.0 if strength is None and not timesteps is sigmas is None else strength,  # all of those named
            init=init,
            noise_scale=noise_scale,
            guidance_end=guidance_end,
        )
        checks.check_noise_scale(own.noise_scale, self.scheduler)
        checks.check_steps(own.num_inference_steps, self.scheduler)
        self._guidance_scale, strength, init = own.guidance_scale, own.strength, own.init
        self._clip_skip, self._cross_attention_kwargs, self._interrupt = clip_skip, cross_attention_kwargs, False

        canvas = self._lay_out(image, mask_image, height, width, margin, composite)
        words = Words(prompt, negative_prompt, prompt_embeds, negative_prompt_embeds)
        count = checks.check_batch(len(words), len(canvas.image), generator, num_images_per_prompt)
        adapters = {"ip_adapter_image": ip_adapter_image, "ip_adapter_image_embeds": ip_adapter_image_embeds}
        fields = self._encode_words(words.spread(count), num_images_per_prompt, adapters)

        device = fields["text"].device
        steps = retrieve_timesteps(self.scheduler, own.num_inference_steps, device, timesteps, sigmas)[1]
        timesteps, steps = self.get_timesteps(steps, strength, device)
        if steps < 1:
            raise ValueError(f"strength={strength} leaves no step of the schedule; raise it, or num_inference_steps.")
        init = "image" if init is None and strength < 1 else init
        condition, noise, latents = self._start(
            canvas, fields, timesteps[:1], latents, masked_image_latents, generator, init
        )
        extra = {"noise_scale": own.noise_scale} | self.prepare_extra_step_kwargs(generator, eta)
        self._num_timesteps = len(timesteps)
        with self.progress_bar(total=steps) as bar:
            on_step = self._observer(bar, own, callback_on_step_end, callback_on_step_end_tensor_inputs)
            latents = diffusion.rollout(
                self.unet, self.scheduler, condition, latents, timesteps, noise=noise, on_step=on_step, **extra
            )
        raw = not canvas.pictures or (margin is None and not composite)
        images, nsfw = self._finish(canvas, latents, generator, output_type, raw, composite)
        self.maybe_free_model_hooks()
        return StableDiffusionPipelineOutput(images, nsfw) if return_dict else (images, nsfw)

    def erase(self, image: Images, mask_image: Images, **kwargs) -> StableDiffusionPipelineOutput | tuple:
        """Take away what is under the mask and let the background go on: an edit without prompt."""
        return self(None, image, mask_image, **kwargs)

    def outpaint(
        self,
        image: Images,
        left: int = 0,
        right: int = 0,
        top: int = 0,
        bottom: int = 0,
        *,
        size: tuple[int, int] | None = None,
        aspect_ratio: str | float | None = None,
        anchor: str = "center",
        prompt: str | list[str] | None = None,
        **kwargs,
    ) -> StableDiffusionPipelineOutput | tuple:
        """Extend pictures by pixels a side, to a `size` (width, height) or to an `aspect_ratio` ("16:9", 1.5).

        `anchor` says where the picture stays on the larger one. Large extensions take several rounds, each with the
        same prompt. Further arguments are those of `__call__`; every output is of the larger size. All pictures need
        one size.
        """
        return outpaint(self, image, (left, right, top, bottom), size, aspect_ratio, anchor, prompt, **kwargs)
