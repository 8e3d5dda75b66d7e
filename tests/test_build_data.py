"""The builder of candidates for D_aes on tiny real models: what it keeps and counts, and that a kill costs little."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features

from byteedit.data.preferences import CANDIDATES, Skipped, examples, load
from byteedit.data.prompts import far_points, is_decoration, key, tidy
from byteedit.data.shards import build_shards
from byteedit.files import claim

ROOT = Path(__file__).parent.parent
PROMPTS = """a red boat on the lake
fantastic, brilliant, 8k
A red boat, on the lake!
a green tree by the house --ar 16:9 --v 5

two blue balloons
nothing but grass and sky https://example.com/sky.png
a blue house
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What `datasets` caches goes to the test's own folder."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def script(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def aesthetic():
    """examples/build_aesthetic_data.py"""
    return script("build_aesthetic_data")


@pytest.fixture
def painter(parts, tmp_path):
    """Function that saves a tiny text-to-image pipeline; `paint` fills the decoder's last layer."""

    def save(name="painter", paint=None):
        from diffusers import StableDiffusionPipeline

        built = parts(in_channels=4)
        if paint is not None:
            torch.nn.init.constant_(built["vae"].decoder.conv_out.weight, paint)
        StableDiffusionPipeline(**built, requires_safety_checker=False).save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.fixture
def settings(aesthetic, painter, tmp_path):
    """Function that makes settings for PROMPTS: 1 step, all prompts, 2 prompts a shard."""
    (tmp_path / "prompts.txt").write_text(PROMPTS)

    def make(output="out", **other):
        given = {"models": (painter(),), "steps": 1, "guidance_scale": 1.0, "share": 1.0, "shard": 2} | other
        return aesthetic.Settings(**{"prompts": str(tmp_path / "prompts.txt"), "output": tmp_path / output} | given)

    return make


