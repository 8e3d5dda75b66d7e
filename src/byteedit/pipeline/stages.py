"""What one call of the pipeline does, stage by stage: lay out pictures, encode words, start, watch, finish.

Apart from `inpaint`, which has the public face: these are its methods, in the order in which `__call__` uses them.
Random numbers are drawn in the order in which diffusers draws them, so that a seed means the same here and there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AsymmetricAutoencoderKL, DiffusionPipeline
from diffusers.utils import logging, scale_lora_layers, unscale_lora_layers
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from byteedit import diffusion
from byteedit.diffusion import Condition, spread
from byteedit.image import Window, resize
from byteedit.pipeline import checks
from byteedit.pipeline.canvas import Canvas, lay_out, scaled, see_mask, to_output
from byteedit.pipeline.observer import call_back
from byteedit.pipeline.words import Words
from byteedit.reading import read_masks, read_pictures
from byteedit.schedule import Schedule

logger = logging.get_logger(__name__)

HOOKS = {"_hf_hook", "_diffusers_hook"}  # what accelerate and diffusers hang on modules that they move


class Stages:
    """Methods of `ByteEditInpaintPipeline`; not for use on their own."""

    @property
    def _execution_device(self) -> torch.device:
        """As diffusers'. That asks every module for every kind of hook, which costs some 2 % of an edit in 4 steps."""
        parts = [part for part in vars(self).values() if isinstance(part, torch.nn.Module)]
        if any(not HOOKS.isdisjoint(vars(module)) for part in parts for module in part.modules()):
            return DiffusionPipeline._execution_device.fget(self)
        devices = [next(part.parameters()).device for part in parts]
        return next((device for device in devices if device.type not in ("cpu", "meta")), devices[0])

    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the UNet was made for."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return width * self.vae_scale_factor, height * self.vae_scale_factor

    def _lay_out(self, image, mask_image, height, width, margin, composite: bool) -> Canvas:
        """Pictures and masks before the model. An explicit height or width is the output's size, but
        where a margin crops: there it is the window's, as the model sees it."""
        if image is None or mask_image is None:
            missing = "image" if image is None else "mask_image"
            raise ValueError(f"`{missing}` is missing; give a picture and a mask of its size, white where to generate.")
        native = self.native_size()
        model = (width or native[0], height or native[1])
        checks.check_sizes(model[1], model[0], self.vae_scale_factor)
        masks = read_masks(mask_image)
        if is_latents(image):
            mask = torch.cat([see_mask(mask, Window(0, 0, *mask.shape[::-1]), model, False) for mask in masks])
            return Canvas([], [], [], image, mask)
        pictures = read_pictures(image)
        checks.check_pictures(pictures)
        checks.check_masks(masks, pictures, margin)
        if (height or width) and not isinstance(margin, int):
            filter_ = PIL.Image.Resampling.BILINEAR if composite else PIL.Image.Resampling.LANCZOS
            pictures, masks = [scaled(p, model) for p in pictures], [resize(m, model, filter_) for m in masks]
            margin = None
        return lay_out(pictures, masks, model, margin, composite)

    def _encode_words(self, words: Words, each: int, adapters: dict[str, Any]) -> dict[str, Any]:
        """The condition's fields that come from words and from pictures to go by (IP-Adapter)."""
        checks.check_adapter(self.unet, *adapters.values())
        adapted = any(value is not None for value in adapters.values())
        self._guided = self.unet.config.time_cond_proj_dim is None and (adapted or words.guide)
        kwargs, device, guided = self.cross_attention_kwargs, self._execution_device, self.do_classifier_free_guidance
        if self.clip_skip is not None and words.prompt is not None:
            words = replace(words, prompt=None, prompt_embeds=self._skip_layers(words.prompt))
        text, negative = self.encode_prompt(
            words.prompt,
            device,
            each,
            guided,
            words.negative_prompt,
            prompt_embeds=words.prompt_embeds,
            negative_prompt_embeds=words.negative_prompt_embeds,
            lora_scale=kwargs.get("scale") if kwargs else None,
        )
        unet_kwargs = {"timestep_cond": self._embedded_guidance(text), "cross_attention_kwargs": kwargs}
        if adapted:
            embeds = self.prepare_ip_adapter_image_embeds(*adapters.values(), device, len(text), guided)
            unet_kwargs["added_cond_kwargs"] = {"image_embeds": embeds}
        negative = negative if guided else None
        return {"text": text, "negative": negative, "guidance_scale": self.guidance_scale, "unet_kwargs": unet_kwargs}

    def _skip_layers(self, prompt: list[str]) -> Tensor:
        """Text embeddings (P, L, D) `clip_skip` layers before the last; diffusers 0.42 cannot with transformers 5."""
        checks.check_clip_skip(self.clip_skip, self.text_encoder.config.num_hidden_layers)
        prompt = self.maybe_convert_prompt(prompt, self.tokenizer)
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        whole = self.tokenizer(prompt, padding="longest", return_tensors="pt").input_ids
        if whole.shape[1] > length:
            left_out = self.tokenizer.batch_decode(whole[:, length - 1 : -1])
            logger.warning(f"CLIP can only handle {length} tokens; this part of the prompt was truncated: {left_out}")
        scale = (self.cross_attention_kwargs or {}).get("scale", 1.0)  # of LoRAs, as diffusers' encode_prompt has it
        scale_lora_layers(self.text_encoder, scale)
        layers = self.text_encoder(tokens.input_ids.to(self._execution_device), output_hidden_states=True).hidden_states
        unscale_lora_layers(self.text_encoder, scale)
        return self.text_encoder.final_layer_norm(layers[-1 - self.clip_skip])

    def _embedded_guidance(self, text: Tensor) -> Tensor | None:
        """Guidance as a UNet distilled for it (LCM) takes it: an embedding (B, D) added to the timestep's."""
        if self.unet.config.time_cond_proj_dim is None:
            return None
        scale = torch.tensor(self.guidance_scale - 1).repeat(len(text))
        return self.get_guidance_scale_embedding(scale, embedding_dim=self.unet.config.time_cond_proj_dim).to(text)

    def _start(
        self, canvas: Canvas, fields: dict, timestep: Tensor, latents, masked_image_latents, generator, init: str | None
    ) -> tuple[Condition, Tensor, Tensor]:
        """Condition, noise and first latents; draws image latents (if needed), noise, masked image latents."""
        text = fields["text"]
        each = generator[:: len(text) // len(canvas.image)] if isinstance(generator, list) else generator
        plain = self.unet.config.in_channels == 4
        image_latents = None
        if plain or (init == "image" and latents is None):
            image_latents = spread(diffusion.encode_image(self.vae, canvas.image.to(text), each), len(text))
        shape = (len(text), 4, *(side // self.vae_scale_factor for side in canvas.mask.shape[-2:]))
        noise = randn_tensor(shape, generator, text.device, text.dtype) if latents is None else latents.to(text.device)
        if noise.shape != shape:
            raise ValueError(f"latents have shape {tuple(noise.shape)}; this call needs {shape}.")
        masked = None
        if masked_image_latents is not None:
            masked = diffusion.encode_image(self.vae, masked_image_latents.to(text), each)
        elif not canvas.pictures:
            raise ValueError(
                "image is latents, so the masked image cannot be made of it; give masked_image_latents, too."
            )
        known = image_latents if plain else None
        condition = diffusion.encode(
            self.vae, canvas.image, canvas.mask, masked_latents=masked, generator=each, image_latents=known, **fields
        )
        before = {"image": image_latents, "masked": condition.masked_latents}.get(init) if latents is None else None
        return condition, noise, diffusion.start(self.scheduler, noise, timestep.repeat(len(text)), before)

    def _observer(self, bar, own: Schedule, callback: Callable | None, names: Sequence[str]) -> diffusion.Step:
        """What to do after every step: the caller's callback, the progress bar, and a stop if it was asked for."""
        guided = diffusion.guided_steps(own.guidance_end, self.num_timesteps)
        warmup = self.num_timesteps - bar.total * self.scheduler.order

        def on_step(i: int, t: Tensor, latents: Tensor, condition: Condition) -> tuple[Tensor, Condition | None]:
            if callback is not None:
                latents, condition = call_back(callback, names, self, i, t, latents, condition)
                condition = replace(condition, guidance_scale=self.guidance_scale)
            if i + 1 == guided < self.num_timesteps and condition.guided:
                self._guided, condition = False, condition.unguided()
            if i == self.num_timesteps - 1 or (i + 1 > warmup and (i + 1) % self.scheduler.order == 0):
                bar.update()
            return latents, None if self.interrupt else condition

        return on_step

    def _finish(self, canvas: Canvas, latents: Tensor, generator, output_type: str, raw: bool, composite: bool):
        """Images of the output type, and what the safety checker found (None without one)."""
        if output_type == "latent":
            return latents, None
        decoded = diffusion.decode(self.vae, latents, generator=generator, **self._decoder_condition(canvas, latents))
        if not decoded.isfinite().all():
            raise ValueError(
                "What the model made has NaN or infinite values: no picture. In float16, take bfloat16 or float32; with"
                " LoRAs, look at their weights."
            )
        decoded, unsafe = self.run_safety_checker(decoded, latents.device, latents.dtype)
        if raw:
            shown = [not found for found in unsafe or [False] * len(decoded)]
            return self.image_processor.postprocess(decoded, output_type, shown), unsafe
        for row in np.flatnonzero(unsafe or []):
            decoded[row] = -1  # black
        images = canvas.finish(decoded, composite, self.vae_scale_factor, output_type == "pil")
        return to_output(images, output_type, latents.device), unsafe

    def _decoder_condition(self, canvas: Canvas, latents: Tensor) -> dict[str, Tensor]:
        """What an asymmetric autoencoder's decoder sees beside the latents: the picture and its mask."""
        if not isinstance(self.vae, AsymmetricAutoencoderKL):
            return {}
        return {
            "image": spread(canvas.image.to(latents.device, self.vae.dtype), len(latents)),
            "mask": spread(canvas.mask.to(latents.device, self.vae.dtype), len(latents)),
        }


def is_latents(image) -> bool:
    """Whether an image comes as latents: a tensor of 4 channels."""
    return isinstance(image, Tensor) and image.ndim == 4 and image.shape[1] == 4
