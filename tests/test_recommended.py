"""What a LoRA by feedback learning recommends where that is chosen when it is learnt."""

from dataclasses import replace

import pytest

from byteedit import ByteEditInpaintPipeline
from byteedit.training.run import train_pefl
from test_boost import lora_of, run, settings  # noqa: F401
from toy_training import equal, lines


def test_what_a_lora_recommends_can_be_chosen_when_it_is_learnt(settings):  # noqa: F811
    settings = replace(settings, held_out="picturebook:validation", held_out_rows=2, guidance_scale=1.5)
    run(settings)
    learnt, losses = lora_of(settings), lines(settings, "pefl/loss")
    chosen = {"guidance_scale": 2.0, "guidance_end": 0.5, "noise_scale": 0.9}
    train_pefl(replace(settings, recommends=chosen))
    assert equal(lora_of(settings), learnt) and lines(settings, "pefl/loss") == losses  # nothing is learnt anew
    opened = ByteEditInpaintPipeline.from_pretrained(settings.base)
    before = opened.schedule
    opened.load_lora_weights(settings.written)
    assert opened.schedule == replace(before, **chosen)
    card = (settings.written / "README.md").read_text()
    assert "To be used with guidance 2 in the first 50 % of the steps (`guidance_end`); each step" in card
    assert "each step hands on 0.9 of its noise (`noise_scale`)." in card


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"recommends": {"steps": 4}},
            "recommends has steps; a LoRA recommends guidance_scale, guidance_end, noise_scale",
        ),
        ({"recommends": {"noise_scale": 0.0}}, "noise_scale is 0.0; give a number above 0"),
        ({"recommends": {"noise_scale": 0.9}, "rank": 0}, "recommends is what a LoRA recommends, and rank is 0"),
    ],
)
def test_it_recommends_nothing_else_and_whole_weights_nothing(settings, wrong, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        replace(settings, **wrong)
