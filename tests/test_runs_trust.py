"""Runs are not deceived: what changed in its place is noticed, what cannot be read ends nothing, names come first."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from transformers import BertTokenizer, CLIPConfig, CLIPModel

from byteedit.evaluation import runs
from byteedit.evaluation.figures import plain, ratio
from byteedit.evaluation.lines import folder_of, read_lines
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.evaluation.scores.opening import open_score
from toy_benchmarks import mask, picture, write_editbench
from toy_rewards import VISION, CoherenceReward, CoherenceRewardConfig

NAMES = ["natural-cat-material-indoor", "natural-dog-color-outdoor", "generated-cup-size-art"]


@pytest.fixture
def settings(pipe, tmp_path):
    """Settings of a run of a checkpoint of tiny random weights on an EditBench of three cases."""
    pipe.save_pretrained(tmp_path / "tiny")
    (tmp_path / "bench").mkdir()
    bench = write_editbench(tmp_path / "bench")
    system = f"ours=byteedit:{tmp_path / 'tiny'},steps=1"
    return RunSettings(benchmark=f"editbench:{bench}", systems=(system,), output=tmp_path / "run")


@pytest.fixture
def made(tmp_path):
    """A folder of someone else's answers."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "system.json").write_text('{"system": "someone", "versions": {"app": "3"}}')
    for name in NAMES:
        Image.new("RGB", (48, 40), "red").save(tmp_path / "made" / f"{name}.png")
    return tmp_path / "made"


def clip(folder, seed):
    """A CLIP of tiny random weights; its text as it is typed."""
    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat"]
    text = {**small, "vocab_size": len(words), "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 3}
    eye = {**small, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=eye, projection_dim=8)).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return str(folder)


def test_a_model_that_was_trained_again_in_its_place_needs_another_run(settings, pipe, tmp_path):
    evaluate(settings, print)
    evaluate(settings, print)
    next(pipe.unet.parameters()).data += 1
    pipe.save_pretrained(tmp_path / "tiny")
    with pytest.raises(ValueError, match="was begun with other settings: weights was"):
        evaluate(replace(settings, systems=(*settings.systems, settings.systems[0].replace("ours", "new"))), print)
    assert read_lines(settings.output / "new")  # one that refuses keeps no other from its answers


def test_what_another_reward_scored_is_scored_anew(settings, tmp_path):
    config = CoherenceRewardConfig(vit_config=VISION)
    asked = replace(settings, scores=(f"reward:{tmp_path / 'seam'}",))
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        CoherenceReward(config).save_pretrained(tmp_path / "seam")
        found.append(evaluate(asked, print)["ours"]["editing.reward.seam"].value)
    assert found[0] == found[1] != found[2]
    assert all(len(line["by"]) == 2 for line in read_lines(settings.output / "ours"))


def test_pictures_of_others_that_changed_are_read_anew(settings, made):
    asked = replace(settings, systems=(f"folder:{made}",))
    folder = folder_of(asked.output, asked.systems[0])
    assert evaluate(asked, print) == evaluate(asked, print)  # its own "versions" are not the run's
    Image.new("RGB", (48, 40), "blue").save(made / f"{NAMES[1]}.png")
    evaluate(asked, print)
    assert [Image.open(folder / f"{name}.png").getpixel((0, 0))[2] for name in NAMES] == [0, 255, 0]


def test_two_models_never_write_the_same_number(settings, tmp_path):
    first, second = (f"clip:{clip(tmp_path / name, seed)}" for seed, name in enumerate("ab"))
    before = evaluate(replace(settings, scores=(first,)), print)
    with pytest.raises(ValueError, match=r"clip.full is by .*, and would now be by"):
        evaluate(replace(settings, scores=(second,)), print)
    assert evaluate(replace(settings, scores=(first,)), print) == before


