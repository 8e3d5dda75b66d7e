"""Rows that are not as they should be, sources without splits: counted, refused, shared among processes."""

import io
import json
import tarfile
from itertools import islice

import pytest
from datasets import Dataset, DatasetDict

from byteedit.data.edits import open_edits
from byteedit.data.images import Unusable, store
from byteedit.data.preferences import AESTHETIC, CANDIDATES, COHERENCE, Skipped, decode, examples, load, usable
from byteedit.data.sources import digest, has_splits, read_json_lines
from byteedit.data.tars import Tar
from byteedit.training.base import TuneSettings
from byteedit.training.settings import read
from toy_rows import cache, png  # noqa: F401

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (90, 90, 90)


@pytest.fixture
def files(tmp_path):
    """Two pictures beside the data, red.png and green.png."""
    (tmp_path / "red.png").write_bytes(png(RED))
    (tmp_path / "green.png").write_bytes(png(GREEN))


def test_a_file_and_one_saved_data_set_have_no_splits(tmp_path):
    rows = Dataset.from_dict({"a": [1]})
    rows.to_parquet(tmp_path / "train.parquet")
    rows.save_to_disk(tmp_path / "one")
    DatasetDict(train=rows).save_to_disk(tmp_path / "several")
    assert [has_splits(tmp_path / name) for name in ("train.parquet", "one")] == [False, False]
    assert [has_splits(source) for source in (tmp_path, tmp_path / "several", "owner/name")] == [True, True, True]


@pytest.mark.parametrize("name", ["rows.parquet", "saved", "rows.tar"])
def test_edits_of_a_split_are_not_those_of_the_whole_file(name, tmp_path):
    rows = Dataset.from_dict({"image": [png(RED)], "caption": ["a red boat"]})
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "saved")
    (tmp_path / "rows.tar").touch()
    with pytest.raises(ValueError, match=f"{name} has no splits, so no 'validation'"):
        open_edits(f"{tmp_path / name}:validation", Skipped())
    assert open_edits(f"{tmp_path / name}:train", Skipped()).read


def test_the_digest_of_a_source_is_of_its_bytes(tmp_path):
    rows = Dataset.from_dict({"a": [1, 2, 3]})
    rows.to_parquet(tmp_path / "train.parquet")
    rows.to_parquet(tmp_path / "test.parquet")
    rows.save_to_disk(tmp_path / "saved")
    before = [digest(source, "train") for source in (tmp_path, tmp_path / "train.parquet", tmp_path / "saved")]
    assert before[0] == before[1] == digest(tmp_path, "test") != before[2]
    (tmp_path / "saved" / "cache-1234.arrow").touch()  # as `map` leaves
    assert digest(tmp_path / "saved", "train") == before[2]
    rows.select([1, 0, 2]).to_parquet(tmp_path / "train.parquet")
    assert digest(tmp_path, "train") != before[0] == digest(tmp_path, "test")
    assert digest("owner/name", "train") is None


def test_a_line_may_have_columns_that_the_first_has_not(tmp_path, files):
    red, green = "red.png", "green.png"
    rows = [
        {"prompt": "short", "chosen": red},
        {"prompt": "plain", "chosen": red, "rejected": green},
        {"prompt": "edit", "chosen": red, "rejected": green, "image": red, "mask": green, "task": "edit"},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for streaming in (False, True):
        skipped = Skipped()
        held = load(tmp_path / "pairs.jsonl", AESTHETIC, skipped, streaming=streaming)
        assert list(held.features) == ["prompt", "chosen", "rejected", "image", "mask", "task"]
        plain, edit = examples(held, AESTHETIC, skipped)
        assert (plain["mask"], plain["task"]) == (None, None)
        assert (edit["mask"].getpixel((0, 0)), edit["task"]) == (150, "edit")  # the luminance of green
        assert skipped.reasons == {"missing image": 1}


def test_values_of_another_kind_are_counted_in_jsonl(tmp_path, files):
    red, green = "red.png", "green.png"
    pairs = [
        (red, green),
        (5, green),
        ([red], green),
        (red, {"bytes": "Zoë"}),
        (red, "data:image/png;base64," + 5000 * "A"),
    ]
    lines = [json.dumps({"prompt": "a", "chosen": a, "rejected": b}).encode() for a, b in pairs]
    lines += [b'{"prompt": "\\ud83d", "chosen": "a.png", "rejected": "b.png"}', b'{"prompt": "cut off: \xc3']
    (tmp_path / "pairs.jsonl").write_bytes(b"\n".join(lines))
    many = [{"prompt": "a", "candidates": value, "seeds": [1, 2]} for value in ([red, green], red, [red, [green]])]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many))
    for streaming in (False, True):
        skipped = Skipped()
        held = load(tmp_path / "pairs.jsonl", AESTHETIC, skipped, streaming=streaming)
        assert len(list(examples(held, AESTHETIC, skipped))) == 1
        assert skipped.reasons == {"broken image": 3, "missing image": 1, "broken line": 2}
        skipped = Skipped()
        held = load(tmp_path / "many.jsonl", CANDIDATES, skipped, streaming=streaming)
        assert len(list(examples(held, CANDIDATES, skipped))) == 1
        assert skipped.reasons == {"broken image": 2}


