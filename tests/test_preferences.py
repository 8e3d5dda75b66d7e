"""D_aes, D_align and D_coh load the same whatever their source; what cannot be used is counted, never fatal."""

import base64
import json

import pytest
from datasets import Dataset, DatasetDict, Features, Image, IterableDataset, Value

from byteedit.data import preferences
from byteedit.data.images import Unusable, store
from byteedit.data.preferences import (
    AESTHETIC,
    ALIGNMENT,
    CANDIDATES,
    COHERENCE,
    Skipped,
    decode,
    examples,
    load,
    to_pairs,
    usable,
)
from byteedit.data.sources import find_files
from toy_rows import cache, png  # noqa: F401

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
PAIRS = [("a red boat", RED, GREEN), ("two balloons", BLUE, GREY), ("", GREY, RED)]


def columns(cell) -> dict:
    """PAIRS in D_aes columns, each image as `cell(colour)` says."""
    prompts, chosen, rejected = zip(*PAIRS, strict=True)
    return {
        "prompt": list(prompts),
        "chosen": list(map(cell, chosen)),
        "rejected": list(map(cell, rejected)),
        "junk": [1, 2, 3],
    }


def lines(rows: dict) -> str:
    """Columns as JSONL."""
    return "".join(json.dumps(dict(zip(rows, row, strict=True))) + "\n" for row in zip(*rows.values(), strict=True))


def save_files(folder) -> None:
    """Every colour as a file."""
    for colour in (RED, GREEN, BLUE, GREY):
        (folder / "pictures").mkdir(exist_ok=True)
        (folder / "pictures" / f"{colour[0]}-{colour[1]}-{colour[2]}.png").write_bytes(png(colour))


def path_of(colour) -> str:
    """The name `save_files` gives a colour, relative to its folder."""
    return f"pictures/{colour[0]}-{colour[1]}-{colour[2]}.png"


FEATURES = Features({"prompt": Value("string"), "chosen": Image(), "rejected": Image(), "junk": Value("int64")})


def write_parquet(folder):
    Dataset.from_dict(columns(png), features=FEATURES).to_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def write_plain_bytes(folder):
    Dataset.from_dict(columns(png)).to_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def write_paths_in_parquet(folder):
    save_files(folder)
    Dataset.from_dict(columns(path_of)).to_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def write_json_paths(folder):
    save_files(folder)
    (folder / "pairs.jsonl").write_text(lines(columns(path_of)))
    return folder / "pairs.jsonl"


def write_json_bytes(folder):
    (folder / "pairs.jsonl").write_text(lines(columns(lambda c: {"bytes": base64.b64encode(png(c)).decode()})))
    return folder / "pairs.jsonl"


def write_folder(folder):
    rows = Dataset.from_dict(columns(png), features=FEATURES)
    rows.select([0]).to_parquet(folder / "shard-0.parquet")
    rows.select([1, 2]).to_parquet(folder / "shard-1.parquet")
    return folder


def write_saved(folder):
    Dataset.from_dict(columns(png), features=FEATURES).save_to_disk(folder / "saved")
    return folder / "saved"


def write_saved_splits(folder):
    rows = Dataset.from_dict(columns(png), features=FEATURES)
    DatasetDict(train=rows, test=rows.select([0])).save_to_disk(folder / "saved")
    return folder / "saved"


SOURCES = [
    write_parquet,
    write_plain_bytes,
    write_paths_in_parquet,
    write_json_paths,
    write_json_bytes,
    write_folder,
    write_saved,
    write_saved_splits,
]


@pytest.mark.parametrize("streaming", [False, True], ids=["held", "streamed"])
@pytest.mark.parametrize("write", SOURCES, ids=lambda write: write.__name__)
def test_every_source_gives_the_same_pairs(write, streaming, tmp_path):
    skipped = Skipped()
    rows = load(write(tmp_path), AESTHETIC, skipped, streaming=streaming)
    assert isinstance(rows, IterableDataset if streaming else Dataset)
    assert rows.features == AESTHETIC.features(["prompt", "chosen", "rejected"])
    found = [
        (row["prompt"], row["chosen"].getpixel((0, 0)), row["rejected"].getpixel((0, 0)))
        for row in examples(rows, AESTHETIC, skipped)
    ]
    assert found == PAIRS
    assert str(skipped) == "no rows skipped"


