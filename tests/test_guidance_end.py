"""Guidance that ends before the last step: in a call, in a LoRA's schedule, and what was doubled for it."""

import torch
from diffusers.callbacks import SDCFGCutoffCallback

from byteedit.diffusion import Condition
from byteedit.schedule import Schedule
from test_schedule import CALM, generator, lora_of


def test_guidance_ends_where_a_lora_says(pipe, tmp_path, scene):
    rows = []
    pipe.unet.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))

    def edit(**asked):
        rows.clear()
        made = pipe("a red boat", *scene(), generator=generator(), output_type="latent", **asked).images
        return made, list(rows)

    own = Schedule(num_inference_steps=4, guidance_scale=2.0, guidance_end=0.5)
    pipe.load_lora_weights(lora_of(tmp_path, own))
    made, asked = edit()
    assert asked == [2, 2, 1, 1]
    cut = SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1)  # after step 1, counted from 0
    twin, asked = edit(guidance_end=1.0, callback_on_step_end=cut)
    assert asked == [2, 2, 1, 1]
    assert torch.equal(made, twin)
    assert edit(guidance_end=1.0)[1] == [2, 2, 2, 2]
    assert edit(guidance_end=0.01)[1] == [2, 1, 1, 1]
    assert edit(num_inference_steps=8, strength=0.5)[1] == [2, 2, 1, 1]
    assert edit(guidance_scale=1.0)[1] == [1, 1, 1, 1]


def test_what_is_doubled_for_guidance_is_halved_where_it_ends():
    text, mask = torch.ones(1, 3, 2), torch.ones(1, 1, 4, 4)
    embeds = [torch.tensor([[0.0], [1.0]])]
    kwargs = {"added_cond_kwargs": {"image_embeds": embeds}, "cross_attention_kwargs": {"scale": 0.5}}
    made = Condition(text, mask, mask, negative=0 * text, guidance_scale=2.0, unet_kwargs=kwargs).unguided()
    assert not made.guided
    assert made.unet_kwargs["added_cond_kwargs"]["image_embeds"][0].tolist() == [[1.0]]
    assert made.unet_kwargs["cross_attention_kwargs"] == {"scale": 0.5}
    assert len(embeds[0]) == 2


def test_with_the_last_lora_that_is_deleted_its_schedule_goes(pipe, tmp_path):
    own = pipe.schedule
    pipe.load_lora_weights(lora_of(tmp_path / "fast", CALM), adapter_name="fast")
    pipe.load_lora_weights(lora_of(tmp_path / "plain"), adapter_name="plain")
    assert pipe.schedule == own  # the plain one is active
    pipe.delete_adapters("plain")
    assert pipe.schedule == CALM
    pipe.delete_adapters("fast")
    assert pipe.schedule == own
