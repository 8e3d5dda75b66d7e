"""Studies as they are made: pictures, sides, who is asked what, attention checks, and what is refused."""

import hashlib
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from byteedit.evaluation.human.creation import create_study, read_cases
from byteedit.evaluation.human.planning import sides
from byteedit.evaluation.human.studies import StudySettings, open_study
from byteedit.provenance import Record, encode_png
from toy_studies import SIZE, make_study, write_cases


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize(("kind", "shown"), [("gsb", 2), ("scores", 1), ("best-worst", 4)])
def test_every_case_is_asked_of_every_group_of_systems(tmp_path, kind, shown):
    study = make_study(tmp_path, kind, ("ours", "good", "fair", "poor"), count=6)
    groups = Counter(frozenset(question.systems) for question in study.questions.values())
    assert len(study.questions) == 6 * {"gsb": 3, "scores": 4, "best-worst": 1}[kind]
    assert {len(question.pictures) for question in study.questions.values()} == {shown}
    assert set(groups.values()) == {6}
    assert kind != "gsb" or all("ours" in group for group in groups)
    for question in study.questions.values():
        for system, name in zip(question.systems, question.pictures, strict=True):
            assert np.array_equal(pixels(study.folder / name), pixels(tmp_path / system / f"{question.case}.png"))
        assert np.array_equal(pixels(study.folder / question.image), pixels(tmp_path / f"{question.case}.jpg"))
        assert np.array_equal(pixels(study.folder / question.mask), pixels(tmp_path / f"{question.case}-mask.png"))


def test_nothing_that_a_rater_is_sent_tells_the_system(tmp_path):
    folders = write_cases(tmp_path, 4)
    first = folders["ours"] / "case-0.png"
    record = Record(command="edit", settings={"prompt": "secret", "model": "ours"}, inputs={})
    first.write_bytes(encode_png(Image.open(first), record))
    study = create_study(
        tmp_path / "study", read_cases(tmp_path / "cases.jsonl"), folders, StudySettings(kind="scores")
    )
    for question in study.questions.values():
        for name in (*question.pictures, question.image):
            assert Image.open(study.folder / name).info == {}
            content = (study.folder / name).read_bytes()
            assert name == f"pictures/{hashlib.sha256(content).hexdigest()[:20]}.png"
    times = {(study.folder / name).stat().st_mtime for one in study.questions.values() for name in one.pictures}
    assert len(times) == 1  # theirs were written after ours
    shutil.make_archive(str(tmp_path / "packed"), "zip", study.folder)
    ours = [n for n, question in enumerate(study.questions.values()) if question.systems == ("ours",)]
    assert ours not in ([0, 1, 2, 3], [4, 5, 6, 7])  # ids go across the systems


def test_each_system_stands_as_often_on_either_side(tmp_path):
    study = make_study(tmp_path, "gsb", count=12)
    left = Counter((question.task, question.systems[0]) for question in study.questions.values())
    assert set(left.values()) == {3}
    assert len(left) == 4
    orders = [tuple(order) for order, _ in zip(sides(4, np.random.default_rng(0)), range(400), strict=False)]
    for place in range(4):
        assert Counter(order[place] for order in orders) == dict.fromkeys(range(4), 100)
    assert len(set(orders)) == 24


def test_the_same_seed_makes_the_same_study_and_another_another(tmp_path):
    studies = [
        make_study(tmp_path / str(n), "gsb", raters=2, attention=1, seed=seed) for n, seed in enumerate((5, 5, 6))
    ]
    first, again, other = ((study.questions, study.places) for study in studies)
    assert first == again
    assert first != other


def test_an_attention_check_is_a_question_with_one_picture_spoilt_where_it_was_generated(tmp_path):
    study = make_study(tmp_path, "best-worst", ("ours", "good", "fair", "poor"), raters=2, votes=1, attention=3)
    checks = [one for one in study.questions.values() if one.damaged is not None]
    assert len(checks) == 3 and len(study.questions) == 11
    for check in checks:
        assert check.systems[check.damaged - 1] == "damaged"
        assert check.systems.count("damaged") == 1
        [before] = [one for one in study.questions.values() if one.damaged is None and one.case == check.case]
        missing = set(before.systems) - set(check.systems)
        spoilt = pixels(study.folder / check.pictures[check.damaged - 1])
        sound = pixels(tmp_path / missing.pop() / f"{check.case}.png")
        changed = (spoilt != sound).any(-1)
        assert changed[4:12, 8:16].mean() > 0.9
        assert changed.sum() == changed[4:12, 8:16].sum()
    assert all({one.id for one in checks} <= set(place) for place in study.places)


