"""D_train reads the same whatever its source, by number or as a stream; what cannot be used is counted, never fatal."""

import csv
import io
import json
import tarfile

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, List, Value
from PIL import Image as Pictures

from byteedit.data.edits import EDITS, open_edits
from byteedit.data.images import Unusable
from byteedit.data.skipped import Skipped
from byteedit.data.tars import Tar
from byteedit.picturebook import scene
from toy_rows import cache, png  # noqa: F401

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
ROWS = [("a red boat", RED), ("a green tree", GREEN)]


def object_mask(size=(8, 6)) -> bytes:
    """The bytes of a mask whose upper left quarter is an object."""
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[: size[1] // 2, : size[0] // 2] = 255
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path, files: dict[str, bytes]):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def beside(folder):
    """A picture and its caption beside it, one in a folder of its own."""
    (folder / "more").mkdir(parents=True)
    for (caption, colour), name in zip(ROWS, ("boat", "more/tree"), strict=True):
        (folder / f"{name}.png").write_bytes(png(colour))
        (folder / f"{name}.txt").write_text(f"{caption}\n")
    return folder


def metadata_jsonl(folder):
    """As `datasets` has it, with an instance for the first."""
    folder.mkdir()
    (folder / "mask.png").write_bytes(object_mask())
    lines = []
    for number, (caption, colour) in enumerate(ROWS):
        (folder / f"{number}.png").write_bytes(png(colour))
        lines.append({"file_name": f"{number}.png", "caption": caption, "other": 3})
    lines[0] |= {"instances_file_names": ["mask.png"], "phrases": ["a boat"]}
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def metadata_csv(folder):
    folder.mkdir()
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        for number, (caption, colour) in enumerate(ROWS):
            (folder / f"{number}.png").write_bytes(png(colour))
            writer.writerow([f"{number}.png", caption])
    return folder


def tars(folder):
    """One shard for each row: its caption as text, with an instance, and as JSON."""
    folder.mkdir()
    fields = json.dumps({"caption": "not this", "phrases": ["a boat"]}).encode()
    first = {"a/000.png": png(RED), "a/000.txt": b"a red boat", "a/000.json": fields}
    write_tar(folder / "000.tar", first | {"a/000.instances.0.png": object_mask()})
    write_tar(folder / "001.tar", {"a/001.JPG": png(GREEN), "a/001.json": b'{"caption": "a green tree"}'})
    return folder


def parquet(folder):
    folder.mkdir()
    columns = {"image": [png(colour) for _, colour in ROWS], "caption": [caption for caption, _ in ROWS]}
    columns |= {"instances": [[object_mask()], []], "phrases": [["a boat"], []], "junk": [1, 2]}
    kinds = {"image": Image(), "caption": Value("string"), "instances": List(Image()), "phrases": List(Value("string"))}
    rows = Dataset.from_dict(columns, features=Features(kinds | {"junk": Value("int64")}))
    rows.to_parquet(folder / "train.parquet")
    return folder / "train.parquet"


def jsonl(folder):
    folder.mkdir()
    lines = []
    for number, (caption, colour) in enumerate(ROWS):
        (folder / f"{number}.png").write_bytes(png(colour))
        lines.append(json.dumps({"image": f"{number}.png", "caption": caption}) + "\n")
    (folder / "rows.jsonl").write_text("".join(lines))
    return folder


def saved(folder):
    DatasetDict({"train": Dataset.from_parquet(str(parquet(folder)))}).save_to_disk(folder / "saved")
    return folder / "saved"


def rows_of(edits):
    """All rows of edits, decoded."""
    raw = [row for shard in edits.shards for row in shard] if edits.rows is None else list(edits.rows)
    return [edits.read(row) for row in raw]


@pytest.mark.parametrize(
    ("write", "streaming", "streamed", "instances"),
    [
        (beside, False, False, 0),
        (metadata_jsonl, False, False, 1),
        (metadata_csv, False, False, 0),
        (tars, False, True, 1),
        (parquet, False, False, 1),
        (parquet, True, True, 1),
        (jsonl, False, False, 0),
        (jsonl, True, True, 0),
        (saved, False, False, 1),
    ],
)
def test_every_source_gives_the_same_rows(tmp_path, write, streaming, streamed, instances):
    source, skipped = write(tmp_path / "data"), Skipped()
    edits = open_edits(source, skipped, streaming=streaming)
    assert (edits.rows is None) == streamed
    assert edits.extent() == ({"shards": len(edits.shards)} if streamed else {"rows": 2})
    first, second = rows_of(edits)
    for row, (caption, colour) in zip((first, second), ROWS, strict=True):
        assert (row["caption"], row["image"].mode, row["image"].size) == (caption, "RGB", (8, 6))
        assert row["image"].getpixel((3, 3)) == colour
    assert len(first["instances"]) == instances and second["instances"] == []
    if instances:
        assert np.array_equal(np.asarray(first["instances"][0])[:, 0], [255, 255, 255, 0, 0, 0])
        assert first["phrases"] == ["a boat"]
    assert str(skipped) == "no rows skipped"