def test_half_a_character_is_told_from_a_whole_one(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83d\\ude00"}\n{"text": "\\ude00"}\n{"text": "Zoë"}\n')
    skipped = Skipped()
    rows = [row["text"] for _, row in read_json_lines([tmp_path / "a.jsonl"], skipped)]
    assert rows == ["😀", "Zoë"]
    assert skipped.reasons == {"broken line": 1}


def test_json_that_is_nested_without_end_is_a_broken_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": ' + b"[" * 100_000 + b'\n{"text": "a boat"}\n')
    skipped = Skipped()
    assert [row["text"] for _, row in read_json_lines([tmp_path / "a.jsonl"], skipped)] == ["a boat"]
    assert skipped.reasons == {"broken line": 1}


def write_tar(path, last: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, sparse: bool = False):
    """A tar of two pictures and a header after them, which where `sparse` is of a file with holes, with two sizes."""
    with tarfile.open(path, "w", format=form) as tar:
        for name in ("one.png", "two.png"):
            entry = tarfile.TarInfo(name)
            entry.size = len(png(RED))
            tar.addfile(entry, io.BytesIO(png(RED)))
        head = bytearray(last.tobuf(form))
        if sparse:
            head[156:157], head[483:495] = tarfile.GNUTYPE_SPARSE, b"%011o\0" % 1024
            head[148:155] = b"%06o\0" % tarfile.calc_chksums(head)[0]
        tar.fileobj.write(head + bytes(1024))
    return path


@pytest.mark.parametrize("sparse", [False, True])
def test_a_tar_that_leads_back_to_what_was_read_is_a_broken_shard(tmp_path, sparse):
    back = tarfile.TarInfo("back.png")
    back.size = -1536  # to the second picture: its header, itself, and this header
    path, skipped = write_tar(tmp_path / "a.tar", back, tarfile.GNU_FORMAT, sparse), Skipped()
    assert [sample["png"].read() for sample in islice(Tar(path, skipped), 9)] == [png(RED)]
    assert skipped.reasons == {"broken shard": 1}


@pytest.mark.parametrize("values", [{"size": "-1536"}, {"GNU.sparse.map": "a,b"}, {"GNU.sparse.size": "9" * 5000}])
def test_a_tar_whose_headers_are_nonsense_is_a_broken_shard(tmp_path, values):
    odd = tarfile.TarInfo("odd.png")
    odd.pax_headers = values
    path, skipped = write_tar(tmp_path / "a.tar", odd), Skipped()
    assert [sample["png"].read() for sample in islice(Tar(path, skipped), 9)] == [png(RED)]
    assert skipped.reasons == {"broken shard": 1}


def test_what_the_reader_of_a_tar_raises_is_its_own(tmp_path):
    path, skipped = write_tar(tmp_path / "a.tar", tarfile.TarInfo("odd.png")), Skipped()
    samples = iter(Tar(path, skipped))
    next(samples)
    with pytest.raises(OSError, match="a reader's own"):
        samples.throw(OSError("a reader's own"))
    assert skipped.reasons == {}


def test_a_mask_is_as_large_as_its_picture():
    row = {"prompt": "a", "chosen": store(png(RED)), "rejected": store(png(GREEN))}
    images = {"image": store(png(RED, (8, 6))), "mask": store(png(GREY, (6, 8)))}
    with pytest.raises(Unusable, match=r"^mask of another size$"):
        decode(images, COHERENCE)
    with pytest.raises(Unusable, match=r"^mask of another size$"):
        decode(row | images, AESTHETIC)
    assert decode(row | images | {"mask": None}, AESTHETIC)["mask"] is None


def broken_in_part(count):
    """Rows of AESTHETIC, every third of them broken and every fifth a tie."""
    plain, broken = [store(png((n, 0, 0))) for n in range(count)], store(b"no picture")
    rejected = [broken if n % 3 == 0 else one if n % 5 == 0 else store(png(GREEN)) for n, one in enumerate(plain)]
    rows = {"prompt": [str(n) for n in range(count)], "chosen": plain, "rejected": rejected}
    return Dataset.from_dict(rows, features=AESTHETIC.features(rows))


@pytest.mark.parametrize("count", [1, 2, 17])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_checking_and_come_to_the_same_rows(count, processes):
    rows, alone = broken_in_part(count), Skipped()
    expected = usable(rows, AESTHETIC, alone)["prompt"][:]
    assert expected == [str(n) for n in range(count) if n % 3 and n % 5]
    seen, found = [], []

    def check(row):
        seen.append(row["prompt"])
        decode(row, AESTHETIC)

    for process in range(processes):
        usable(
            rows,
            AESTHETIC,
            Skipped(),
            check=check,
            process=process,
            processes=processes,
            gather=lambda own: found.extend(own) or own,
        )
    assert sorted(seen, key=int) == [str(n) for n in range(count)]  # each by one process
    for process in range(processes):
        skipped = Skipped()
        kept = usable(rows, AESTHETIC, skipped, process=process, processes=processes, gather=lambda own: found)
        assert kept["prompt"][:] == expected
        assert (skipped.reasons, str(skipped)) == (alone.reasons, str(alone))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no settings; write a name and its value on each line"),
        (b"- lr", "holds no settings"),
        (b"like: [other.yaml]", "holds no settings"),
        (b"\x89PNG", "is no YAML"),
        (b"lr: [", "is no YAML"),
        (b"output:", "output is None, expected a path"),
        (b"output: run\nmask_probs: square", "mask_probs is 'square', expected names with values"),
    ],
)
def test_a_preset_that_is_none_is_said(tmp_path, content, words):
    (tmp_path / "preset.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read(TuneSettings, tmp_path / "preset.yaml")
