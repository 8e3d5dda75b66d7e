"""Benchmarks: each layout as it lies on disk, masks the right way round, PictureBench the same as ever."""

import io
import json
from functools import partial

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pictures

from byteedit.evaluation.benchmarks import asking, coverage, describe, open_benchmark
from byteedit.evaluation.benchmarks.brushbench import decode_runs
from byteedit.evaluation.naming import parse
from byteedit.evaluation.picturebench import cases
from toy_benchmarks import SIZE, mask, picture, runs, save, write_brushbench, write_editbench


@pytest.fixture
def editbench(tmp_path):
    """Function that writes an EditBench of three cases: editbench(invert=False)."""
    return partial(write_editbench, tmp_path)


@pytest.mark.parametrize("invert", [False, True])
def test_editbench_has_its_pictures_masks_and_three_prompts(editbench, invert):
    found = open_benchmark(f"editbench:{editbench(invert)}")
    assert [case.id for case in found] == [
        "natural-cat-material-indoor",
        "natural-dog-color-outdoor",
        "generated-cup-size-art",
    ]
    assert [case.seed for case in found] == [0, 1, 2]
    last = found[-1]
    assert np.array_equal(last.image, picture(2)) and last.image.dtype == np.uint8
    assert np.array_equal(last.mask, mask(right=20))
    assert dict(last.prompts) == {
        "full": "a cup-size-art, in a room",
        "simple": "a cup-size-art",
        "rich": "a big, old cup-size-art",
    }
    assert last.prompt == last.prompts["full"]
    assert last.reference is None
    assert last.attributes["category"] == "common"
    assert last.attributes["white"] == ("keep" if invert else "generate")


def test_editbench_s_polarity_can_be_said_and_must_be_where_it_is_not_evident(editbench):
    folder = editbench()
    assert np.array_equal(open_benchmark(f"editbench:{folder},white=keep")[0].mask, 255 - mask())
    for half in ("natural", "generated"):
        for file in (folder / f"masks_{half}").iterdir():
            save(file, mask(0, 0, SIZE[0], SIZE[1] // 2))
    with pytest.raises(ValueError, match=r"white over 50% of the pictures.*add white=generate or white=keep"):
        open_benchmark(f"editbench:{folder}")


def test_coverage_is_the_share_of_each_picture_that_is_to_be_generated(editbench):
    found = open_benchmark(f"editbench:{editbench()}")
    shares = coverage(found)
    assert shares == pytest.approx([120 / 1920, 130 / 1920, 140 / 1920])
    assert describe(found) == f"3 cases; masks cover {130 / 1920:.1%} of a picture (6.2% to 7.3%)"
    wrong = open_benchmark(f"editbench:{editbench()},white=keep")
    assert describe(wrong).endswith("that is much: are they white where to generate?")


def test_asking_for_another_kind_of_prompt(editbench):
    found = open_benchmark(f"editbench:{editbench()}")
    assert asking(found, "rich")[0].prompt == "a big, old cat-material-indoor"
    assert asking(found, None)[0].prompt == found[0].prompt
    with pytest.raises(ValueError, match="has no poor prompt; it has full, simple, rich"):
        asking(found, "poor")
    assert asking(open_benchmark("picturebench,task=erasing,number=1"), "full")[0].prompt is None


@pytest.fixture
def brushbench(tmp_path):
    """A BrushBench of two cases."""
    return write_brushbench(tmp_path)


def test_brushbench_has_a_mask_for_inside_and_one_for_outside(brushbench):
    inside, outside = (open_benchmark(f"brushbench:{brushbench},where={where}") for where in ("inside", "outside"))
    assert [case.id for case in inside] == ["000000001", "000000017"]
    assert np.array_equal(inside[1].mask, mask(bottom=15))
    assert np.array_equal(outside[1].mask, 255 - mask(bottom=15))
    assert np.array_equal(inside[1].page, picture(1))
    assert inside[1].prompt == "a boat, 1"
    assert [case.id for case in open_benchmark(f"editbench:{brushbench}")] == [case.id for case in inside]


def test_runs_are_counted_from_one_line_by_line():
    assert decode_runs([1, 2, 6, 3], (2, 4)).tolist() == [[255, 255, 0, 0], [0, 255, 255, 255]]
    assert decode_runs([], (2, 4)).max() == 0
    noise = np.where(np.random.default_rng(0).random((9, 7)) < 0.4, 255, 0).astype(np.uint8)
    assert np.array_equal(decode_runs(runs(noise), noise.shape), noise)
    with pytest.raises(ValueError, match="go from 0 to 4, not 1 to 8"):
        decode_runs([0, 5], (2, 4))
    with pytest.raises(ValueError, match="no pairs of start and length"):
        decode_runs([1, 2, 3], (2, 4))


def png(pixels: np.ndarray) -> dict:
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_imagenhub_s_mask_is_its_alpha(tmp_path):
    white = mask()
    shown = np.dstack([picture(0), 255 - white // 2])  # half transparent where to generate
    text = ("img_id", "instruction", "source_global_caption", "target_global_caption", "target_local_caption")
    row = {name: f"{name} words" for name in text} | {"img_id": "17", "turn_index": 2}
    pictures = {"source_img": png(picture(0)), "mask_img": png(shown), "target_img": png(picture(1))}
    columns = {name: Value("string") for name in text} | {"turn_index": Value("int32")}
    features = Features(columns | {name: Image() for name in pictures})
    Dataset.from_list([row | pictures], features=features).to_parquet(tmp_path / "filtered-00000-of-00001.parquet")
    [case] = open_benchmark(f"imagenhub:{tmp_path}")
    assert case.id == "sample_17_2"
    assert np.array_equal(case.mask, white)
    assert np.array_equal(case.image, picture(0)) and np.array_equal(case.reference, picture(1))
    assert dict(case.prompts) == {"simple": "target_local_caption words", "full": "target_global_caption words"}
    assert case.attributes["source"] == "source_global_caption words"


def test_a_folder_of_pairs_with_metadata(tmp_path):
    save(tmp_path / "in" / "one.png", picture(0))
    save(tmp_path / "one_mask.png", mask())
    line = {
        "file_name": "in/one.png",
        "mask_file_name": "one_mask.png",
        "prompt": "a boat",
        "prompt_rich": "a red boat",
    }
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line | {"subject": "ships"}) + "\n")
    [case] = open_benchmark(f"userbench:{tmp_path}")
    assert (case.id, case.task, case.prompt, case.prompts["rich"]) == ("in-one", "editing", "a boat", "a red boat")
    assert case.attributes == {"subject": "ships"}
    assert np.array_equal(case.mask, mask())
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "in/one.png", "prompt": "a boat"}))
    with pytest.raises(ValueError, match=r"in-one has no mask.*mask=square"):
        open_benchmark(f"userbench:{tmp_path}")


