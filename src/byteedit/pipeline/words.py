"""Prompts of one call, paired with its pictures: strings or embeddings, one for all or one for each.

Also says whether guidance has anything to lead away from. No tokenizer, no text encoder: those are the pipeline's.
"""

from dataclasses import dataclass

from torch import Tensor

Prompt = str | list[str] | None


@dataclass(frozen=True)
class Words:
    """Positive and negative prompt, each as strings or as embeddings (P, L, D)."""

    prompt: Prompt = None
    negative_prompt: Prompt = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None

    def __len__(self) -> int:
        """How many prompts there are."""
        if self.prompt_embeds is not None:
            return len(self.prompt_embeds)
        return len(self.prompt) if isinstance(self.prompt, (list, tuple)) else 1

    @property
    def guide(self) -> bool:
        """Whether prompt and negative prompt differ; no prompt is "", and so is no negative prompt."""
        if self.prompt_embeds is not None or self.negative_prompt_embeds is not None:
            return True
        return listed(self.prompt, len(self)) != listed(self.negative_prompt, len(self))

    def spread(self, count: int) -> "Words":
        """The same words for `count` pictures: lists of `count` strings, embeddings (count, L, D)."""
        negative_embeds = repeated(self.negative_prompt_embeds, count)
        negative = None if negative_embeds is not None else listed(self.negative_prompt, count)
        prompt = None if self.prompt_embeds is not None else listed(self.prompt, count)
        return Words(prompt, negative, repeated(self.prompt_embeds, count), negative_embeds)

    def repeat(self, each: int) -> "Words":
        """Every prompt `each` times, neighbours together."""
        return Words(
            *(None if v is None else [w for w in v for _ in range(each)] for v in (self.prompt, self.negative_prompt)),
            *(
                None if e is None else e.repeat_interleave(each, 0)
                for e in (self.prompt_embeds, self.negative_prompt_embeds)
            ),
        )

    def arguments(self) -> dict[str, Prompt | Tensor]:
        """The words as arguments of the pipeline's call, those that there are."""
        return {name: value for name, value in vars(self).items() if value is not None}


def repeated(embeds: Tensor | None, count: int) -> Tensor | None:
    """Embeddings (P, L, D) -> (count, L, D); raises ValueError if P is neither one nor `count`."""
    if embeds is None:
        return None
    if len(embeds) not in (1, count):
        raise ValueError(
            f"Embeddings of {len(embeds)} prompts came where {count} were expected; give one, or one a picture."
        )
    return embeds.repeat_interleave(count // len(embeds), 0)


def listed(prompt: Prompt, count: int) -> list[str]:
    """A list of `count` prompts; raises ValueError if there are others than one or `count`."""
    prompts = [prompt or ""] if prompt is None or isinstance(prompt, str) else list(prompt)
    if len(prompts) not in (1, count):
        raise ValueError(f"{len(prompts)} prompts came where {count} were expected; give one, or as many as pictures.")
    return prompts * (count // len(prompts))
