"""Rows of D_train become items and batches: crops, masks, prompts, shards dealt out, broken rows, resumption."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from byteedit.data.edits import Edits, draw_page
from byteedit.data.images import Unusable
from byteedit.data.skipped import Skipped
from byteedit.training.batches import Batches
from byteedit.training.items import MASK_PROBS, Crop, Items
from byteedit.training.streams import Counted, Filled, StreamedBatches, collate


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(width, height):
    """Noise, so that every place is told from every other."""
    return Image.fromarray(rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8))


def given(**row):
    """A row of D_train, not to be read from anywhere."""
    return {"image": picture(24, 16), "caption": "a lake", "mask": None, "instances": [], "phrases": []} | row


def items(**changes):
    return Items(**{"read": dict, "size": (16, 16)} | changes)


def blob(box, width=24, height=16):
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 255
    return Image.fromarray(mask)


def test_where_nothing_is_resized_a_crop_is_a_cut():
    image, lefts = picture(24, 16), set()
    for seed in range(60):
        crop = Crop.draw(24, 16, (16, 16), False, rng(seed))
        left, top, right, bottom = crop.box
        assert (top, bottom, right - left) == (0, 16, 16)
        assert np.array_equal(crop.show(image), np.asarray(image)[:, int(left) : int(left) + 16])
        lefts.add(left)
    assert lefts == set(range(9))


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (10, 31), (64, 64)])
def test_the_shorter_side_is_resized(size):
    crop = Crop.draw(*size, (32, 48), False, rng())
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    assert max((right - left) / size[0], (bottom - top) / size[1]) == pytest.approx(1)
    assert (right - left) / (bottom - top) == pytest.approx(48 / 32, rel=0.05)
    assert crop.show(picture(*size)).shape == (32, 48, 3)


def test_resizing_is_antialiased():
    stripes = Image.fromarray(np.tile(np.uint8([[0, 255]]), (64, 32)))
    shown = Crop.draw(64, 64, (8, 8), False, rng()).show(stripes)
    assert abs(shown.astype(float) - 127.5).max() < 20


def test_instances_are_cropped_and_flipped_as_their_picture():
    pixels = np.zeros((40, 60), np.uint8)
    pixels[10:30, 25:50] = 255
    image = Image.fromarray(pixels)
    for seed in range(8):
        crop = Crop.draw(60, 40, (20, 20), True, rng(seed))
        shown, mask = crop.show(image) >= 128, crop.show_instance(image)
        assert mask.any()
        assert (shown == (mask > 0)).mean() > 0.98
    assert {Crop.draw(60, 40, (20, 20), True, rng(seed)).flip for seed in range(8)} == {True, False}
    there = Crop(box=(0, 0, 4, 4), size=(4, 4), flip=True).show(Image.fromarray(np.uint8([[1, 2, 3, 4]] * 4)))
    assert there[0].tolist() == [4, 3, 2, 1]


def test_an_instance_of_which_most_is_cut_off_is_none():
    crop = Crop(box=(0, 0, 16, 16), size=(32, 32), flip=False)
    assert crop.show_instance(blob((10, 4, 20, 8))).any()
    assert not crop.show_instance(blob((12, 4, 22, 8))).any()


def test_an_item_is_what_a_batch_holds():
    item = items(drop_prompt=0).prepare(given(), rng())
    assert item["image"].shape == (3, 16, 16) and item["mask"].shape == (1, 16, 16)
    assert item["image"].dtype == item["mask"].dtype == torch.float32
    assert -1 <= item["image"].min() < -0.9 and 0.9 < item["image"].max() <= 1
    assert set(item["mask"].unique().tolist()) <= {0.0, 1.0}
    assert item["prompt"] == "a lake"


def test_what_is_drawn_comes_from_the_rows_own_numbers():
    one, same, other = (items().prepare(given(), rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one["image"], same["image"]) and torch.equal(one["mask"], same["mask"])
    assert not torch.equal(one["image"], other["image"])


def test_masks_come_in_their_shares():
    """Rows without instances share theirs out among the kinds other than global, which keeps a quarter."""
    made = items(drop_prompt=0.2)
    drawn = [made._ask(given(), Crop.draw(24, 16, (16, 16), False, rng()), rng(seed)) for seed in range(1500)]
    assert np.mean([mask.all() for mask, _ in drawn]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([prompt == "" for _, prompt in drawn]) == pytest.approx(0.2, abs=0.04)
    assert sum(MASK_PROBS.values()) == 1


def test_a_row_with_a_mask_of_its_own_keeps_it_and_its_caption():
    mask = blob((2, 3, 9, 12))
    crop = Crop(box=(0, 0, 24, 16), size=(16, 24), flip=False)
    items = Items(read=dict, size=(16, 24), drop_prompt=1.0)
    for seed in range(4):
        drawn, prompt = items._ask(given(mask=mask), crop, np.random.default_rng(seed))
        assert np.array_equal(drawn, np.asarray(mask)) and prompt == "a lake"


def test_an_instance_brings_its_phrase_and_keeps_it():
    things = [blob((6, 2, 18, 8)), blob((6, 9, 18, 15))]
    row = given(instances=things, phrases=["a boat", "a duck"])
    made = items(mask_probs={"instance": 1, "square": 1e-9}, drop_prompt=1.0)
    crop, prompts = Crop.draw(24, 16, (16, 16), False, rng()), Counter()
    for seed in range(40):
        mask, prompt = made._ask(row, crop, rng(seed))
        shown = crop.show_instance(things[["a boat", "a duck"].index(prompt)])
        assert mask[shown > 0].all()
        prompts[prompt] += 1
    assert min(prompts.values()) > 8
    assert made._ask(row | {"phrases": []}, crop, rng())[1] == "a lake"


def test_an_instance_that_is_cropped_away_gives_way_to_another_kind():
    made = items(mask_probs={"global": 0.1, "instance": 0.8, "outward": 0.1}, drop_prompt=0)
    row = given(instances=[blob((0, 0, 2, 2))], phrases=["a duck"])
    crop = Crop(box=(8, 0, 24, 16), size=(16, 16), flip=False)
    drawn = [made._ask(row, crop, rng(seed)) for seed in range(60)]
    assert {prompt for _, prompt in drawn} == {"a lake"}
    assert np.mean([mask.all() for mask, _ in drawn]) < 0.3


@pytest.mark.parametrize(
    ("probs", "words"),
    [
        ({"round": 1}, "mask_probs has round; the kinds are global"),
        ({"square": 0}, "give one kind a share above 0"),
        ({"square": 2, "global": -1}, "and none below"),
        ({"instance": 1, "global": 1}, "rows without instances need"),
    ],
)
def test_shares_that_make_no_sense_are_refused(probs, words):
    with pytest.raises(ValueError, match=words):
        items(mask_probs=probs)


def number(row, rng):
    """A row that is broken where it is a multiple of 5, else itself, and something drawn."""
    if row % 5 == 0:
        raise Unusable("broken image")
    return {"row": row, "drawn": rng.random()}


def whole(row, rng):
    return {"row": row, "drawn": rng.random()}


def shards(*sizes):
    """Lists of numbers that go on from one another."""
    ends = np.cumsum(sizes)
    return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def numbers(batches):
    return torch.cat([batch["row"] for batch in batches]).tolist()


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("sizes", [(30,), (7, 9), (5, 6, 7, 8, 9, 3, 2)])
def test_processes_share_out_the_rows_of_an_epoch(processes, sizes):
    for epoch in (0, 1):
        parts = [
            list(
                StreamedBatches(
                    shards=shards(*sizes), prepare=whole, batch_size=2, process=process, processes=processes
                ).rows(epoch)
            )
            for process in range(processes)
        ]
        assert all(parts)
        assert sorted(row for part in parts for row in part) == list(range(sum(sizes)))


def test_a_stream_goes_through_all_rows_in_an_order_of_each_epoch():
    stream = StreamedBatches(shards=shards(10, 10, 4), prepare=whole, batch_size=4, buffer=8)
    epochs = [numbers(stream.stream(first, first + 6)) for first in (0, 6, 12)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != numbers(replace(stream, seed=1).stream(0, 6))
    assert epochs[0] == numbers(stream.stream(0, 6))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_that_is_gone_on_with_gives_the_same_batches(workers):
    stream = StreamedBatches(shards=shards(10, 11, 4), prepare=number, batch_size=3, buffer=6, processes=2, process=1)
    once = list(stream.stream(0, 20))
    again = list(replace(stream, workers=workers).stream(13, 20))
    for ours, theirs in zip(again, once[13:], strict=True):
        assert torch.equal(ours["row"], theirs["row"]) and torch.equal(ours["drawn"], theirs["drawn"])
        assert ours["skipped"] == theirs["skipped"]


def test_others_take_the_places_of_broken_rows_and_they_are_counted():
    rows, skipped = list(range(40)), Skipped()
    by_number = Batches(dataset=rows, prepare=Filled(number, rows), batch_size=4, collate=collate)
    streamed = StreamedBatches(shards=shards(20, 20), prepare=number, batch_size=4)
    for batches in (by_number, streamed):
        skipped.reasons.clear()
        epoch = list(Counted(batches, skipped).stream(0, 10))
        assert {len(batch["row"]) for batch in epoch} == {4}
        assert set(epoch[0]) == {"row", "drawn"}
        assert set(numbers(epoch)) == {row for row in rows if row % 5}
        assert skipped.reasons["broken image"] >= 8
        assert len(set(torch.cat([batch["drawn"] for batch in epoch]).tolist())) == 40


def test_data_that_are_all_broken_stop_with_words():
    rows = [0, 5, 10, 15]
    by_number = Batches(dataset=rows, prepare=Filled(number, rows), batch_size=2, collate=collate)
    with pytest.raises(ValueError, match=r"Of 100 rows .* none can be used \(broken image: 100\)"):
        next(by_number.stream(0, 1))
    with pytest.raises(ValueError, match=r"none can be used \(broken image: 35\)"):
        next(StreamedBatches(shards=[rows], prepare=number, batch_size=2).stream(0, 1))
    with pytest.raises(ValueError, match="Process 0 finds no rows in 2 shards"):
        next(StreamedBatches(shards=[[], []], prepare=number, batch_size=2).stream(0, 1))
    with pytest.raises(ValueError, match="buffer is 0"):
        StreamedBatches(shards=[rows], prepare=number, batch_size=2, buffer=0)


def test_a_broken_shard_does_not_stop_a_run():
    bad, good = [0] * 600, list(range(1, 5000, 5))
    stream = StreamedBatches(shards=[bad, good], prepare=number, batch_size=1, buffer=50)
    skipped = Skipped()
    assert len(list(Counted(stream, skipped).stream(0, 1500))) == 1500
    assert skipped.reasons["broken image"] > 500


def test_the_picturebook_makes_batches_by_number():
    edits = Edits(read=partial(draw_page, split="train"), rows=range(64))
    made = Items(read=edits.read, size=(32, 32))
    batches = Batches(dataset=edits.rows, prepare=Filled(made.prepare, edits.rows), batch_size=3, collate=collate)
    batch = next(Counted(batches, Skipped()).stream(4, 5))
    assert batch["image"].shape == (3, 3, 32, 32) and batch["mask"].shape == (3, 1, 32, 32)
    assert len(batch["prompt"]) == 3
