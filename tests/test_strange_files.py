"""Files by strangers, on which a run, a command or a report rests: they write nowhere else, and errors name them."""

import pytest

from byteedit.evaluation.benchmarks import open_benchmark
from byteedit.evaluation.runs import RunSettings, evaluate
from toy_benchmarks import write_brushbench, write_editbench


@pytest.mark.parametrize("name", ["/../../escaped", "\\..\\escaped", "a\0b"])
def test_a_case_s_id_leads_to_no_other_folder(tmp_path, name):
    (tmp_path / "bench").mkdir()
    file = write_editbench(tmp_path / "bench") / "annotations_natural.csv"
    file.write_text(file.read_text().replace("cat-material-indoor,", f"{name},"))
    bench = f"editbench:{tmp_path / 'bench'},white=generate"
    with pytest.raises(ValueError, match=r"has a case called 'natural-.*, no plain file name; give it one"):
        evaluate(RunSettings(benchmark=bench, systems=("telea",), output=tmp_path / "run"))
    assert not list(tmp_path.rglob("*escaped*")) and not list(tmp_path.glob("run/*/*"))


def test_other_benchmarks_ids_are_checked_too(tmp_path):
    mapping = write_brushbench(tmp_path) / "mapping_file.json"
    mapping.write_text(mapping.read_text().replace('"000000017": {', '"..": {'))
    with pytest.raises(ValueError, match=r"has a case called '\.\.', no plain file name"):
        open_benchmark(f"brushbench:{tmp_path}")


def test_an_id_may_begin_with_dots_and_hold_blanks(tmp_path):
    mapping = write_brushbench(tmp_path) / "mapping_file.json"
    mapping.write_text(mapping.read_text().replace('"000000017": {', '"..a boat/.": {'))
    assert [case.id for case in open_benchmark(f"brushbench:{tmp_path}")] == ["000000001", "..a boat-."]
