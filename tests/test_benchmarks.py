"""Benchmarks: each layout as it lies on disk, masks the right way round, PictureBench the same as ever."""

import json
import re
from functools import partial

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value

import toy_benchmarks as toy
from byteedit.evaluation.benchmarks import coverage, describe, open_benchmark
from byteedit.evaluation.benchmarks.brushbench import decode_runs
from byteedit.evaluation.lines import read_lines
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.runs import RunSettings, evaluate
from byteedit.masks import square
from toy_benchmarks import SIZE, mask, picture, png, runs, save


@pytest.fixture
def editbench(tmp_path):
    """Function that writes an EditBench of three cases: editbench(invert=False)."""
    return partial(toy.write_editbench, tmp_path)


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


def test_editbench_s_polarity_is_that_of_the_masks_that_can_be_read(editbench):
    folder = editbench(invert=True)
    (folder / "masks_natural" / "cat-material-indoor.png").unlink()
    (folder / "masks_generated" / "cup-size-art.png").write_bytes(b"no picture")
    found = open_benchmark(f"editbench:{folder}")
    assert {case.attributes["white"] for case in found} == {"keep"}
    assert np.array_equal(found[1].mask, mask(right=19))
    with pytest.raises(ValueError, match=r"cat-material-indoor\.png: missing image"):
        _ = found[0].mask
    (folder / "masks_natural" / "dog-color-outdoor.png").unlink()
    none = r"none of EditBench's 3 masks can be read, the first of natural-cat-material-indoor: .*missing image"
    with pytest.raises(ValueError, match=none):
        open_benchmark(f"editbench:{folder}")
    line = describe(open_benchmark(f"editbench:{folder},white=keep"))
    assert line.startswith("3 cases; masks that cannot be read: 3, the first of natural-cat-material-indoor: ")


def test_coverage_is_the_share_of_each_picture_that_is_to_be_generated(editbench):
    found = open_benchmark(f"editbench:{editbench()}")
    shares, unreadable = coverage(found)
    assert shares == pytest.approx([120 / 1920, 130 / 1920, 140 / 1920]) and unreadable == []
    assert describe(found) == f"3 cases; masks cover {130 / 1920:.1%} of a picture (6.2% to 7.3%)"
    wrong = open_benchmark(f"editbench:{editbench()},white=keep")
    assert describe(wrong).endswith("that is much: are they white where to generate?")


@pytest.fixture
def brushbench(tmp_path):
    """A BrushBench of two cases."""
    return toy.write_brushbench(tmp_path)


def test_brushbench_has_a_mask_for_inside_and_one_for_outside(brushbench):
    inside, outside = (open_benchmark(f"brushbench:{brushbench},where={where}") for where in ("inside", "outside"))
    assert [case.id for case in inside] == ["000000001", "000000017"]
    assert np.array_equal(inside[1].mask, mask(bottom=15))
    assert np.array_equal(outside[1].mask, 255 - mask(bottom=15))
    assert np.array_equal(inside[1].page, picture(1))
    assert inside[1].prompt == "a boat, 1"


def test_the_copy_of_editbench_has_runs_of_what_to_generate_unless_told_otherwise(brushbench):
    for white in ("auto", "generate", "keep"):
        found = open_benchmark(f"editbench:{brushbench},white={white}")
        assert [case.id for case in found] == ["000000001", "000000017"]
        expected = mask(bottom=15)
        assert np.array_equal(found[1].mask, 255 - expected if white == "keep" else expected)
        assert found[1].attributes["white"] == ("keep" if white == "keep" else "generate")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (None, r"\S*/images/000000017\.png: missing image\."),
        ([1, 9999], r"a mask's runs go from 1 to 9999, not 1 to 1920\."),
        ("none", r"invalid literal for int\(\).*"),
    ],
)
def test_a_mask_that_cannot_be_read_ends_no_run(brushbench, tmp_path, broken, why):
    mapping, made, said = brushbench / "mapping_file.json", tmp_path / "made", []
    entries = json.loads(mapping.read_text())
    if broken is None:
        (brushbench / entries["000000017"]["image"]).unlink()
    else:
        entries["000000017"]["inpainting_mask"] = broken
        mapping.write_text(json.dumps(entries))
    for number, key in enumerate(entries):
        save(made / f"{key}.png", picture(number))
    (made / "system.json").write_text('{"system": "someone"}')
    bench = f"brushbench:{brushbench}"
    evaluate(RunSettings(benchmark=bench, systems=(f"made=folder:{made}",), output=tmp_path / "run"), said.append)
    cover = r"masks cover 6\.2% of a picture \(6\.2% to 6\.2%\)"
    line = f"{bench}: 2 cases; {cover}; masks that cannot be read: 1, the first of 000000017: {why}"
    assert re.fullmatch(line, said[0])
    first, second = read_lines(tmp_path / "run" / "made")
    assert first["id"] == "000000001" and "error" not in first
    assert second["id"] == "000000017" and re.fullmatch(why, second["error"])


