"""The command line without a model: help, versions, wrong usage, exit codes, and one line for each error."""

import subprocess
import sys
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import byteedit
from byteedit.cli import EXTRAS, execute, main
from byteedit.commands.command import Command


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A folder with photo.png and mask.png, and the mask as masks/photo.png, which is the current one."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "green").save("photo.png")
    (tmp_path / "masks").mkdir()
    for name in ("mask.png", "masks/photo.png"):
        Image.new("L", (40, 30), 255).save(name)
    return tmp_path


def complaint(capsys, line: str) -> tuple[int, str]:
    """Exit code and stderr of a command that fails."""
    code = main(line.split())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("byteedit: ")
    assert err.count("\n") == 1, "an error is one line"
    return code, err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"byteedit {byteedit.__version__}\n"


@pytest.mark.parametrize("line", ["", "--help"])
def test_help_names_every_command(capsys, line):
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(
        f"• {command} " in out for command in ("edit", "erase", "outpaint", "demo", "score", "train", "convert", "env")
    )


def test_help_says_what_each_option_means(capsys):
    with pytest.raises(SystemExit):
        main(["edit", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "IMAGE ... Pictures, of any size and mode." in out
    assert "--mask-from-alpha Generate where the picture itself is transparent." in out
    assert "(default: a random one, recorded in the result)" in out
    assert "None" not in out


def test_help_s_usage_has_what_was_given_already(capsys):
    with pytest.raises(SystemExit):
        main(["train", "pefl", "preset.yaml", "--help"])
    assert "usage: byteedit train [-h] {reward,inpaint,pefl,fast} PRESET " in capsys.readouterr().out


def test_help_loads_no_torch():
    code = (
        "import sys; from byteedit.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_runs_as_an_installed_command():
    from importlib.metadata import entry_points

    [entry] = entry_points(group="console_scripts", name="byteedit")
    assert entry.load() is main


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("paint", "there is no command paint; perhaps outpaint? there are edit, erase, outpaint, app,"),
        ("esit photo.png", "there is no command esit; perhaps edit? there are edit, erase,"),
        ("study make x", "there is no command study make; there are create, serve, report, export."),
        ("edit photo.png --sead 1", "there is no option --sead; perhaps --seed?"),
        ("edit photo.png --mask_image m.png --num-inference-steps 3", "--mask-image; perhaps --mask?; there is no opt"),
        ("edit photo.png --num-inference-steps=3", "there is no option --num-inference-steps; perhaps --steps?"),
        ("edit photo.png --wings 3", "there is no option --wings; `byteedit edit --help` lists all."),
        ("study create x --raterss 3", "there is no option --raterss; perhaps --raters?"),
        ("train pefl preset.yaml --steps 2", "train has no option --steps; give it as --set steps=2."),
        ("train pefl preset.yaml --batch-size=2 --debug", "give it as --set batch_size=2."),
        ("demo again", "Unrecognized options: again"),
        ("edit photo.png --seed x", "Error parsing --seed"),
        ("edit photo.png --seed", "Missing value for argument '--seed'"),
        ("edit photo.png --dtype int8", "invalid choice 'int8' for argument '--dtype'"),
        ("edit --output out.png", "no picture given; name one"),
        ("edit --mask mask.png photo.png --output out.png", "no picture given; name pictures before --mask"),
        ("edit photo.png --mask mask.png", "--output is missing"),
        ("edit photo.png --output out.png", "either --mask FILE or --mask-from-alpha"),
        ("edit photo.png --mask mask.png --mask-from-alpha --output o.png", "either --mask FILE or --mask-from-alpha"),
        ("edit photo.png --mask mask.png mask.png --output o.png", "2 masks for 1 pictures"),
        ("edit photo.png --mask mask.png --output out.jpg", "byteedit writes PNG, which keeps every pixel"),
        ("edit photo.png --mask mask.png --output photo.png", "would overwrite the input photo.png"),
        ("edit photo.png --mask mask.png --output mask.png", "would overwrite the input mask.png"),
        ("edit photo.png --mask masks/photo.png --output masks", "would overwrite the input masks/photo.png"),
        ("demo --count 0", "--count is 0; it must be 1 or more"),
        ("erase photo.png photo.png --mask mask.png --output mask.png", "several pictures need a folder"),
        ("erase photo.png ./photo.png --mask mask.png --output out", "two pictures have the same name"),
        (
            "erase mask.png photo.png masks/photo.png --mask mask.png --output out",
            "name, photo.png and masks/photo.png, ",
        ),
        ("erase photo.png mask.png --mask mask.png --output r.png", "several pictures need a folder; --output is r.pn"),
        ("edit photo.png --mask mask.png --output o.png --num-images 0", "--num-images is 0; it must be 1 or more"),
        ("outpaint photo.png --output out.png", "Give one of --left/--right/--top/--bottom, --size or --aspect-ratio"),
        ("outpaint photo.png --output out.png --left 3 --size 9x9", "how far? Give one of"),
        ("outpaint photo.png --output out.png --size 9", "it must be WIDTHxHEIGHT in pixels, such as 1024x768"),
        ("score --reward folder", "no picture given"),
        ("score photo.png --reward a/b --reward a/b", "two rewards have the same name"),
        ("edit --replay photo.png --steps 3", "--replay takes everything from the PNG's record"),
    ],
)
def test_wrong_usage_exits_with_2(photo, capsys, line, words):
    code, err = complaint(capsys, line)
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edit nowhere.png --mask mask.png --output out.png", "there is no file nowhere.png"),
        ("edit photo.png --mask nowhere.png --output out.png", "there is no file nowhere.png"),
        ("edit masks --mask mask.png --output out.png", "masks is a folder; name its pictures, such as masks/*.jpg"),
        ("edit photo.png --mask masks --output out.png", "masks is a folder; name its pictures, such as masks/*.jpg"),
        ("score photo.png masks", "masks is a folder; name its pictures, such as masks/*.jpg"),
        ("score nowhere.png", "there is no file nowhere.png"),
        ("edit text.txt --mask mask.png --output out.png", "text.txt cannot be read as a picture"),
        ("edit broken.png --mask mask.png --output out.png", "broken.png cannot be read as a picture"),
        ("edit photo.png --mask-from-alpha --output out.png", "photo.png has no alpha channel (its mode is RGB)"),
        ("edit photo.png --mask small.png --output out.png", "small.png is 9 x 9 pixels, photo.png 40 x 30; make the"),
        ("outpaint photo.png --size 30x30 --output out.png", "smaller than the picture"),
        (
            "outpaint wide.png photo.png --size 45x30 --output out",
            "wide.png: size is 45 x 30, smaller than the picture",
        ),
        ("outpaint photo.png wide.png --size 50x30 --output out", "wide.png: The picture has that size already"),
        ("outpaint photo.png --left -5 --output out.png", "are (-5, 0, 0, 0); give whole numbers"),
        ("edit --replay photo.png", "photo.png carries no byteedit record"),
        ("edit --replay text.txt", "text.txt is no picture; --replay needs a PNG"),
        ("edit --replay nowhere.png", "nowhere.png"),
    ],
)
def test_failure_exits_with_1_before_any_model_is_loaded(photo, capsys, line, words):
    (photo / "text.txt").write_text("hello")
    Image.new("RGB", (50, 30)).save("wide.png")
    Image.new("L", (9, 9), 255).save("small.png")
    (photo / "broken.png").write_bytes((photo / "photo.png").read_bytes()[:60])
    code, err = complaint(capsys, line)
    assert code == 1
    assert words in err
    assert not (photo / "out.png").exists()


@dataclass(frozen=True, kw_only=True)
class Counts(Command):
    """A command that needs more than byteedit itself does."""

    def run(self):
        import scipy.stats  # noqa: F401


def test_a_package_that_is_missing_is_named_with_its_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert execute(Counts()) == 1
    assert capsys.readouterr().err.endswith("; install what this needs: pip install 'byteedit[eval]'.\n")


def test_every_package_of_an_extra_is_known():
    read = ConfigParser()
    read.read(Path(__file__).parents[1] / "setup.cfg")
    extras = read["options.extras_require"]
    imported = {"yaml": "pyyaml", "sklearn": "scikit-learn", "cv2": "opencv-python-headless"}
    for extra, packages in EXTRAS.items():
        assert all(imported.get(package, package) in extras[extra] for package in packages), extra


def test_debug_shows_the_traceback(photo):
    with pytest.raises(ValueError, match="no file nowhere"):
        main(["edit", "nowhere.png", "--mask", "mask.png", "--output", "out.png", "--debug"])


def test_env_names_what_a_bug_report_needs(capsys):
    assert main(["env"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"python", "torch", "diffusers", "transformers", "devices"} <= set(lines)
    assert lines["byteedit"] == byteedit.__version__
    assert "cpu with" in lines["devices"]