def test_distances_leave_out_what_cannot_be_read(settings, tmp_path):
    asked, said = replace(settings, scores=(f"sets:{clip(tmp_path / 'clip', 0)}",)), []
    assert evaluate(asked, print)["ours"]["editing.clip_fid"].n == 3
    (settings.output / "ours" / f"{NAMES[0]}.png").write_bytes(b"no picture")
    assert evaluate(asked, said.append)["ours"]["editing.clip_fid"].n == 2
    assert any(f"leaves out {NAMES[0]}; the first because" in line for line in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"systems": ("folder:nowhere",)}, "there is no folder nowhere"),
        ({"systems": ("byteedit,stepps=8",)}, "no option 'stepps'"),
        ({"scores": ("clp:x",)}, "no score called 'clp'"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_what_is_asked_for_is_checked_before_anything_is_answered(settings, changes, words):
    systems = settings.systems + changes.get("systems", ())
    with pytest.raises(ValueError, match=words):
        evaluate(replace(settings, **changes | {"systems": systems}), print)
    assert not settings.output.exists()


def test_an_answer_with_an_error_is_made_again(settings):
    evaluate(settings, print)
    folder = settings.output / "ours"
    lines = read_lines(folder)
    lines[1] = {key: lines[1][key] for key in ("id", "task")} | {"scores": {}, "by": [], "error": "killed"}
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert evaluate(settings, print)["ours"]["editing.changed"].n == 3


def test_where_nothing_is_masked_there_is_no_coherence_of_it(settings, tmp_path):
    CoherenceReward(CoherenceRewardConfig(vit_config=VISION)).save_pretrained(tmp_path / "seam")
    case, other = runs.open_benchmark(settings.benchmark)[:2]
    empty = replace(case, read_mask=lambda: np.zeros((40, 48), np.uint8))
    numbers, full = open_score(f"reward:{tmp_path / 'seam'}").measure([empty, other], [case.page, other.page])
    assert set(numbers) == {"reward.seam"} and set(full) == {"reward.seam", "reward.seam.masked"}


def write_pairs(folder, prompts, white=255):
    """A benchmark of pictures of one's own; its text as it is typed."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number, prompt in enumerate(prompts):
        for name, values in (("p", picture(number)), ("m", mask() // 255 * white)):
            Image.fromarray(values).save(folder / f"{name}{number}.png")
        lines.append({"file_name": f"p{number}.png", "mask_file_name": f"m{number}.png", "prompt": prompt})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"userbench:{folder}"


@pytest.fixture
def pairs(tmp_path):
    """Settings of a run of a filler on two pairs, one of whose prompts has a break that is none of lines."""
    benchmark = write_pairs(tmp_path / "pairs", ["", "a boat\u2028on the\x85lake"])
    lines = [json.loads(line) | {"task": "erasing"} for line in (tmp_path / "pairs" / "metadata.jsonl").open()]
    (tmp_path / "pairs" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunSettings(benchmark=benchmark, systems=("telea",), output=tmp_path / "run")


def test_prompts_may_hold_any_break(pairs):
    evaluate(pairs, print)
    assert [line["prompt"] for line in read_lines(pairs.output / "telea")] == [None, "a boat\u2028on the\x85lake"]
    assert evaluate(pairs, print)["telea"]["erasing.changed"].n == 2


def test_a_corrected_mask_is_answered_anew(pairs, tmp_path):
    before = evaluate(pairs, print)["telea"]
    stamps = [file.stat().st_mtime_ns for file in sorted((pairs.output / "telea").glob("*.png"))]
    (pairs.output / "telea" / "sets.json").write_text(json.dumps({"sets": {"erasing": {"clip_fid": 1.0, "n": 2}}}))
    Image.fromarray(mask(0, 0, 20, 20)).save(tmp_path / "pairs" / "m1.png")
    after = evaluate(pairs, print)["telea"]
    again = [file.stat().st_mtime_ns for file in sorted((pairs.output / "telea").glob("*.png"))]
    assert [one == other for one, other in zip(stamps, again, strict=True)] == [True, False]
    assert after["erasing.border_contrast"].value != before["erasing.border_contrast"].value
    assert "erasing.clip_fid" not in after  # of answers that are gone


def test_a_run_has_one_evaluate_at_a_time(pairs):
    pairs.output.mkdir()
    with FileLock(pairs.output / ".lock"), pytest.raises(ValueError, match="another evaluate is at work in"):
        evaluate(pairs, print)
    evaluate(pairs, print)


def test_a_score_that_cannot_be_opened_is_said_when_all_else_is_written(pairs, tmp_path):
    asked = replace(pairs, scores=(f"reward:{tmp_path / 'nowhere'}",))
    with pytest.raises(ValueError, match="nowhere"):
        evaluate(asked, print)
    assert json.loads((pairs.output / "figures.json").read_text())["telea"]["erasing.changed"]["n"] == 2


def test_what_cannot_be_opened_leaves_no_trace(pairs, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        evaluate(replace(pairs, benchmark=f"editbench:{tmp_path / 'nowhere'}"), print)
    assert not pairs.output.exists()
    with pytest.raises(ValueError, match="nowhere"):
        evaluate(replace(pairs, systems=(f"bad=byteedit:{tmp_path / 'nowhere'}", "telea")), print)
    assert list(json.loads((pairs.output / "figures.json").read_text())) == ["telea"]


def test_a_system_that_answers_nothing_is_an_error(pairs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "system.json").write_text('{"system": "no one"}')
    with pytest.raises(ValueError, match="none answered none of its cases"):
        evaluate(replace(pairs, systems=(f"none=folder:{tmp_path / 'empty'}",)), print)


def test_masks_of_0_and_1_are_said_to_be_none(tmp_path):
    benchmark, said = write_pairs(tmp_path / "ones", ["a boat"], white=1), []
    (tmp_path / "system.json").write_text('{"system": "no one"}')
    asked = RunSettings(benchmark=benchmark, systems=(f"other=folder:{tmp_path}",), output=tmp_path / "run")
    with pytest.raises(ValueError, match="answered none"):
        evaluate(asked, said.append)
    assert "masks that cannot be read: 1" in said[0] and "has 0 and 1, where white is 255" in said[0]


def test_a_number_by_weights_that_are_gone_is_not_kept(settings, tmp_path):
    asked = replace(settings, scores=(f"reward:{tmp_path / 'seam'}",))
    for seed, n in ((0, 3), (1, 2)):
        torch.manual_seed(seed)
        CoherenceReward(CoherenceRewardConfig(vit_config=VISION)).save_pretrained(tmp_path / "seam")
        assert evaluate(asked, print)["ours"]["editing.reward.seam"].n == n
        (settings.output / "ours" / f"{NAMES[0]}.png").write_bytes(b"broken")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"systems": ("figures.json=telea",)}, "figures.json is a file of the run's own"),
        ({"scores": ("reward:SEAM,name=psnr.unmasked",)}, "is by pixels and gold in this run"),
    ],
)
def test_names_of_the_run_s_own_are_not_taken(pairs, tmp_path, changes, words):
    torch.manual_seed(0)
    CoherenceReward(CoherenceRewardConfig(vit_config=VISION)).save_pretrained(tmp_path / "seam")
    scores = tuple(text.replace("SEAM", str(tmp_path / "seam")) for text in changes.get("scores", ()))
    with pytest.raises(ValueError, match=words):
        evaluate(replace(pairs, **changes | {"scores": scores}), print)


def test_a_ratio_over_nothing_is_still_json():
    flat, half = ratio([1.0, 1.0], [0.0, 0.0]), ratio([1.0, 1.0], [0.0, 2.0])
    assert plain(flat)["value"] is None and plain(half)["value"] == 1 and plain(half)["high"] is None
    json.dumps([plain(flat), plain(half)], allow_nan=False)
