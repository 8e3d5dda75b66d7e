"""Public collections in their exact layout, tiny: each gives its pairs; ties, unlabelled and lost rows are counted."""

import io
import json
from datetime import datetime
from itertools import combinations

import pytest
from datasets import Dataset, IterableDataset
from PIL import Image

from byteedit.data.pairs import beaten
from byteedit.data.preferences import AESTHETIC, ALIGNMENT, Skipped, examples, load


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What `datasets` caches goes to the test's own folder."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def picture(value: int, kind: str = "JPEG") -> bytes:
    """A plain grey picture, known again by its value."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value,) * 3).save(buffer, kind)
    return buffer.getvalue()


def put(path, value: int, kind: str = "JPEG") -> None:
    """The same as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(value, kind))


def image_reward_db(root):
    """Three images of ranks 1, 2, 2 and a pair of ranks 2, 1, of which one image is gone; an image of its own."""
    rows = []
    for number, (prompt, rank, value) in enumerate(
        [("a", 2, 20), ("b", 2, 50), ("a", 1, 10), ("a", 2, 30), ("b", 1, 40), ("c", 1, 60)]
    ):
        name = f"images/train/train_1/{number:08d}-89c2-4091-a1c0-f547ad5065cb.webp"
        rows.append(
            {
                "image_path": name,
                "prompt_id": f"001324-{prompt}",
                "prompt": f"prompt {prompt}",
                "classification": "Outdoor Scenes",
                "image_amount_in_total": 3,
                "rank": rank,
                "overall_rating": 8 - rank,
                "image_text_alignment_rating": 6,
                "fidelity_rating": 6,
            }
        )
        if value != 50:
            put(root / name, value, "WEBP")
    Dataset.from_list(rows).to_parquet(root / "metadata-train.parquet")
    return [("prompt a", 10, 20), ("prompt a", 10, 30)], {"tie": 1, "missing image": 1}


def pick_a_pic(root):
    """A win of either side, a tie, a row without label, and a broken image."""
    labels = [(1.0, 0.0, True), (0.0, 1.0, True), (0.5, 0.5, True), (0.0, 0.0, False), (1.0, 0.0, True)]
    rows = [
        {
            "are_different": first != second,
            "best_image_uid": "tie" if first == second else f"{number}-{int(second > first)}",
            "caption": f"caption {number}",
            "created_at": datetime(2023, 5, 1),
            "has_label": has_label,
            "image_0_uid": f"{number}-0",
            "image_0_url": "https://example.com/0.png",
            "image_1_uid": f"{number}-1",
            "image_1_url": "https://example.com/1.png",
            "jpg_0": picture(10 * number) if number < 4 else picture(0)[:200],
            "jpg_1": picture(10 * number + 100),
            "label_0": first,
            "label_1": second,
            "model_0": "dreamlike-art/dreamlike-photoreal-2.0",
            "model_1": "stabilityai/stable-diffusion-xl-base-1.0",
            "ranking_id": number,
            "user_id": 7,
            "num_example_per_prompt": 1,
            "__index_level_0__": number,
        }
        for number, (first, second, has_label) in enumerate(labels)
    ]
    (root / "data").mkdir()
    Dataset.from_list(rows).to_parquet(root / "data" / "train-00000-of-00001.parquet")
    Dataset.from_list(rows[:1]).to_parquet(root / "data" / "test-00000-of-00001.parquet")
    return [("caption 0", 0, 100), ("caption 1", 110, 10)], {"tie": 1, "no label": 1, "broken image": 1}


def hpdv2_train(root):
    """Two images an entry; one entry as the card has it, under `file_path`, one that nobody decided."""
    rows = [
        {"human_preference": [0, 1], "prompt": "p", "image_path": ["0.jpg", "1.jpg"], "user_hash": "u"},
        {"human_preference": [1, 0], "prompt": "q", "file_path": ["0.jpg", "1.jpg"], "user_hash": "u"},
        {"human_preference": [0, 0], "prompt": "r", "image_path": ["0.jpg", "1.jpg"], "user_hash": "u"},
    ]
    (root / "train.json").write_text(json.dumps(rows))
    put(root / "train" / "0.jpg", 0)
    put(root / "train" / "1.jpg", 10)
    return [("p", 10, 0), ("q", 0, 10)], {"tie": 1}


