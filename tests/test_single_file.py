"""A single `.safetensors` file in Stable Diffusion's original layout, opened offline with a local `config=`."""

import pytest
import torch
from safetensors.torch import save_file

from byteedit import ByteEditInpaintPipeline

UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
VAE = {
    "encoder.down_blocks.0.resnets": "encoder.down.0.block",
    "encoder.down_blocks.0.downsamplers.0": "encoder.down.0.downsample",
    "encoder.down_blocks.1.resnets": "encoder.down.1.block",
    "decoder.up_blocks.0.resnets": "decoder.up.1.block",
    "decoder.up_blocks.0.upsamplers.0": "decoder.up.1.upsample",
    "decoder.up_blocks.1.resnets": "decoder.up.0.block",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
}


def original_unet(name: str) -> str:
    """A UNet weight's name in the original layout."""
    ours = next(prefix for prefix in sorted(UNET, key=len, reverse=True) if name.startswith(f"{prefix}."))
    rest = name.removeprefix(f"{ours}.")
    if ".resnets." in ours:
        layer, _, kind = rest.rpartition(".")
        rest = f"{UNET_RESNET[layer]}.{kind}"
    return f"model.diffusion_model.{UNET[ours]}.{rest}"


def original_vae(name: str) -> str:
    """An autoencoder weight's name in the original layout."""
    for ours, theirs in VAE.items():
        name = name.replace(ours, theirs)
    return f"first_stage_model.{name}"


@pytest.fixture
def single_file(pipe, tmp_path):
    """The pipeline's weights as one file in the original layout."""
    weights = {original_unet(name): rows for name, rows in pipe.unet.state_dict().items()}
    weights |= {original_vae(name): rows for name, rows in pipe.vae.state_dict().items()}
    prefix = "cond_stage_model.transformer.text_model."
    weights |= {f"{prefix}{name}": rows for name, rows in pipe.text_encoder.state_dict().items()}
    save_file({name: rows.contiguous() for name, rows in weights.items()}, tmp_path / "inpainting.safetensors")
    return tmp_path / "inpainting.safetensors"


def test_single_file(pipe, single_file, scene, tmp_path):
    """It makes what the folder makes, and takes the schedule from the config."""
    pipe.save_pretrained(tmp_path / "config")
    opened = ByteEditInpaintPipeline.from_single_file(str(single_file), config=str(tmp_path / "config"))
    opened.set_progress_bar_config(disable=True)
    assert type(opened) is ByteEditInpaintPipeline
    assert opened.config.num_inference_steps == 2
    results = [
        p("a red boat", *scene(), generator=torch.Generator().manual_seed(0), output_type="latent").images
        for p in (opened, pipe)
    ]
    assert torch.equal(*results)


def test_pickled_single_file_is_refused(tmp_path):
    """A .ckpt is a pickle."""
    with pytest.raises(ValueError, match="safetensors"):
        ByteEditInpaintPipeline.from_single_file(str(tmp_path / "model.ckpt"))
