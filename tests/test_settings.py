"""What a preset or the command line may say: values left empty, lists, and numbers that mean nothing."""

from pathlib import Path

import pytest

from byteedit.training.boost import PeflSettings
from byteedit.training.phases import FastSettings
from byteedit.training.reward import RewardSettings
from byteedit.training.settings import read
from byteedit.training.sft import InpaintSettings

PRESETS = Path(__file__).parent.parent / "examples" / "configs" / "sd15"
KINDS = {"pefl": PeflSettings, "fast": FastSettings, "inpaint": InpaintSettings, "reward_aesthetic": RewardSettings}


def given(name: str, *overrides: str):
    """The settings of a preset with overrides."""
    return read(KINDS[name], PRESETS / f"{name}.yaml", overrides)


@pytest.mark.parametrize(
    ("preset", "setting"),
    [
        ("pefl", "features"),
        ("fast", "features"),
        ("fast", "discriminator"),
        ("pefl", "timestep_spacing"),
        ("fast", "timestep_spacing"),
        ("inpaint", "tuned"),
        ("reward_aesthetic", "model"),
    ],
)
def test_nothing_is_an_empty_name_where_that_means_something(preset, setting):
    assert getattr(given(preset, f"{setting}="), setting) == ""


@pytest.mark.parametrize(
    ("preset", "setting"),
    [("pefl", "prompted"), ("pefl", "point_weights"), ("inpaint", "soup"), ("inpaint", "trackers"), ("fast", "phases")],
)
def test_nothing_is_an_empty_list(preset, setting):
    assert getattr(given(preset, f"{setting}="), setting) == ()


def test_phases_without_phases_are_one(tmp_path):
    [phase] = given("fast", "phases=", f"output={tmp_path}").each()
    assert phase.output == tmp_path


@pytest.mark.parametrize(
    ("preset", "override", "words"),
    [
        ("inpaint", "base=", "base is empty; say what it is"),
        ("inpaint", "caption_column=", "caption_column is empty; say what it is"),
        ("inpaint", "betas=", r"betas is \(\); give the two decay rates"),
        ("inpaint", "trackers=3", r"trackers is 3, expected a list, such as \[3\]"),
        ("fast", "phases=fast8", r"phases is 'fast8', expected a list"),
        ("fast", "phases=[fast8]", "phases has 'fast8'; a phase is its name and settings"),
        ("fast", "architecture=", "architecture is None, expected names with values"),
        ("inpaint", "lr_scheduler=", "lr_scheduler is None, expected 'constant_with_warmup', 'linear', 'cosine'"),
        ("inpaint", "min_snr=-1", "min_snr is -1.0; give a gamma above 0, such as 5, or 0 to do without"),
        ("inpaint", "min_snr=.nan", "min_snr is nan; give a gamma above 0"),
        ("inpaint", "size=-64", "size is -64; give the pixels of a side, or 0 for the model's own"),
        ("pefl", "rewards={imagereward: .nan}", "rewards is .*nan.*; give one a weight above 0"),
        ("pefl", "rewards={imagereward: 1, pickscore: .nan}", "rewards is .*nan.*; give one a weight above 0"),
        ("pefl", "rewards={imagereward: .inf}", "rewards is .*inf.*; give one a weight above 0"),
    ],
)
def test_what_means_nothing_is_refused_in_words(preset, override, words):
    with pytest.raises(ValueError, match=words):
        given(preset, override)
