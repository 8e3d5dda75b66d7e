"""The tokenizer of a model that reads prompts: opened, and held against the vocabulary that the model was trained with.

Of a folder with CLIP's or BLIP's config and without a tokenizer, transformers makes one that knows no words.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from byteedit.hub import first_line

__all__ = ["fitting_tokenizer"]

SPARE = 0.1


def fitting_tokenizer(
    name: str | Path,
    vocab_size: int,
    *,
    added: Sequence[str] = (),
    spare: float = SPARE,
    whose: str = "the model",
    **kwargs,
) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder, or of a hub name, of a model whose vocabulary has `vocab_size` tokens.

    Args:
        added: Special tokens that it gets besides.
        spare: Share of the vocabulary, at most, that the tokenizer may lack: BLIP's lack two, and some are rounded up.
        whose: What has the vocabulary, for the error.
        kwargs: Go to `AutoTokenizer.from_pretrained`.

    Raises:
        ValueError: it cannot be opened, or is another model's.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **kwargs)
    except (OSError, ValueError) as error:
        reason = first_line(error).rstrip(" :")
        raise ValueError(f"the tokenizer {name} cannot be opened ({reason}); name its folder.") from error
    tokenizer.add_tokens(list(added), special_tokens=True)
    if not (1 - spare) * vocab_size <= len(tokenizer) <= vocab_size:
        besides = f" with {' and '.join(added)}" if added else ""
        raise ValueError(
            f"the tokenizer {name} has {len(tokenizer)} tokens{besides}, {whose} has {vocab_size}; name the tokenizer "
            "that it was trained with, or put its files beside the weights."
        )
    return tokenizer
