"""A training goes on with the rows that it began with and no others, and tells which of them it left out."""

import pytest

from byteedit.training.boost import PeflSettings
from byteedit.training.loop import begin
from byteedit.training.phases import FastSettings
from byteedit.training.reward import fit
from byteedit.training.run import train_fast, train_inpaint, train_pefl
from byteedit.training.sft import InpaintSettings
from toy_rewards import aesthetic_rows, coherence, preference
from toy_rewards import settings_for as reward_settings
from toy_rows import png
from toy_training import fresh, reset  # noqa: F401

FEEDBACK = {"rewards": {"pretty": 1}, "features": "", "T": 4, "T1": 3, "T2": 2}
STAGES = {"inpaint": train_inpaint, "pefl": train_pefl, "fast": train_fast}


@pytest.fixture
def rows(tmp_path):
    """A folder of two pictures, one of which is broken."""
    (tmp_path / "rows").mkdir()
    for name, content in {"good": png("red"), "bad": b"broken"}.items():
        (tmp_path / "rows" / f"{name}.png").write_bytes(content)
        (tmp_path / "rows" / f"{name}.txt").write_text("a boat")
    return tmp_path / "rows"


@pytest.fixture
def settings(pipe, tokenizer, tmp_path, rows, monkeypatch):
    """Function that gives the settings of a stage of that name, which sees both rows in its one step."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pipe.save_pretrained(tmp_path / "base")
    values = {"output": tmp_path / "run", "base": str(tmp_path / "base"), "data": str(rows), "size": 32, "rank": 2}
    values |= {"steps": 1, "batch_size": 2, "lr": 1e-3}

    def build(stage):
        if stage == "inpaint":
            return InpaintSettings(**values)
        preference(tokenizer).save_pretrained(tmp_path / "pretty")
        feedback = values | FEEDBACK | {"reward_models": {"pretty": str(tmp_path / "pretty")}}
        if stage == "pefl":
            return PeflSettings(**feedback)
        coherence().save_pretrained(tmp_path / "seam")
        return FastSettings(**feedback, discriminator=str(tmp_path / "seam"), lr_d=1e-3, phases=())

    return build


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_learns_on_from_no_other_rows_and_says_which_it_left_out(settings, rows, caplog, stage):
    STAGES[stage](settings(stage))
    assert [said for said in caplog.messages if "skipped" in said] == ["1 rows skipped (broken image: 1)"]
    (rows / "new.png").write_bytes(png("blue"))
    (rows / "new.txt").write_text("a boat")
    with pytest.raises(ValueError, match="was written with rows 2, now it is 3; set it back to go on"):
        STAGES[stage](settings(stage))


def test_a_reward_learns_on_from_no_other_rows(tokenizer, tmp_path):
    settings, unseen = reward_settings(tmp_path, "aesthetic", steps=1), aesthetic_rows(4, seed=1)
    fit(begin(settings, cpu=True), preference(tokenizer), aesthetic_rows(16), unseen, settings)
    reset()
    with pytest.raises(ValueError, match="was written with rows 16, now it is 12; set it back to go on"):
        fit(begin(settings, cpu=True), preference(tokenizer), aesthetic_rows(12), unseen, settings)