def contents(folder) -> dict[str, bytes]:
    """The shards of a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.parquet"))}


def test_prompts_become_candidates_to_be_judged(aesthetic, settings, capsys):
    made = settings()
    aesthetic.main(made)
    skipped = Skipped()
    rows = list(examples(load(made.output, CANDIDATES, skipped), CANDIDATES, skipped))
    assert [row["prompt"] for row in rows] == [
        "a red boat on the lake",
        "a green tree by the house",
        "two blue balloons",
        "nothing but grass and sky",
        "a blue house",
    ]
    assert [row["seeds"] for row in rows] == [[4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3] for n in range(5)]
    assert {picture.size for row in rows for picture in row["candidates"]} == {(64, 64)}
    assert list(contents(made.output)) == [f"shard-{number:06d}.parquet" for number in range(3)]
    printed = capsys.readouterr().out
    assert "5 of 8 prompts are chosen" in printed
    assert f"candidates are in {made.output}; in this run no rows skipped" in printed

    pipe = aesthetic.load_pipeline(made.models[0], made, torch.device("cpu"))
    alone = pipe(rows[3]["prompt"], num_inference_steps=1, guidance_scale=1.0, generator=torch.manual_seed(14)).images
    np.testing.assert_allclose(np.asarray(rows[3]["candidates"][2], int), np.asarray(alone[0], int), atol=1)


def test_a_killed_run_goes_on_to_the_same_candidates(aesthetic, settings, monkeypatch):
    undisturbed, killed = settings("undisturbed"), settings("killed")
    aesthetic.main(undisturbed)
    make, calls = aesthetic.make_candidates, []

    def dies_at_the_fourth(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return make(*arguments)

    monkeypatch.setattr(aesthetic, "make_candidates", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        aesthetic.main(killed)
    assert list(contents(killed.output)) == ["shard-000000.parquet"]
    (killed.output / ".shard-000001.parquet.x8fk").write_bytes(b"half a shard")
    aesthetic.main(killed)
    assert contents(killed.output) == contents(undisturbed.output)
    assert len(calls) == 4 + 3


@pytest.mark.parametrize("paint", [0.0, float("nan")], ids=["constant", "not finite"])
def test_blank_pictures_are_left_out_and_models_take_turns(paint, aesthetic, settings, painter, capsys):
    blank, good = painter("blank", paint), painter("good")
    made = settings(models=(good, blank))
    aesthetic.main(made)
    rows = load(made.output, CANDIDATES, Skipped())
    assert rows["seeds"][:2] == [[0, 2], [4, 6]]
    assert [len(row) for row in rows["candidates"]] == [2] * 5
    made = settings("nothing", models=(blank,))
    aesthetic.main(made)
    assert len(contents(made.output)) == 3
    with pytest.raises(ValueError, match="holds no rows"):
        load(made.output, CANDIDATES, Skipped())
    assert "in this run 5 rows skipped (fewer than two candidates: 5)" in capsys.readouterr().out


def test_prompts_for_inpainting_bring_their_pictures(aesthetic, settings, parts, scene, tmp_path):
    from diffusers import StableDiffusionInpaintPipeline

    from byteedit import ByteEditInpaintPipeline

    (image, mask), (other, _) = scene(64, 64), scene(64, 64, seed=1)
    rows = {
        "words": ["a red boat", "", "8k", "A red boat", "a red boat", "a tree"],
        "image": [image, image, image, image, other, b"no picture"],
        "mask": [mask, mask, mask, mask, mask, mask],
        "task": ["editing", "erasing", "editing", "editing", "editing", "editing"],
    }
    features = CANDIDATES.features([*CANDIDATES.required, *rows], decoded=True)
    features = {"words": features["prompt"]} | {name: features[name] for name in ("image", "mask", "task")}
    Dataset.from_dict(rows, features=Features(features)).to_parquet(tmp_path / "edits.parquet")
    for name, kind in {"theirs": StableDiffusionInpaintPipeline, "ours": ByteEditInpaintPipeline}.items():
        kind(**parts(), requires_safety_checker=False).save_pretrained(tmp_path / name)
        source = {"prompts": str(tmp_path / "edits.parquet"), "column": "words"}
        made = settings(f"from {name}", models=(str(tmp_path / name),), candidates=2, steps=2, **source)
        aesthetic.main(made)
        skipped = Skipped()
        found = list(examples(load(made.output, CANDIDATES, skipped), CANDIDATES, skipped))
        asked = [(row["prompt"], row["task"]) for row in found]
        assert asked == [("a red boat", "editing"), ("", "erasing"), ("a red boat", "editing")]
        assert np.array_equal(found[2]["image"], other)
        assert np.array_equal(found[0]["mask"], mask)
        assert {len(row["candidates"]) for row in found} == {2}


def test_pictures_of_one_file_name_are_told_apart_by_their_bytes(aesthetic):
    one, other, path = ({"bytes": content, "path": "image.png"} for content in (b"one", b"other", None))
    rows = Dataset.from_list([{"image": image, "mask": one} for image in (one, other, one)])
    assert aesthetic.find_distinct(["a red boat"] * 3, rows) == [0, 1]
    assert aesthetic.identify({"image": path}) == ("image.png",)
    empty = {"bytes": b"", "path": "image.png"}
    assert aesthetic.identify({"image": empty}) not in (None, ("image.png",), aesthetic.identify({"image": one}))


def test_rows_without_a_mask_that_fits_cost_no_more_than_themselves(
    aesthetic, settings, parts, scene, tmp_path, capsys
):
    from byteedit import ByteEditInpaintPipeline

    (image, mask), (_, small) = scene(64, 64), scene(32, 32)
    rows = {
        "prompt": ["a boat", "a tree", "a house", "a lake", "a balloon"],
        "image": [image, image, image, None, image],
        "mask": [mask, None, small, mask, mask],
    }
    features = CANDIDATES.features([*CANDIDATES.required, *rows], decoded=True)
    features = Features({name: features[name] for name in rows})
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "edits.parquet")
    ByteEditInpaintPipeline(**parts()).save_pretrained(tmp_path / "ours")
    made = settings(models=(str(tmp_path / "ours"),), candidates=2, prompts=str(tmp_path / "edits.parquet"))
    aesthetic.main(made)
    assert load(made.output, CANDIDATES, Skipped())["prompt"][:] == ["a boat", "a balloon"]
    printed = capsys.readouterr().out
    assert "3 rows skipped (missing mask: 1, mask of another size: 1, missing image: 1)" in printed
    rows = [{"image": None, "mask": None, "prompt": "a boat"}]
    painter = aesthetic.load_pipeline(settings().models[0], made, torch.device("cpu"))
    assert len(aesthetic.make_rows([(0, 0, "a boat")], [painter], rows, made, Skipped())) == 1  # which takes no mask


def test_a_kill_while_prompts_are_embedded_costs_one_part(aesthetic, settings, parts, tmp_path, monkeypatch):
    built = parts()
    for part in ("text_encoder", "tokenizer"):
        built[part].save_pretrained(tmp_path / "encoder")
    monkeypatch.setattr(aesthetic, "PART", 2)
    far = {"encoder": str(tmp_path / "encoder"), "share": 0.5, "clusters": 1, "neighbours": 2}
    undisturbed, killed = settings("undisturbed", **far), settings("killed", **far)
    aesthetic.main(undisturbed)
    embed, calls = aesthetic.embed, []

    def dies_at_the_second(prompts, *arguments):
        calls.append(prompts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed(prompts, *arguments)

    monkeypatch.setattr(aesthetic, "embed", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        aesthetic.main(killed)
    aesthetic.main(killed)
    assert [len(prompts) for prompts in calls] == [2, 2, 2, 1]
    assert (killed.output / "chosen.json").read_bytes() == (undisturbed.output / "chosen.json").read_bytes()
    assert not (killed.output / "embeddings").exists()
    prompts = ["a red boat", "a tree", "two blue balloons"]
    parted = aesthetic.embed_in_parts(prompts, far["encoder"], torch.device("cpu"), tmp_path / "parts")
    np.testing.assert_allclose(parted, embed(prompts, far["encoder"], torch.device("cpu")), atol=1e-5)
    other = ["a tree", "a red boat", "two blue balloons"]
    again = aesthetic.embed_in_parts(other, far["encoder"], torch.device("cpu"), tmp_path / "parts")
    np.testing.assert_allclose(again, parted[[1, 0, 2]], atol=1e-5)


def test_far_prompts_are_chosen_once_and_kept(aesthetic, settings, parts, tmp_path):
    built = parts()
    for part in ("text_encoder", "tokenizer"):
        built[part].save_pretrained(tmp_path / "encoder")
    made = settings(encoder=str(tmp_path / "encoder"), share=0.5, clusters=1, neighbours=2)
    aesthetic.main(made)
    prompts = list(load(made.output, CANDIDATES, Skipped())["prompt"])
    assert len(prompts) == 2
    tidied = [tidy(line) for line in PROMPTS.splitlines()]
    distinct = [tidied[number] for number in (0, 3, 5, 6, 7)]
    embeddings = aesthetic.embed(distinct, made.encoder, torch.device("cpu"))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert prompts == [distinct[number] for number in slow_far_points(embeddings, 2, 2)]
    (tmp_path / "prompts.txt").write_text("another prompt\n" + PROMPTS)
    with pytest.raises(ValueError, match="has changed since"):
        aesthetic.main(made)


def slow_far_points(points, neighbours, count) -> list[int]:
    """The farthest points of one cluster, point by point."""
    means = [np.sort(np.linalg.norm(points - point, axis=1))[1 : neighbours + 1].mean() for point in points]
    return sorted(sorted(range(len(points)), key=lambda n: -means[n])[:count])


def test_every_cluster_keeps_its_share():
    rng = np.random.default_rng(0)
    near, far = rng.normal(0, 0.01, (20, 3)), rng.normal(0, 0.01, (10, 3)) + 5
    near[4] += 0.5
    far[7] += 0.5
    kept = far_points(np.concatenate([near, far]), 0.1, clusters=2, neighbours=3)
    assert {4, 27} < set(kept.tolist())
    assert len(kept) == 3
    assert far_points(near, 0.2, clusters=1, neighbours=3).tolist() == slow_far_points(near, 3, 4)
    assert far_points(near[:1], 0.5, clusters=9, neighbours=3).tolist() == [0]
    with pytest.raises(ValueError, match="share is 0"):
        far_points(near, 0, clusters=1, neighbours=1)


def test_decoration_is_told_from_things():
    assert all(map(is_decoration, ["fantastic, brilliant, 8k", "Unreal Engine 5, depth of field", "", "!!!"]))
    assert not any(map(is_decoration, ["a beautiful field", "ein Boot", "船", "steam engine, 8k", "best cat"]))
    assert tidy(" a cat,  <lora:x:1> sitting --ar 16:9 --niji, ") == "a cat, sitting"
    assert key("Ａ  red—BOAT!") == key("a red boat")


def test_several_processes_share_the_shards_and_settings_are_kept(tmp_path):
    rows = lambda items: [{"prompt": str(item)} for item in items]  # noqa: E731
    features = CANDIDATES.features(CANDIDATES.required)
    features = Features({"prompt": features["prompt"]})
    for process in (1, 0):
        build_shards(tmp_path, range(7), rows, features, size=2, process=process, processes=2)
        assert len(contents(tmp_path)) == {1: 2, 0: 4}[process]
    written = [Dataset.from_parquet(str(file))["prompt"][:] for file in sorted(tmp_path.glob("*.parquet"))]
    assert written == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
    claim(tmp_path, {"seed": 0, "prompts": Path("a.txt")})
    claim(tmp_path, {"seed": 0, "prompts": Path("a.txt")})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 0, "prompts": "a.txt"}
    with pytest.raises(ValueError, match="begun with other settings: seed was 0, is 1"):
        claim(tmp_path, {"seed": 1, "prompts": Path("a.txt")})