@pytest.mark.parametrize(("kind", "systems", "checks"), [("gsb", 2, 4), ("gsb", 2, 5), ("best-worst", 3, 3)])
def test_attention_checks_spoil_each_place_as_often(tmp_path, kind, systems, checks):
    for seed in range(4):
        study = make_study(tmp_path / str(seed), kind, ("ours", "good", "poor")[:systems], attention=checks, seed=seed)
        spoilt = Counter(one.damaged for one in study.questions.values() if one.damaged is not None)
        assert sum(spoilt.values()) == checks and len(spoilt) == systems
        assert max(spoilt.values()) - min(spoilt.values()) == checks % systems


@pytest.mark.parametrize("level", [0, 127])
def test_an_attention_check_whose_mask_is_empty_is_spoilt_all_over(tmp_path, level):
    folders = write_cases(tmp_path, 3)
    for number in range(3):
        Image.new("L", SIZE, level).save(tmp_path / f"case-{number}-mask.png")
    settings = StudySettings(kind="scores", attention=2)
    study = create_study(tmp_path / "study", read_cases(tmp_path / "cases.jsonl"), folders, settings)
    checks = [one for one in study.questions.values() if one.damaged is not None]
    assert len(checks) == 2
    for check in checks:
        spoilt = pixels(study.folder / check.pictures[0])
        sound = [pixels(folder / f"{check.case}.png") for folder in folders.values()]
        assert all((spoilt != picture).any(-1).mean() > 0.9 for picture in sound)


def test_no_aesthetics_are_asked_of_an_erasure(tmp_path):
    study = make_study(tmp_path, "scores")
    asked = {question.task: study.axes(question) for question in study.questions.values()}
    assert asked == {"editing": ("coherence", "structure", "aesthetics"), "erasing": ("coherence", "structure")}


def test_no_aesthetics_are_asked_of_an_erasure_in_a_joint_axis(tmp_path):
    study = make_study(tmp_path, "gsb", axes=("coherence", "structure & aesthetics", "structure", "aesthetics"))
    asked = {question.task: study.axes(question) for question in study.questions.values()}
    assert asked == {"editing": study.settings.axes, "erasing": ("coherence", "structure")}


def test_a_question_that_asks_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="aesthetics are not asked of an erasure; add an axis, or leave erasures out"):
        make_study(tmp_path, "scores", axes=("aesthetics",))
    assert not (tmp_path / "study").exists()


def test_no_cases_make_no_study(tmp_path):
    folders = write_cases(tmp_path, 1)
    with pytest.raises(ValueError, match="there are no cases to be shown"):
        create_study(tmp_path / "study", [], folders, StudySettings(kind="gsb"))
    assert not (tmp_path / "study").exists()


def test_what_is_missing_is_listed_and_nothing_is_written(tmp_path):
    folders = write_cases(tmp_path, 5)
    (folders["poor"] / "case-1.png").unlink()
    (folders["ours"] / "case-3.png").write_bytes(b"no picture")
    (tmp_path / "case-4-mask.png").unlink()
    cases, settings = read_cases(tmp_path / "cases.jsonl"), StudySettings(kind="gsb")
    with pytest.raises(
        ValueError, match=r"3 of 5 cases cannot be shown: case-1 \(poor: missing image, .*case-1\.png"
    ) as refused:
        create_study(tmp_path / "study", cases, folders, settings)
    assert "case-3 (ours: broken image" in str(refused.value) and "case-4 (the mask: missing image" in str(
        refused.value
    )
    assert not [path for path in tmp_path.iterdir() if "study" in path.name]
    study = create_study(tmp_path / "study", cases, folders, settings, skip_missing=True)
    assert {question.case for question in study.questions.values()} == {"case-0", "case-2"}
    assert list(open_study(study.folder).left_out) == ["case-1", "case-3", "case-4"]