def test_the_hub_is_a_source_that_is_streamed(tmp_path, monkeypatch):
    rows, asked = Dataset.from_parquet(str(parquet(tmp_path / "there"))), []

    def load(*name, **options):
        asked.append((name, options))
        return rows.to_iterable_dataset()

    monkeypatch.setattr("byteedit.data.sources.load_dataset", load)
    edits = open_edits("lab/pictures:validation", Skipped())
    assert [row["caption"] for row in rows_of(edits)] == [caption for caption, _ in ROWS]
    assert asked == [(("lab/pictures", None), {"split": "validation", "streaming": True})]


def test_a_split_is_named_after_a_colon(tmp_path):
    (tmp_path / "photos").mkdir()
    beside(tmp_path / "photos" / "validation")
    assert len(rows_of(open_edits(f"{tmp_path / 'photos'}:validation", Skipped()))) == 2
    parquet(tmp_path / "tables")
    with pytest.raises(ValueError, match="holds no pictures, tars, Parquet or JSONL of the split 'test'"):
        open_edits(f"{tmp_path / 'tables'}:test", Skipped())


def test_pictures_that_a_jsonl_lists_are_not_taken_for_a_folder_of_pictures(tmp_path):
    assert [row["caption"] for row in rows_of(open_edits(jsonl(tmp_path / "data"), Skipped()))] == [c for c, _ in ROWS]


def test_the_caption_may_have_another_name(tmp_path):
    folder = metadata_jsonl(tmp_path / "data")
    with pytest.raises(ValueError, match=r"has no text; its columns are file_name, caption, other.*caption_column"):
        open_edits(folder, Skipped(), caption="text")
    for file, line in (("metadata.jsonl", "file_name"), ("rows.jsonl", "image")):
        (tmp_path / file).mkdir()
        (tmp_path / file / "0.png").write_bytes(png(RED))
        (tmp_path / file / file).write_text(json.dumps({line: "0.png", "text": "words"}) + "\n")
        assert rows_of(open_edits(tmp_path / file, Skipped(), caption="text"))[0]["caption"] == "words"
    for read in (False, True):
        named = Dataset.from_dict({"jpg": [{"bytes": png((9, 9, 9))}], "txt": ["words"]})
        named.cast_column("jpg", Image(decode=False)).to_parquet(tmp_path / "named.parquet")
        edits = open_edits(tmp_path / "named.parquet", Skipped(), caption="txt", image="jpg", streaming=read)
        assert (rows_of(edits)[0]["caption"], rows_of(edits)[0]["image"].getpixel((0, 0))) == ("words", (9, 9, 9))
    with pytest.raises(ValueError, match=r"column image is missing.* of D_train caption_column and image_column"):
        open_edits(tmp_path / "named.parquet", Skipped(), caption="txt")
    write_tar(tmp_path / "one.tar", {"0.png": png(RED), "0.json": b'{"text": "words"}'})
    assert rows_of(open_edits(tmp_path / "one.tar", Skipped(), caption="text"))[0]["caption"] == "words"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"0.png": b"no picture", "0.txt": b"a boat"}, "broken image"),
        ({"0.txt": b"a boat"}, "missing image"),
        ({"0.png": png(RED)}, "missing caption"),
        ({"0.png": png(RED), "0.json": b"{broken"}, "missing caption"),
        ({"0.png": png(RED), "0.json": b'{"caption": 5}'}, "missing caption"),
        ({"0.png": png(RED), "0.json": b'{"caption": "half \\ud83d"}'}, "missing caption"),
        ({"0.png": png(RED), "0.json": b'{"caption": "a", "b": ' + b"[" * 100_000}, "missing caption"),
        ({"0.png": png(RED), "0.txt": b"a", "0.instances.0.png": object_mask((4, 4))}, "instance of another size"),
        ({"0.png": png(RED), "0.txt": b"a", "0.json": b'{"phrases": ["a", "b"]}'}, "phrases that do not match"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, files, reason):
    edits = open_edits(write_tar(tmp_path / "shard.tar", files), Skipped())
    with pytest.raises(Unusable, match=reason):
        rows_of(edits)


