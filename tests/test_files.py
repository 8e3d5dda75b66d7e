"""Files are written whole, lastingly and for all who may read them; a folder that takes none is found at once."""

import os
from pathlib import Path

import pytest

from byteedit.files import claim, make_writable, new_folder, write_atomically, write_json
from byteedit.training.loop import begin
from toy_training import fresh, settings_for  # noqa: F401


def test_writing_replaces_the_file_whole(tmp_path):
    write_atomically(tmp_path / "new" / "x.bin", b"one")
    write_atomically(tmp_path / "new" / "x.bin", b"two")
    assert (tmp_path / "new" / "x.bin").read_bytes() == b"two"
    assert os.listdir(tmp_path / "new") == ["x.bin"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "x.bin", b"one")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "x.bin", b"two")
    assert (tmp_path / "x.bin").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    file, synced = tmp_path / "x.bin", []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((os.fstat(handle).st_size, file.exists())))
    write_atomically(file, b"one")
    assert synced == [(3, False)]


def test_a_new_folder_appears_when_it_is_full_and_where_filling_it_fails_nothing_does(tmp_path):
    output = tmp_path / "above" / "new"
    with pytest.raises(IsADirectoryError), new_folder(output) as folder:
        folder.write_bytes(b"one")
    assert os.listdir(tmp_path) == []
    with new_folder(output) as folder:
        (folder / "x.bin").touch()
        assert not output.exists()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.bin")] == ["above/new/x.bin"]
    with pytest.raises(ValueError, match="exists already; name a new folder"), new_folder(output):
        pass


def test_notes_and_settings_that_say_nothing_are_no_other_settings(tmp_path):
    write_json(tmp_path / "run.json", {"seed": 0, "versions": ["1"]})
    claim(tmp_path, {"seed": 0, "limit": None}, "run.json", ("versions",))
    with pytest.raises(ValueError, match="was begun with other settings: limit was None, is 2"):
        claim(tmp_path, {"seed": 0, "limit": 2}, "run.json", ("versions",))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_a_file_is_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "x.bin", b"one")
    finally:
        os.umask(before)
    assert (tmp_path / "x.bin").stat().st_mode & 0o777 == mode


def test_a_folder_that_takes_no_files_is_said_before_anything_is_done():
    nowhere = Path("/proc")  # where even root writes none
    with pytest.raises(ValueError, match="nothing can be written to /proc"):
        make_writable(nowhere)
    with pytest.raises(ValueError, match="nothing can be written to /proc"):
        begin(settings_for(nowhere), cpu=True)