def test_a_folder_has_the_splits_that_its_files_are_named_for(tmp_path):
    names = ["test-00000-of-00001.parquet", "test_unique-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    for name in names:
        (tmp_path / name).touch()
    assert [file.name for file in find_files(tmp_path, "test")] == names[:1]
    assert [file.name for file in find_files(tmp_path, "train")] == names[2:]
    assert find_files(tmp_path, "validation") == []


def test_what_cannot_be_loaded_is_said_in_words(tmp_path):
    Dataset.from_dict({"caption": ["a"], "image_1": [png(RED)]}).to_parquet(tmp_path / "other.parquet")
    DatasetDict(train=Dataset.from_dict({"a": [1]})).save_to_disk(tmp_path / "saved")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "notes.csv").touch()
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:-9])
    wrong = {
        "other.parquet": "column prompt, chosen, rejected is missing; the columns are caption, image_1",
        "empty.jsonl": "holds no rows",
        "cut.parquet": "is no Parquet file, or not a whole one",
        "notes.csv": "neither .parquet nor .jsonl",
        "nowhere": "there is no file or folder",
    }
    for name, words in wrong.items():
        with pytest.raises(ValueError, match=words):
            load(tmp_path / name, AESTHETIC, Skipped())
    with pytest.raises(ValueError, match=r"there is no file or folder data/pairs\.parquet"):  # nor is the hub asked
        load("data/pairs.parquet", AESTHETIC, Skipped())
    with pytest.raises(ValueError, match="has no split 'test'; it has train"):
        load(tmp_path / "saved", AESTHETIC, Skipped(), split="test")
    with pytest.raises(ValueError, match="holds no Parquet or JSONL of the split 'dev'"):
        load(tmp_path, AESTHETIC, Skipped(), split="dev")
    with pytest.raises(ValueError, match="layout 'hpdv9' is none of"):
        load(tmp_path, AESTHETIC, Skipped(), layout="hpdv9")