def test_runs_are_counted_from_one_line_by_line():
    assert decode_runs([1, 2, 6, 3], (2, 4)).tolist() == [[255, 255, 0, 0], [0, 255, 255, 255]]
    assert decode_runs([], (2, 4)).max() == 0
    noise = np.where(np.random.default_rng(0).random((9, 7)) < 0.4, 255, 0).astype(np.uint8)
    assert np.array_equal(decode_runs(runs(noise), noise.shape), noise)
    with pytest.raises(ValueError, match="go from 0 to 4, not 1 to 8"):
        decode_runs([0, 5], (2, 4))
    with pytest.raises(ValueError, match="no pairs of start and length"):
        decode_runs([1, 2, 3], (2, 4))


def test_imagenhub_s_mask_is_its_alpha(tmp_path):
    [case] = open_benchmark(f"imagenhub:{toy.write_imagenhub(tmp_path)}")
    assert case.id == "sample_17_2"
    assert np.array_equal(case.mask, mask())
    assert np.array_equal(case.image, picture(0)) and np.array_equal(case.reference, picture(1))
    assert dict(case.prompts) == {"simple": "target_local_caption words", "full": "target_global_caption words"}
    assert case.attributes["source"] == "source_global_caption words"


def test_a_folder_of_pairs_with_metadata(tmp_path):
    save(tmp_path / "in" / "one.png", picture(0))
    save(tmp_path / "one_mask.png", mask())
    line = {"file_name": "in/one.png", "mask_file_name": "one_mask.png"}
    line |= {"prompt": "a boat", "prompt_rich": "a red boat"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line | {"subject": "ships"}) + "\n")
    [case] = open_benchmark(f"userbench:{tmp_path}")
    assert (case.id, case.task, case.prompt, case.prompts["rich"]) == ("in-one", "editing", "a boat", "a red boat")
    assert case.attributes == {"subject": "ships"}
    assert np.array_equal(case.mask, mask())
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "in/one.png", "prompt": "a boat"}))
    with pytest.raises(ValueError, match=r"in-one has no mask.*mask=square"):
        open_benchmark(f"userbench:{tmp_path}")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "in/one.png", "text": "a boat"}))
    with pytest.raises(ValueError, match=r"in-one is an edit without a prompt, and its columns are .*text.*; give it"):
        open_benchmark(f"userbench:{tmp_path},mask=square")


def test_metadata_as_csv_with_references_and_cells_left_empty(tmp_path):
    first, second = open_benchmark(f"userbench:{toy.write_csv(tmp_path)},mask=square")
    assert (first.id, first.task, first.prompt) == ("first", "editing", "a boat, red")
    assert first.attributes == {"subject": "ships"} and second.attributes == {}
    assert np.array_equal(first.mask, mask()) and np.array_equal(first.reference, picture(1))
    assert (second.id, second.task, second.prompt, second.reference) == ("two", "erasing", None, None)
    assert second.mask.shape == SIZE and not np.array_equal(second.mask, mask()) and second.mask.any()


def test_a_text_and_a_mask_beside_each_picture(tmp_path):
    save(tmp_path / "boat.png", picture(0))
    save(tmp_path / "boat_mask.png", mask())
    (tmp_path / "boat.txt").write_text("a boat\n")
    [case] = open_benchmark(f"userbench:{tmp_path}")
    assert (case.id, case.prompt, case.reference) == ("boat", "a boat", None)
    assert np.array_equal(case.mask, mask()) and np.array_equal(case.page, picture(0))


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


def test_null_cells_of_a_data_set_are_not_there(tmp_path):
    place = toy.write_nulls(tmp_path, [png(picture(n)) for n in range(3)])
    whole, *bare = open_benchmark(f"userbench:{place},mask=square")
    assert (whole.id, whole.attributes) == ("whole", {"source": "a pond"})
    assert np.array_equal(whole.mask, mask()) and np.array_equal(whole.reference, picture(9))
    for number, case in enumerate(bare, 1):
        assert (case.id, case.reference, case.attributes) == (f"{number:05d}", None, {})
        assert np.array_equal(case.mask, square(SIZE, np.random.default_rng(number)))
        assert np.array_equal(case.page, picture(number))
    with pytest.raises(ValueError, match=r"00001 has no mask; .*mask=square"):
        open_benchmark(f"userbench:{place}")


def test_a_null_picture_is_that_case_s_error(tmp_path):
    place = toy.write_nulls(tmp_path, [png(picture(0)), None, png(picture(2))])
    found = open_benchmark(f"userbench:{place},mask=square")
    with pytest.raises(ValueError, match="an image of the data set: missing image"):
        _ = found[1].page
    assert describe(found).endswith("cannot be read: 1, the first of 00001: an image of the data set: missing image.")


def test_a_column_of_nulls_alone_is_no_column(tmp_path):
    rows = [{"image": png(picture(n)), "mask": None, "prompt": "a boat"} for n in range(2)]
    Dataset.from_list(rows).to_parquet(tmp_path / "test.parquet")
    found = open_benchmark(f"userbench:{tmp_path},mask=outward")
    assert [case.task for case in found] == ["outpainting"] * 2
    assert np.array_equal(found[1].reference, picture(1))


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