def test_sizes_are_never_changed(tmp_path):
    folders = write_cases(tmp_path, 4)
    Image.new("RGB", (48, 32)).save(folders["poor"] / "case-2.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "case-1.jpg")
    cases = read_cases(tmp_path / "cases.jsonl")
    study = create_study(tmp_path / "study", cases, folders, StudySettings(kind="gsb"), skip_missing=True)
    assert study.left_out == {
        "case-1": "sizes differ, ours 24 x 16, poor 24 x 16, the input 20 x 10, the mask 24 x 16",
        "case-2": "sizes differ, ours 24 x 16, poor 48 x 32, the input 24 x 16, the mask 24 x 16",
    }
    sizes = {Image.open(study.folder / name).size for one in study.questions.values() for name in one.pictures}
    assert sizes == {SIZE}


def test_an_outpainting_is_larger_than_its_input_and_a_case_needs_no_input(tmp_path):
    folders = write_cases(tmp_path, 2)
    Image.new("RGB", (10, 10)).save(tmp_path / "small.png")
    rows = [{"id": "case-0", "task": "outpainting", "image": "small.png"}, {"id": "case-1", "prompt": "a tree"}]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = StudySettings(kind="scores", attention=1)
    study = create_study(tmp_path / "study", read_cases(tmp_path / "cases.jsonl"), folders, settings)
    shown = {question.case: (question.task, question.image is None) for question in study.questions.values()}
    assert shown == {"case-0": ("outpainting", False), "case-1": ("", True)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no cases"),
        ('{"id": "a"}\n{"id": "b"}\n{"id": "a"}', "holds a twice"),
        ('{"id": "a"}\n{"id"', "line 2: this is no JSON"),
        ('["a"]', "line 1: expected an object with an id"),
        ('{"id": "../a"}', "'../a' is no plain file name"),
        ('{"id": ".."}', "'..' is no plain file name"),
        ('{"id": ""}', "'' is no plain file name"),
        ('{"id": "a", "task": "painting"}', "the task is 'painting'; it must be one of editing, erasing, outpainting"),
    ],
)
def test_a_cases_file_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "cases.jsonl").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_cases(tmp_path / "cases.jsonl")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "gbs"}, "kind is 'gbs'; it must be one of gsb, scores, best-worst"),
        ({"kind": "gsb", "votes": 3, "raters": 2}, "votes is 3 with 2 raters"),
        ({"kind": "gsb", "attention": -1}, "attention is -1"),
        ({"kind": "gsb", "axes": ("a", "a")}, "they must differ"),
        ({"kind": "best-worst", "axes": ("a",)}, "best-worst takes none"),
    ],
)
def test_settings_that_contradict_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        StudySettings(**settings)


@pytest.mark.parametrize(
    ("kind", "systems", "attention", "words"),
    [
        ("gsb", ["ours"], 0, "1 systems for gsb, which needs 2 or more"),
        ("best-worst", ["ours", "poor"], 0, "2 systems for best-worst, which needs 3"),
        ("gsb", ["ours", "damaged"], 0, "no system may be called 'damaged'"),
        ("gsb", ["ours", "nowhere"], 0, "there is no folder .*nowhere"),
        ("gsb", ["ours", "poor"], 9, "9 attention checks for 4 questions"),
    ],
)
def test_systems_that_make_no_study_are_refused(tmp_path, kind, systems, attention, words):
    write_cases(tmp_path, 4)
    cases, folders = read_cases(tmp_path / "cases.jsonl"), {name: tmp_path / name for name in systems}
    with pytest.raises(ValueError, match=words):
        create_study(tmp_path / "study", cases, folders, StudySettings(kind=kind, attention=attention))
    assert not (tmp_path / "study").exists()


def test_a_study_is_made_once(tmp_path):
    make_study(tmp_path, "gsb")
    with pytest.raises(ValueError, match="exists; a study is made once"):
        make_study(tmp_path, "gsb")


def test_a_folder_that_is_no_study_or_names_other_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no study: it has no study\.json"):
        open_study(tmp_path)
    study = make_study(tmp_path, "gsb", count=2)
    questions = study.folder / "questions.jsonl"
    name = next(iter(study.questions.values())).pictures[0]
    questions.write_text(questions.read_text().replace(name, "../../secret.png"))
    with pytest.raises(ValueError, match=r"shows ../../secret.png, which is none of its pictures"):
        open_study(study.folder)
    head = json.loads((study.folder / "study.json").read_text())
    (study.folder / "study.json").write_text(json.dumps(head | {"format": 2}))
    with pytest.raises(ValueError, match="has the format 2; this version of byteedit reads 1"):
        open_study(study.folder)