def test_what_cannot_be_used_is_counted_by_reason_and_left_out(tmp_path, caplog):
    (tmp_path / "whole.png").write_bytes(png(RED))
    (tmp_path / "half.png").write_bytes(png(RED, (64, 64))[:60])
    (tmp_path / "words.png").write_text("no picture")
    other = {"bytes": base64.b64encode(png(GREEN)).decode()}
    rows = [
        {"prompt": "good", "chosen": "whole.png", "rejected": other},
        {"prompt": "half", "chosen": "half.png", "rejected": other},
        {"prompt": "words", "chosen": "whole.png", "rejected": "words.png"},
        {"prompt": "gone", "chosen": "whole.png", "rejected": "gone.png"},
        {"prompt": "none", "chosen": None, "rejected": other},
        {"prompt": "code", "chosen": {"bytes": "a"}, "rejected": other},
        {"prompt": None, "chosen": "whole.png", "rejected": other},
        {"prompt": "same", "chosen": "whole.png", "rejected": "whole.png"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"prompt": "cut off", "cho'
    (tmp_path / "pairs.jsonl").write_text(text)
    expected = {"broken image": 3, "missing image": 2, "missing prompt": 1, "tie": 1, "broken line": 1}
    for streaming in (False, True):
        skipped = Skipped()
        found = examples(load(tmp_path / "pairs.jsonl", AESTHETIC, skipped, streaming=streaming), AESTHETIC, skipped)
        assert [row["prompt"] for row in found] == ["good"]
        assert skipped.reasons == expected
    skipped = Skipped()
    kept = usable(load(tmp_path / "pairs.jsonl", AESTHETIC, skipped), AESTHETIC, skipped)
    assert kept["prompt"] == ["good"]
    assert skipped.reasons == expected
    skipped.report()
    assert caplog.messages == [
        "8 rows skipped (broken image: 3, missing image: 2, broken line: 1, missing prompt: 1, tie: 1)"
    ]


def test_optional_columns_come_along_and_may_be_empty(tmp_path):
    rows = columns(png) | {
        "image": [png(GREY), None, None],
        "mask": [png(BLUE), None, None],
        "task": ["edit", "", None],
    }
    Dataset.from_dict(rows).to_parquet(tmp_path / "pairs.parquet")
    skipped = Skipped()
    found = list(examples(load(tmp_path / "pairs.parquet", AESTHETIC, skipped), AESTHETIC, skipped))
    assert [row["task"] for row in found] == ["edit", "", None]
    assert [row["image"] is None for row in found] == [False, True, True]
    assert (found[0]["image"].mode, found[0]["mask"].mode) == ("RGB", "L")
    assert list(found[0]) == ["prompt", "chosen", "rejected", "image", "mask", "task"]


def test_alignment_needs_two_captions_and_coherence_an_image_and_a_mask():
    image = store(png(RED))
    with pytest.raises(Unusable, match=r"^tie$"):
        decode({"image": image, "caption_chosen": "a", "caption_rejected": "a"}, ALIGNMENT)
    with pytest.raises(Unusable, match=r"^missing caption_chosen$"):
        decode({"image": image, "caption_chosen": None, "caption_rejected": None}, ALIGNMENT)
    with pytest.raises(Unusable, match=r"^missing image$"):
        decode({"image": image, "mask": None}, COHERENCE)
    assert decode({"image": image, "mask": image}, COHERENCE)["mask"].getpixel((0, 0)) == 76  # the luminance of red


ROW = {"prompt": "a boat", "candidates": ["A", "B", "C", "D"], "seeds": [0, 1, 2, 3], "image": "I", "task": "edit"}


def test_the_best_and_the_worst_candidate_are_a_pair():
    [pair] = to_pairs(ROW, [0.2, 0.9, -1.0, 0.9], rater="judge")
    assert pair == {
        "prompt": "a boat",
        "chosen": "B",
        "rejected": "C",
        "image": "I",
        "task": "edit",
        "rater": "judge",
    }
    assert to_pairs(ROW, [1, 1, 1, 1]) == []


def test_a_difference_below_the_margin_decides_nothing():
    worth = [1.0, 1.25, 2.0, 2.125]
    assert to_pairs(ROW, worth, tie=1.25) == []
    [pair] = to_pairs(ROW, worth, tie=1.125)
    assert (pair["chosen"], pair["rejected"]) == ("D", "A")
    assert [pair["chosen"] for pair in to_pairs(ROW, worth, every=True, tie=0.8)] == ["C", "D", "D"]


def test_every_pair_of_a_ranking_is_one_of_unequal_rank():
    ranking = [2, 1, 3, 3]
    pairs = to_pairs(ROW, [-rank for rank in ranking], every=True)
    rank = dict(zip(ROW["candidates"], ranking, strict=True))
    slow = {(a, b) for a in "ABCD" for b in "ABCD" if rank[a] < rank[b]}
    assert {(pair["chosen"], pair["rejected"]) for pair in pairs} == slow
    assert len(pairs) == len(slow) == 5


@pytest.mark.parametrize("scores", [[1, 2, 3], [1, 2, 3, float("nan")]])
def test_each_candidate_needs_a_score(scores):
    with pytest.raises(ValueError, match="4 candidates have the scores"):
        to_pairs(ROW, scores)


def test_candidates_that_were_saved_load_and_become_pairs(tmp_path):
    rows = {"prompt": ["a boat"], "candidates": [[png(RED), png(BLUE)]], "seeds": [[4, 5]]}
    Dataset.from_dict(rows, features=CANDIDATES.features(rows, decoded=True)).to_parquet(tmp_path / "c.parquet")
    for streaming in (False, True):
        [row] = load(tmp_path / "c.parquet", CANDIDATES, Skipped(), streaming=streaming)
        [pair] = to_pairs(row, [0, 1])
        assert decode(pair, AESTHETIC)["chosen"].getpixel((0, 0)) == BLUE
        assert [one.getpixel((0, 0)) for one in decode(row, CANDIDATES)["candidates"]] == [RED, BLUE]


def test_paths_in_lists_are_relative_to_their_file(tmp_path):
    for name, colour in (("red.png", RED), ("blue.png", BLUE)):
        (tmp_path / name).write_bytes(png(colour))
    rows = {"prompt": ["a boat"], "candidates": [["red.png", "blue.png"]], "seeds": [[4, 5]]}
    Dataset.from_dict(rows).to_parquet(tmp_path / "c.parquet")
    for streaming in (False, True):
        [row] = load(tmp_path / "c.parquet", CANDIDATES, Skipped(), streaming=streaming)
        assert [one.getpixel((0, 0)) for one in decode(row, CANDIDATES)["candidates"]] == [RED, BLUE]


def test_the_names_that_are_promised_are_there():
    assert all(hasattr(preferences, name) for name in preferences.__all__)
