"""What of a reward's towers stays as it is while it learns. Source: ImageReward (arXiv 2304.05977), its `fix_rate`."""

from torch import nn

from byteedit.rewards import CoherenceReward

__all__ = ["freeze"]


def freeze(model: nn.Module, fix_rate: float) -> None:
    """Fix the embeddings and the first layers of each tower, a share of `fix_rate` in [0, 1], rounded down."""
    if not fix_rate:
        return
    if isinstance(model, CoherenceReward):
        towers = [(model.vit.embeddings, model.vit.layers)]
    else:
        vision, text = model.vision_model, model.text_model
        towers = [(vision.embeddings, vision.encoder.layers), (text.embeddings, text.encoder.layer)]
    for embeddings, layers in towers:
        for module in (embeddings, *layers[: int(fix_rate * len(layers))]):
            module.requires_grad_(False)