def test_pairs_without_masks_get_drawn_ones(tmp_path):
    for number in range(2):
        save(tmp_path / f"{number}.png", picture(number))
        (tmp_path / f"{number}.txt").write_text(f"boat {number}\n")
    found = open_benchmark(f"userbench:{tmp_path},mask=square")
    assert [case.prompt for case in found] == ["boat 0", "boat 1"]
    assert np.array_equal(found[0].mask, open_benchmark(f"userbench:{tmp_path},mask=square")[0].mask)
    assert not np.array_equal(found[0].mask, found[1].mask)
    out = open_benchmark(f"userbench:{tmp_path},mask=outward")[1]
    left, top, right, bottom = out.box
    assert out.task == "outpainting" and sum(out.extension.values()) > 0
    assert np.array_equal(out.image, picture(1)[top:bottom, left:right])
    assert set(np.unique(out.page[out.mask > 0])) == {128}
    assert np.array_equal(out.reference, picture(1))
    assert np.all(out.mask[top:bottom, left:right] == 0)


def test_a_data_set_of_pairs(tmp_path):
    rows = [{"image": png(picture(n)), "mask": png(mask(right=18 + n)), "prompt": f"boat {n}"} for n in range(2)]
    features = Features({"image": Image(), "mask": Image(), "prompt": Value("string")})
    DatasetDict({"test": Dataset.from_list(rows, features=features)}).save_to_disk(tmp_path / "set")
    found = open_benchmark(f"userbench:{tmp_path / 'set'}")
    assert [case.id for case in found] == ["00000", "00001"]
    assert np.array_equal(found[1].mask, mask(right=19)) and np.array_equal(found[1].page, picture(1))


def test_picturebench_is_what_it_was():
    found = open_benchmark("picturebench")
    assert len(found) == 720
    for number in (3, 243, 481, 484):
        case, original = found[number], found[number].original
        assert original is cases(case.task)[number % 240]
        assert (case.id, case.seed, case.prompt, case.extension) == (
            original.id,
            original.seed,
            original.prompt,
            original.extension,
        )
        assert np.array_equal(case.image, original.image) and np.array_equal(case.mask, original.mask)
        assert np.array_equal(case.reference, original.picture)
    assert found[481].prompts["full"] == cases("outpainting")[1].truth.caption
    assert [case.id for case in open_benchmark("picturebench,task=erasing,number=2")] == [
        "erasing-000",
        "erasing-001",
    ]


def test_a_mask_of_another_size_is_an_error_when_the_picture_is_read(editbench):
    folder = editbench()
    save(folder / "masks_natural" / "cat-material-indoor.png", mask()[:30])
    [broken, fine, _] = open_benchmark(f"editbench:{folder}")
    assert fine.page.shape == (*SIZE, 3)
    with pytest.raises(
        ValueError, match="natural-cat-material-indoor: the picture is 48 x 40 pixels, the mask 48 x 30"
    ):
        _ = broken.page


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drawbench", "no benchmark called 'drawbench'; there are editbench, brushbench"),
        ("brushbench:{},side=inside", "has no option 'side'; it has where"),
        ("brushbench:{},where=around", "where is 'around'; it is one of inside, outside"),
        ("picturebench,number=many", "number is 'many'; it takes a value of the type int"),
        ("picturebench:tset", "has no split 'tset'"),
        ("brushbench:{}", "is no BrushBench: it has no mapping_file.json"),
        ("editbench:{}", "neither annotations_natural.csv nor mapping_file.json"),
        ("userbench:{}", "holds no Parquet or JSONL"),
    ],
)
def test_errors_say_what_there_is(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        open_benchmark(text.format(tmp_path))


def test_names_are_parsed():
    assert parse("telea") == ("telea", None, {})
    assert parse("byteedit:C:/a,b/c,steps=8,lora=x:0.7") == ("byteedit", "C:/a,b/c", {"steps": "8", "lora": "x:0.7"})
    with pytest.raises(ValueError, match="gives an option twice"):
        parse("a:b,c=1,c=2")
