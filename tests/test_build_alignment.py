"""The builder of D_align on tiny models: what it improves, what it holds out, and that a kill costs little."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from datasets import Dataset, Features
from PIL import Image

from byteedit.data import shards
from byteedit.data.preferences import ALIGNMENT, IMAGE, TEXT, Schema, Skipped, examples, load
from byteedit.training.reward import open_rows
from toy_rewards import settings_for

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What `datasets` caches goes to the test's own folder."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def alignment():
    """examples/build_alignment_data.py as a module."""
    path = ROOT / "examples" / "build_alignment_data.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder) -> dict[str, bytes]:
    """The shards of a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.parquet"))}


@pytest.fixture
def clip(tokenizer, tmp_path):
    """A tiny CLIP for 32 x 32 pixels, in a folder."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text, vision = width | ids | {"max_position_embeddings": 16}, width | {"image_size": 32, "patch_size": 16}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    return str(tmp_path / "clip")


@pytest.fixture
def llava(tmp_path):
    """A tiny LLaVA with a processor, a chat template and 20 words, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<pad>", "</s>", "<image>", "<unk>", "user", "assistant", "describe", "red", "boat", "sky", "a", "the"]
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.add_special_tokens(words[:4])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, **special)
    template = (
        "user {% for part in messages[0].content %}{% if part.type == 'image' %}<image> {% else %}{{ part.text }}"
    )
    template += "{% endif %}{% endfor %} assistant"
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    seen = {"patch_size": 16, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    LlavaProcessor(images, tokenizer, chat_template=template, **seen).save_pretrained(tmp_path / "llava")
    torch.manual_seed(0)
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    vision = CLIPVisionConfig(**width, image_size=32, patch_size=16)
    text = LlamaConfig(**width, vocab_size=len(words), pad_token_id=0, eos_token_id=1, bos_token_id=1)
    model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=2))
    torch.nn.init.normal_(model.lm_head.weight)
    model.save_pretrained(tmp_path / "llava")
    return str(tmp_path / "llava")