def test_a_picture_without_words_beside_it_is_unusable(tmp_path):
    (tmp_path / "picture.png").write_bytes(png(RED))
    with pytest.raises(Unusable, match="missing caption"):
        rows_of(open_edits(tmp_path, Skipped()))


def test_lines_that_are_no_rows_are_counted(tmp_path):
    folder, skipped = metadata_jsonl(tmp_path / "data"), Skipped()
    with open(folder / "metadata.jsonl", "a") as file:
        file.write('{"file_name": "0.png", "caption": ["a", "b"]}\n{"file_name": "0.png", "capt\n')
        file.write('{"file_name": "0.png", "caption": "c", "instances_file_names": "mask.png"}\n')
    assert len(open_edits(folder, skipped).rows) == 2
    assert skipped.reasons == {"broken line": 3}


def test_a_shard_that_breaks_off_gives_what_comes_before(tmp_path):
    files = {f"{number}.{ending}": png(RED) for number in range(3) for ending in ("png", "txt")}
    path = write_tar(tmp_path / "shard.tar", files)
    whole, skipped = path.read_bytes(), Skipped()
    assert len(list(Tar(path, skipped))) == 3
    path.write_bytes(whole[:2600])  # in the third file, since a header and a file have 512 bytes each
    assert [sorted(sample) for sample in Tar(path, skipped)] == [["png", "txt"]]
    path.write_bytes(b"nothing of the kind" * 100)
    assert list(Tar(path, skipped)) == []
    assert skipped.reasons == {"broken shard": 2}


def test_the_picturebook_is_a_source():
    edits = open_edits("picturebook:train", Skipped())
    assert len(edits.rows) == 1_000_000
    page = scene(5, "train")
    row = edits.read(edits.rows[5])
    assert row["caption"] == page.caption
    assert row["phrases"] == [thing.phrase for thing in page.things]
    assert np.array_equal(np.asarray(row["image"]), page.render())
    assert np.array_equal(np.asarray(row["instances"][0]), page.mask(0))
    assert open_edits("picturebook:test", Skipped()).read(5)["caption"] == scene(5, "test").caption


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file or folder .*nowhere"):
        open_edits(tmp_path / "nowhere", Skipped())
    with pytest.raises(ValueError, match="holds no pictures, tars, Parquet or JSONL of the split 'train'; name"):
        open_edits(tmp_path, Skipped())
    with pytest.raises(ValueError, match=r"there is no file .*gone.tar"):
        open_edits(tmp_path / "gone.tar", Skipped())
    (tmp_path / "metadata.csv").write_text("\ufefffile_name,caption\n", encoding="utf-8")  # as spreadsheets begin
    with pytest.raises(ValueError, match=r"metadata.csv holds no rows"):
        open_edits(tmp_path, Skipped())


def test_the_schema_names_its_columns():
    assert list(EDITS.required) == ["image", "caption"]
    assert EDITS.images == {"image", "mask", "instances"}


def test_captions_have_no_mark_and_are_utf_8(tmp_path):
    for name, words in (("a", "\ufeffa red boat".encode()), ("b", "ein grüner Baum".encode("latin-1"))):
        (tmp_path / f"{name}.png").write_bytes(png(RED))
        (tmp_path / f"{name}.txt").write_bytes(words)
    edits = open_edits(str(tmp_path), Skipped())
    assert edits.read(edits.rows[0])["caption"] == "a red boat"
    with pytest.raises(Unusable, match="caption that is not UTF-8"):
        edits.read(edits.rows[1])
    (tmp_path / "metadata.csv").write_bytes("file_name,caption\na.png,grün\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"metadata.csv is not UTF-8; save it again as UTF-8"):
        open_edits(str(tmp_path), Skipped())


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_folders_rows_may_bring_masks_of_their_own(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(png(RED))
    (tmp_path / "m.png").write_bytes(object_mask())
    rows = [
        {"file_name": "a.png", "caption": "one", "mask_file_name": "m.png"},
        {"file_name": "a.png", "caption": "two"},
    ]
    if kind == "jsonl":
        (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        (tmp_path / "metadata.csv").write_text("file_name,caption,mask_file_name\na.png,one,m.png\na.png,two,\n")
    edits = open_edits(str(tmp_path), Skipped())
    first, second = (edits.read(row) for row in edits.rows)
    assert first["mask"].size == first["image"].size and np.asarray(first["mask"]).any()
    assert second["mask"] is None
