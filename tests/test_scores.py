"""Scores of pixels and sets against slow references, PictureBench's judge, and which picture goes with which words."""

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import sqrtm

from byteedit.evaluation.benchmarks import open_benchmark
from byteedit.evaluation.scores import pixel_scores, ssim_map
from byteedit.evaluation.scores.opening import open_score
from byteedit.evaluation.scores.picturebench import summarise
from byteedit.evaluation.scores.sets import clip_features, frechet_distance, kernel_distance
from byteedit.evaluation.scores.views import mask_crop, views
from byteedit.rewards import CLIPReward
from toy_scores import edit, sized_pictures, write_models

# Pixels


def ssim_at(x: np.ndarray, y: np.ndarray, row: int, column: int) -> float:
    """The SSIM of one channel at one pixel at least five from every edge, from its definition."""
    around = np.arange(-5, 6)
    window = np.exp(-(around[:, None] ** 2 + around[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = (z[row - 5 : row + 6, column - 5 : column + 6].astype(float) for z in (x, y))
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy, cov = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum(), (window * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_ssim_is_its_definition(scene):
    image, truth = (np.asarray(scene(40, 30, seed=seed)[0]) for seed in (0, 1))
    found = ssim_map(image, truth)
    for row, column in [(5, 5), (12, 20), (24, 34)]:
        slow = np.mean([ssim_at(image[..., c], truth[..., c], row, column) for c in range(3)])
        assert found[row, column] == pytest.approx(slow, abs=1e-9)
    assert found.shape == (30, 40)
    assert ssim_map(truth, truth) == pytest.approx(np.ones((30, 40)))


def test_ssim_mirrors_at_the_edges(scene):
    image, truth = (np.asarray(scene(24, 20, seed=seed)[0]) for seed in (0, 1))
    wide = [np.pad(picture, [(5, 5), (5, 5), (0, 0)], mode="symmetric") for picture in (image, truth)]
    assert ssim_map(image, truth) == pytest.approx(ssim_map(*wide)[5:-5, 5:-5])


def test_pixel_scores_tell_inside_from_outside():
    rng = np.random.default_rng(0)
    page, mask = rng.integers(20, 230, (20, 24, 3), dtype=np.uint8), np.zeros((20, 24), np.uint8)
    mask[4:10, 6:16] = 255
    truth = page.copy()
    truth[mask > 0] = 90
    answer = truth.copy()
    answer[mask > 0] += 10  # 20 log10(255 / 10) dB
    answer[0, :12] += 3  # 12 of 420 pixels outside
    found = pixel_scores(edit(page, mask, truth), answer)
    assert found["changed"] == pytest.approx(12 / 420)
    assert found["psnr.unmasked"] == pytest.approx(10 * np.log10(255**2 / (3**2 * 12 / 420)))
    assert found["psnr.masked"] == pytest.approx(20 * np.log10(25.5))
    assert 0 < found["ssim.masked"] < found["ssim.unmasked"] < 1
    answer[mask == 0] = page[mask == 0]
    found |= pixel_scores(edit(page, mask, truth), answer)
    assert (found["changed"], found["ssim.unmasked"]) == (0, pytest.approx(1))  # whatever is under the mask
    assert found.keys() == {
        *("changed", "psnr.unmasked", "ssim.unmasked", "seam"),
        *("psnr.masked", "ssim.masked", "seam_true"),
    }
    assert pixel_scores(edit(page, mask), page)["changed"] == 0
    assert pixel_scores(edit(page, mask), page)["psnr.unmasked"] == 60


def test_what_there_are_no_pixels_for_is_left_out():
    page = np.zeros((8, 8, 3), np.uint8)
    assert pixel_scores(edit(page, np.full((8, 8), 255, np.uint8)), page) == {}
    assert set(pixel_scores(edit(page, np.zeros((8, 8), np.uint8)), page)) == {
        "changed",
        "psnr.unmasked",
        "ssim.unmasked",
    }


# What goes with what


def test_the_whole_goes_with_the_full_prompt_and_the_masked_part_with_the_mask_s():
    page, mask = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8), np.zeros((30, 40), np.uint8)
    mask[10:14, 20:30] = 255
    seen = views(edit(page, mask), page)
    assert {kind: (picture.size, prompt) for kind, (picture, prompt) in seen.items()} == {
        "full": ((40, 30), "a red boat on the lake"),
        "simple": ((10, 10), "a boat"),
        "rich": ((10, 10), "a red boat"),
    }
    assert np.array_equal(np.asarray(seen["rich"][0]), page[7:17, 20:30])
    assert views(edit(page, mask, prompts={}), page) == {}


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 14, 30), (7, 20, 17, 30)),  # top, left, bottom, right
        ((0, 5, 4, 15), (0, 5, 10, 15)),
        ((28, 0, 30, 6), (24, 0, 30, 6)),
        ((3, 0, 9, 40), (0, 0, 30, 40)),
    ],
)
def test_a_crop_is_the_mask_s_box_widened_to_a_square_within_the_picture(box, expected):
    mask = np.zeros((30, 40), np.uint8)
    mask[box[0] : box[2], box[1] : box[3]] = 255
    rows, columns = np.mgrid[:30, :40]
    found = mask_crop(np.stack([rows, columns], -1), mask)
    assert (*found[0, 0], *(found[-1, -1] + 1)) == expected


# Sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tiny checkpoints."""
    root = tmp_path_factory.mktemp("models")
    write_models(root)
    return root


@pytest.fixture
def pictures(scene):
    return sized_pictures(scene)


def test_frechet_distance_is_its_formula():
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(60, 5)), rng.normal(1, 2, size=(80, 5)) @ rng.normal(size=(5, 5))
    a, b = np.cov(made.T), np.cov(real.T)
    slow = ((made.mean(0) - real.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(made, real) == pytest.approx(slow)
    assert frechet_distance(made, made) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(made, made + 3) == pytest.approx(45)
    few = rng.normal(size=(3, 8))  # covariances without full rank
    assert frechet_distance(few, few[::-1]) == pytest.approx(0, abs=1e-5)
    with pytest.raises(ValueError, match="needs two in each"):
        frechet_distance(made[:1], real)


def test_kernel_distance_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(7, 4)), rng.normal(0.5, 1, size=(9, 4))

    def kernel(x, y):
        return (float(x @ y) / 4 + 1) ** 3

    def within(rows):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return np.mean([kernel(rows[i], rows[j]) for i, j in pairs])

    between = np.mean([kernel(x, y) for x in made for y in real])
    assert kernel_distance(made, real) == pytest.approx(within(made) + within(real) - 2 * between)


def test_a_set_s_distance_is_that_of_the_masked_parts(folder, pictures):
    cases, answers = pictures
    opened = open_score(f"sets:{folder / 'clip'}")
    [found] = opened.measure(cases, answers)
    reward = CLIPReward.from_pretrained(str(folder / "clip"))
    parts = [
        [Image.fromarray(mask_crop(image, case.mask)) for case, image in zip(cases, images, strict=True)]
        for images in (answers, [case.page for case in cases])
    ]
    made, real = (clip_features(reward, part) for part in parts)
    assert np.ptp(np.linalg.norm(made, axis=1)) > 0.1  # as CLIP gives them
    assert found == {
        "clip_fid": pytest.approx(frechet_distance(made, real)),
        "clip_kid": pytest.approx(kernel_distance(made, real)),
        "n": 3,
    }
    assert opened.over_set
    [same] = opened.measure(cases, [case.page for case in cases])
    assert same["clip_fid"] == pytest.approx(0, abs=1e-5)
    truth = [edit(case.page, case.mask, answer) for case, answer in zip(cases, answers, strict=True)]
    assert opened.measure(truth, answers)[0]["clip_fid"] == pytest.approx(0, abs=1e-5)


# The gold judge


def test_gold_gives_what_the_report_reads_and_marks():
    bench = [open_benchmark(f"picturebench,task={task},number=1")[0] for task in ("editing", "erasing")]
    lines = open_score("gold").measure(bench, [case.reference for case in bench])
    assert [line["quality"] for line in lines] == [5, 5]
    assert "aesthetics" not in lines[1] and lines[0]["aesthetics"] == 5
    found = summarise([{"task": case.task, **case.attributes, **line} for case, line in zip(bench, lines, strict=True)])
    assert found["editing.right"].value == 1 and found["erasing.no_object"].value == 1
    page = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="one is not of PictureBench"):
        open_score("gold").measure([edit(page, page[..., 0])], [page])
