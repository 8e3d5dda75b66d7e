"""Shards that are broken or empty: what can be read is learnt from, what cannot is counted, and no run stops of it."""

from types import SimpleNamespace

import pytest
from datasets import Dataset, Features, Image, Value

from byteedit.data.skipped import Skipped
from byteedit.training.base import TuneSettings, held_out_batches, make_items, open_data
from byteedit.training.streams import EMPTY, Shard, StreamedBatches, open_batches
from test_edits import cache, png  # noqa: F401
from test_training_items import numbers, shards, whole


def streamed(shards, **changes):
    return StreamedBatches(**{"shards": shards, "prepare": whole, "batch_size": 1} | changes)


def test_an_epoch_without_rows_is_passed_over():
    """Eight shards for eight processes, one of them empty: each epoch one process finds nothing."""
    sizes, without = [3] * 7 + [0], 0
    for process in range(8):
        batches = streamed(shards(*sizes), process=process, processes=8)
        epochs = [list(batches.rows(epoch)) for epoch in range(12)]
        without += sum(not epoch for epoch in epochs)
        found = numbers(batches.stream(0, 33))
        assert sorted(found[:6]) == sorted([row for epoch in epochs for row in epoch][:6])
        assert len(found) == 33
    assert without == 12


def test_what_is_drawn_for_rows_differs_between_processes():
    drawn = [next(streamed([range(9)], process=n, processes=2, seed=1).stream(0, 1))["drawn"].item() for n in (0, 1)]
    assert drawn[0] != drawn[1]


def test_data_without_rows_stop_after_several_epochs():
    read = []

    class Empty:
        def __iter__(self):
            read.append(1)
            return iter(())

    with pytest.raises(ValueError, match=f"Process 0 finds no rows in 1 shards, {EMPTY} epochs in a row; look at"):
        next(streamed([Empty()]).stream(0, 1))
    assert len(read) == EMPTY > 5


def test_what_a_shard_raises_of_its_reading_ends_it_and_nothing_else_does():
    def rows(error):
        yield from (1, 2)
        raise error

    for error in (OSError("gone"), FileNotFoundError("gone")):
        skipped = Skipped()
        assert list(Shard(rows(error), skipped)) == [1, 2]
        assert skipped.reasons == {"broken shard": 1}
    with pytest.raises(ValueError, match="no such column"):
        list(Shard(rows(ValueError("no such column")), Skipped()))


@pytest.fixture
def tables(tmp_path):
    """Three Parquet files of four rows, the second of them cut off."""
    kinds = Features({"image": Image(), "caption": Value("string")})
    for number in range(3):
        columns = {"image": [png((60 * number, 9, 9))] * 4, "caption": [f"{number}-{row}" for row in range(4)]}
        Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "data" / f"train-{number}.parquet")
    broken = tmp_path / "data" / "train-1.parquet"
    broken.write_bytes(broken.read_bytes()[:-200])
    return str(tmp_path / "data")


def test_a_truncated_parquet_among_others_is_a_broken_shard(tables, pipe, tmp_path):
    values = {"base": "none", "data": tables, "held_out": tables, "streaming": True, "drop_prompt": 0.0, "size": 16}
    settings = TuneSettings(output=tmp_path / "run", steps=1, batch_size=2, lr=1e-3, **values)
    skipped, one = Skipped(), SimpleNamespace(process_index=0, num_processes=1)
    edits = open_data(tables, settings, skipped)
    assert edits.extent() == {"shards": 3}
    items = make_items(pipe, edits, settings)
    batches = open_batches(edits, items.prepare, settings, skipped, one).stream(0, 4)
    seen = [prompt for batch in batches for prompt in batch["prompt"]]
    assert sorted(seen) == [f"{number}-{row}" for number in (0, 2) for row in range(4)]
    assert skipped.reasons.keys() == {"broken shard"}
    held_out = held_out_batches(edits, items, settings, skipped)
    assert [prompt for batch in held_out for prompt in batch["prompt"]] == sorted(seen)
