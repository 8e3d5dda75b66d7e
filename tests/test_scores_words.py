"""Scores by models, on tiny checkpoints: CLIP's and BLIP's against the models' own, rewards against themselves."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, BlipForImageTextRetrieval, CLIPModel

from byteedit.evaluation.scores.opening import open_score
from byteedit.evaluation.scores.views import mask_crop
from byteedit.evaluation.scores.words import LONGEST, clip_forms
from byteedit.rewards import CLIPReward, CoherenceReward, PreferenceReward
from toy_scores import PROMPTS, edit, sized_pictures, write_models


@pytest.fixture
def pictures(scene):
    return sized_pictures(scene)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tiny checkpoints."""
    root = tmp_path_factory.mktemp("models")
    write_models(root)
    return root


def test_clip_score_is_clip_s_cosine_in_three_forms(folder, pictures):
    cases, answers = pictures
    opened = open_score(f"clip:{folder / 'clip'}")
    found = opened.measure(cases, answers)
    reward = CLIPReward.from_pretrained(str(folder / "clip"))
    for case, answer, scored in zip(cases, answers, found, strict=True):
        for kind, picture in (("full", answer), ("simple", mask_crop(answer, case.mask))):
            [cosine] = reward.score([Image.fromarray(picture)], [PROMPTS[kind]])
            assert scored[f"clip.{kind}"] == pytest.approx(cosine, abs=1e-5)
            assert scored[f"clip100.{kind}"] == pytest.approx(100 * cosine, abs=1e-3)
            assert scored[f"clip_w.{kind}"] == pytest.approx(2.5 * max(cosine, 0), abs=1e-5)
    assert len({round(scored["clip.full"], 4) for scored in found}) == 3
    assert opened.about == f"CLIPScore: {folder / 'clip'} at 16 px, cosine, 100 x cosine and w = 2.5"


def test_clip_s_forms_of_a_negative_cosine():
    assert clip_forms(-0.2) == {"clip": -0.2, "clip100": -20.0, "clip_w": 0.0}
    assert clip_forms(0.329)["clip_w"] == pytest.approx(0.8225)


def test_blip_score_is_the_model_s_own(folder, pictures):
    cases, answers = pictures
    found = open_score(f"blip:{folder / 'blip'},batch=2").measure(cases, answers)
    model = BlipForImageTextRetrieval.from_pretrained(folder / "blip").eval()
    tokenizer = BertTokenizer.from_pretrained(folder / "blip")
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    for answer, scored in zip(answers, found, strict=True):
        small = np.asarray(Image.fromarray(answer).resize((16, 16), Image.Resampling.BICUBIC))
        pixels = ((torch.tensor(small) / 255 - mean) / std).permute(2, 0, 1)[None]
        tokens = tokenizer([PROMPTS["full"]], return_tensors="pt")
        given = {"input_ids": tokens.input_ids, "pixel_values": pixels, "attention_mask": tokens.attention_mask}
        with torch.no_grad():
            match = model(**given).itm_score.softmax(-1)[0, 1].item()
            cosine = model(**given, use_itm_head=False).itm_score.item()
        assert scored["blip_itm.full"] == pytest.approx(match, abs=1e-5)
        assert scored["blip_itc.full"] == pytest.approx(cosine, abs=1e-5)
    assert max(scored["blip_itm.full"] for scored in found) - min(scored["blip_itm.full"] for scored in found) > 1e-3
    assert {key.partition(".")[2] for key in found[0]} == {"full", "simple", "rich"}


def test_long_prompts_are_cut_as_blip_cuts_them(folder):
    page = np.full((16, 16, 3), 90, np.uint8)
    long = " ".join(["red boat"] * 40)
    cases = [edit(page, page[..., 0], prompts={"full": words}) for words in (long, long + " on the lake")]
    first, second = open_score(f"blip:{folder / 'blip'}").measure(cases, [page, page])
    assert first == second
    assert LONGEST == 35


def test_a_case_without_prompts_has_no_score_of_words(folder, pictures):
    cases, answers = pictures
    silent = edit(cases[0].page, cases[0].mask, prompts={})
    found = open_score(f"clip:{folder / 'clip'}").measure([silent, cases[1]], answers[:2])
    assert found[0] == {} and "clip.full" in found[1]


# Rewards


def test_a_reward_rates_the_whole_with_the_full_prompt_or_the_one_asked_for(folder, pictures):
    cases, answers = pictures
    asked = [edit(case.page, case.mask, kind="simple") for case in cases]
    reward = PreferenceReward.from_pretrained(folder / "aesthetic")
    whole = [Image.fromarray(answer) for answer in answers]
    for prompt, kind in (("full", "full"), ("asked", "simple")):
        opened = open_score(f"reward:{folder / 'aesthetic'},prompt={prompt}")
        expected = reward.score(whole, [PROMPTS[kind]] * 3)
        assert [scored["reward.aesthetic"] for scored in opened.measure(asked, answers)] == pytest.approx(
            expected, abs=1e-5
        )
        assert opened.about.endswith(f"at 16 px, {prompt} prompt")
    with pytest.raises(ValueError, match="reward needs a model"):
        open_score("reward")


def test_coherence_is_the_share_of_real_pixels_of_the_whole_and_inside_the_mask(folder, pictures):
    cases, answers = pictures
    found = open_score(f"reward:{folder / 'coherence'},name=real").measure(cases, answers)
    reward = CoherenceReward.from_pretrained(folder / "coherence")
    for case, answer, scored in zip(cases, answers, found, strict=True):
        real = reward.map([Image.fromarray(answer)])[0]
        assert scored["real"] == pytest.approx(real.mean(), abs=1e-4)
        assert scored["real.masked"] == pytest.approx(real[case.mask > 127].mean(), abs=1e-4)


@pytest.mark.parametrize("kind", ["clip", "blip"])
def test_a_folder_without_its_tokenizer_is_refused_in_words(folder, tmp_path, kind):
    for file in ("config.json", "model.safetensors"):
        shutil.copy(folder / kind / file, tmp_path)
    with pytest.raises(ValueError, match=r"the tokenizer .* has \d tokens, the model has \d+; name the tokenizer"):
        open_score(f"{kind}:{tmp_path}")


def test_pickscore_is_scaled(folder, pictures):
    cases, answers = pictures
    place = folder / "clip"
    [cosine] = open_score(f"clip:{place}").measure(cases[:1], answers[:1])
    [picked] = open_score(f"pickscore:{place},tokenizer={place}").measure(cases[:1], answers[:1])
    scale = CLIPModel.from_pretrained(place).logit_scale.exp().item()
    assert picked["pickscore"] == pytest.approx(scale * cosine["clip.full"], rel=1e-4)