def hpdv2_test(root):
    """A ranking of three, the lowest the best."""
    notes = [{"rank": [2, 1, 3], "user_hash": "u"}]
    row = {"prompt": "p", "image_path": ["0.jpg", "1.jpg", "2.jpg"], "rank": [1, 0, 2], "raw_annotations": notes}
    (root / "test.json").write_text(json.dumps([row]))
    for value in range(3):
        put(root / "test" / f"{value}.jpg", 10 * value)
    return [("p", 10, 0), ("p", 0, 20), ("p", 10, 20)], {}


def hpdv3(root):
    """The first is the better; votes may be missing, or equal, and an image may be lost."""
    models = {"model1": "flux", "model2": "sdxl"}
    rows = [
        {"prompt": "p", "choice_dist": [12, 7], "confidence": 0.99, "path1": "images/0.jpg", "path2": "images/1.jpg"},
        {"prompt": "q", "choice_dist": None, "confidence": None, "path1": "images/1.jpg", "path2": "images/0.jpg"},
        {"prompt": "r", "choice_dist": [5, 5], "confidence": 0.5, "path1": "images/0.jpg", "path2": "images/1.jpg"},
        {"prompt": "s", "choice_dist": [9, 0], "confidence": 1.0, "path1": "images/9.jpg", "path2": "images/1.jpg"},
    ]
    (root / "train.json").write_text(json.dumps([row | models for row in rows]))
    put(root / "images" / "0.jpg", 0)
    put(root / "images" / "1.jpg", 10)
    return [("p", 0, 10), ("q", 10, 0)], {"tie": 1, "missing image": 1}


SETS = [
    ("imagereward", "train", image_reward_db),
    ("pickapic", "train", pick_a_pic),
    ("hpdv2", "train", hpdv2_train),
    ("hpdv2", "test", hpdv2_test),
    ("hpdv3", "train", hpdv3),
]


@pytest.mark.parametrize("streaming", [False, True], ids=["held", "streamed"])
@pytest.mark.parametrize(("layout", "split", "write"), SETS, ids=lambda part: getattr(part, "__name__", part))
def test_a_public_set_gives_its_pairs_and_counts_the_rest(layout, split, write, streaming, tmp_path):
    pairs, reasons = write(tmp_path)
    skipped = Skipped()
    rows = load(tmp_path, AESTHETIC, skipped, layout=layout, split=split, streaming=streaming)
    assert isinstance(rows, IterableDataset if streaming else Dataset)
    found = [
        (row["prompt"], row["chosen"].getpixel((4, 4))[0], row["rejected"].getpixel((4, 4))[0])
        for row in examples(rows, AESTHETIC, skipped)
    ]
    assert sorted(found) == sorted(pairs)
    assert skipped.reasons == reasons


def test_a_stream_can_be_shuffled_and_goes_on_where_it_was(tmp_path):
    hpdv2_test(tmp_path)
    stream = load(tmp_path, AESTHETIC, Skipped(), layout="hpdv2", split="test", streaming=True)
    stream = stream.shuffle(seed=1, buffer_size=1)
    whole = list(stream)
    for number, _ in enumerate(stream):
        if number == 0:
            state = stream.state_dict()
            break
    stream.load_state_dict(state)
    assert list(stream) == whole[1:]


def test_what_is_missing_is_said_in_words(tmp_path):
    for layout, name in {"imagereward": "metadata-test.parquet", "hpdv2": "test.json", "hpdv3": "test.json"}.items():
        with pytest.raises(ValueError, match=f"holds no {name}"):
            load(tmp_path, AESTHETIC, Skipped(), layout=layout, split="test")
    with pytest.raises(ValueError, match="which hold aesthetic pairs"):
        load(tmp_path, ALIGNMENT, Skipped(), layout="hpdv2")


def test_a_ranking_is_its_pairs_of_unequal_score():
    scores = [3, 1, 3, 2]
    slow = [(i, j) for i in range(4) for j in range(4) if scores[i] > scores[j]]
    assert sorted(beaten(scores)) == slow
    assert len(slow) == len(list(combinations(scores, 2))) - 1
    assert beaten([1, 1]) == beaten([]) == []