@pytest.fixture
def gemma(tmp_path):
    """A tiny Gemma 3, whose processor takes a plain list of images for those of one text, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        Gemma3TextConfig,
        PreTrainedTokenizerFast,
        SiglipVisionConfig,
    )

    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    places = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    words = [*special.values(), *places.values(), "user", "assistant", "describe", "red", "boat", "sky", "a", "the"]
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.add_special_tokens(words[:6])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, extra_special_tokens=places, **special)
    template = "user {% for part in messages[0].content %}{% if part.type == 'image' %}<boi> {% else %}{{ part.text }}"
    template += "{% endif %}{% endfor %} assistant"
    images = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    processor = Gemma3Processor(images, tokenizer, chat_template=template, image_seq_length=4)
    processor.save_pretrained(tmp_path / "gemma")
    torch.manual_seed(0)
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    vision = SiglipVisionConfig(**width, image_size=32, patch_size=8, vision_use_head=False)
    ids = {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    text = Gemma3TextConfig(**width, **ids, head_dim=8, num_key_value_heads=1, tie_word_embeddings=False)
    places = {"image_token_index": 3, "boi_token_index": 4, "eoi_token_index": 5, "tie_word_embeddings": False}
    config = Gemma3Config(vision_config=vision.to_dict(), text_config=text.to_dict(), mm_tokens_per_image=4, **places)
    model = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    torch.nn.init.normal_(model.lm_head.weight)
    torch.nn.init.zeros_(model.lm_head.weight[:6].detach())  # special tokens are not written
    model.save_pretrained(tmp_path / "gemma")
    return str(tmp_path / "gemma")


@pytest.fixture
def pairs(alignment, clip, llava, scene, tmp_path):
    """Function that makes settings for seven pairs in a file, one broken and one without a caption."""
    captions = ["a red boat on the lake", "a green tree", "two blue balloons", "grass and sky", "the house", None, "by"]
    images = [scene(40, 40, seed=seed)[0] for seed in range(6)] + [b"no picture"]
    features = ALIGNMENT.features(ALIGNMENT.required, decoded=True)
    features = Features({"picture": features["image"], "text": features["caption_chosen"]})
    Dataset.from_dict({"picture": images, "text": captions}, features=features).to_parquet(tmp_path / "pairs.parquet")

    def make(output="out", **other):
        given = {
            "clip": clip,
            "captioner": llava,
            "tokens": 4,
            "batch": 2,
            "shard": 2,
            "instruction": "describe the sky",
            "validation": 0.0,
        }
        source = {"pairs": str(tmp_path / "pairs.parquet"), "image": "picture", "caption": "text"}
        return alignment.Settings(output=tmp_path / output, **source, **(given | other))

    return make


def test_captions_that_fit_badly_are_improved(alignment, pairs, capsys):
    from byteedit.rewards import CLIPReward

    schema = Schema({"picture": IMAGE, "text": TEXT})
    rows = list(examples(load(pairs().pairs, schema, Skipped()), schema, Skipped()))
    scores = CLIPReward.from_pretrained(pairs().clip).score(
        [row["picture"] for row in rows], [row["text"] for row in rows]
    )
    made = pairs(threshold=float(np.median(scores)))
    alignment.main(made)
    skipped = Skipped()
    found = list(examples(load(made.output, ALIGNMENT, skipped), ALIGNMENT, skipped))
    poor = [row for row, score in zip(rows, scores, strict=True) if score < made.threshold]
    assert len(poor) == 2
    assert [row["caption_rejected"] for row in found] == [row["text"] for row in poor]
    captioner = alignment.Captioner(made, torch.device("cpu"))
    assert [row["caption_chosen"] for row in found] == [captioner.write([row["picture"]])[0] for row in poor]
    assert all(0 < len(row["caption_chosen"].split()) <= 4 for row in found)
    printed = capsys.readouterr().out
    assert "5 rows skipped (caption good enough: 3, missing text: 1, broken image: 1)" in printed


@pytest.mark.parametrize("streaming", [False, True], ids=["held", "streamed"])
def test_a_killed_run_goes_on_to_the_same_captions(streaming, alignment, pairs, monkeypatch):
    undisturbed, killed = (pairs(name, threshold=2.0, streaming=streaming) for name in ("undisturbed", "killed"))
    alignment.main(undisturbed)
    assert [parquet.read_metadata(file).num_rows for file in sorted(undisturbed.output.glob("*.parquet"))] == [
        2,
        2,
        1,
        0,
    ]
    write, calls = alignment.Captioner.write, []

    def dies_at_the_second(captioner, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(captioner, images)

    monkeypatch.setattr(alignment.Captioner, "write", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        alignment.main(killed)
    assert list(contents(killed.output)) == ["train-000000.parquet"]
    alignment.main(killed)
    assert contents(killed.output) == contents(undisturbed.output)
    assert calls == [2, 2, 2, 1]


@pytest.mark.parametrize("kind", ["llava", "gemma"])
def test_a_batch_of_images_gets_the_captions_of_each_alone(kind, alignment, pairs, request):
    made = pairs(captioner=request.getfixturevalue(kind), tokens=3)
    captioner = alignment.Captioner(made, torch.device("cpu"))
    images = [Image.new("RGB", (40, 40), colour) for colour in ("red", "black", "white")]
    alone = [captioner.write([image])[0] for image in images]
    assert captioner.write(images) == alone
    assert all(alone)
    assert kind == "llava" or len(set(alone)) == 3


def pictures(rows) -> set[bytes]:
    return {row["image"].tobytes() for row in examples(rows, ALIGNMENT, Skipped())}


@pytest.fixture
def twins(pairs, scene, tmp_path):
    """Function that makes settings for twelve pictures, each with two captions, far from one another in the file."""
    images = [scene(40, 40, seed=seed)[0] for seed in range(12)]
    features = ALIGNMENT.features(ALIGNMENT.required, decoded=True)
    features = Features({"picture": features["image"], "text": features["caption_chosen"]})

    def make(output="out", **other):
        columns = {"picture": images * 2, "text": ["a red boat"] * 12 + ["grass"] * 12}
        Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "pairs.parquet")
        return pairs(output, threshold=2.0, shard=5, **{"validation": 0.4} | other)

    return make


def test_a_share_of_the_pictures_is_held_out_for_training_with_defaults(alignment, twins, tmp_path):
    made = twins()
    alignment.main(made)
    settings = settings_for(tmp_path / "run", "alignment", data=str(made.output))
    rows, held_out = open_rows(settings, settings.split), open_rows(settings, settings.held_out)
    assert len(rows) + len(held_out) == 24
    assert pictures(rows).isdisjoint(pictures(held_out))
    assert len(held_out) == 2 * len(pictures(held_out))
    assert 1 <= len(pictures(held_out)) <= 8
    assert alignment.Settings(pairs="x").validation == 0.05
    with pytest.raises(ValueError, match=r"validation is 1.0; it must be at least 0 and below 1"):
        alignment.main(twins("all", validation=1.0))


def test_a_picture_is_held_out_at_the_share_that_is_asked_for(alignment):
    rows = [{"image": Image.new("RGB", (4, 4), (n % 256, n // 256, 0))} for n in range(2000)]
    splits = [alignment.split_of(row, 0.05) for row in rows]
    assert 0.035 < splits.count("validation") / 2000 < 0.065
    assert {alignment.split_of(row, 0.0) for row in rows} == {"train"}


def test_a_kill_between_two_splits_of_a_shard_costs_nothing(alignment, twins, monkeypatch):
    undisturbed, killed = twins("undisturbed"), twins("killed")
    alignment.main(undisturbed)
    write, calls = shards.write_atomically, []

    def dies_between(path, content):
        calls.append(path.name)
        if path.name == "train-000001.parquet" and calls.count(path.name) == 1:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(shards, "write_atomically", dies_between)
    with pytest.raises(KeyboardInterrupt):
        alignment.main(killed)
    assert len(contents(killed.output)) == 3
    alignment.main(killed)
    assert contents(killed.output) == contents(undisturbed.output)
    assert len(contents(killed.output)) == 2 * 5


@pytest.mark.parametrize("streaming", [False, True], ids=["held", "streamed"])
def test_pairs_that_changed_are_refused(streaming, alignment, pairs):
    made = pairs(threshold=2.0, streaming=streaming)
    alignment.main(made)
    alignment.main(made)
    rows = Dataset.from_parquet(made.pairs)
    rows.select([1, 0, *range(2, 7)]).to_parquet(made.pairs)
    with pytest.raises(ValueError, match=r"begun with other settings: pairs_sha256 was '\w+', is '\w+'"):
        alignment.main(made)
    rows.select(range(6)).to_parquet(made.pairs)
    counted = "pairs_sha256" if streaming else "pairs_rows was 7, is 6, pairs_sha256"
    with pytest.raises(ValueError, match=f"begun with other settings: {counted}"):
        alignment.main(made)
