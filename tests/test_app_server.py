"""The editor's server, asked by programs: its one endpoint, what it refuses, what it leaves on the disk, its docs."""

import base64
import importlib.util
import io
import os
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import byteedit
from byteedit.cli import main
from byteedit.provenance import read_record
from conftest import write_inputs
from toy_editor import running

pytest.importorskip("gradio")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with model/, tiny random weights, and the server's own temporary folder."""
    folder = tmp_path_factory.mktemp("editor")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    yield folder
    os.environ.pop("GRADIO_TEMP_DIR")
    if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture
def address(folder, pipe, scene, monkeypatch):
    """The address of a running editor, in a folder with photo.png and mask.png."""
    monkeypatch.chdir(folder)
    write_inputs(pipe, scene)
    with running(model=str(folder / "model"), megapixels=1, megabytes=1, device="cpu") as address:
        yield address


def client_of(address):
    """A program's connection."""
    from gradio_client import Client

    return Client(address, verbose=False)


def left_on_disk(folder) -> list[Path]:
    """Files of pictures that the server keeps."""
    return [path for path in (folder / "gradio").rglob("*.png") if path.is_file()]


def test_a_program_gets_the_command_line_s_picture_with_its_record(address, folder):
    from gradio_client import handle_file

    client = client_of(address)
    path = client.predict(
        image=handle_file("photo.png"),
        mask=handle_file("mask.png"),
        prompt="a red boat",
        task="edit",
        seed=3,
        api_name="/make",
    )
    line = "edit photo.png --mask mask.png --model model --seed 3 --output o.png --prompt 'a red boat'"
    assert main(shlex.split(line)) == 0
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open("o.png")))
    record = read_record(Path(path))
    assert record.settings["prompt"] == "a red boat"
    assert "photo.png" in record.inputs
    assert len(left_on_disk(folder)) == 1  # the answer; the uploads are gone
    client.close()


def test_calls_that_overlap_keep_each_other_s_uploads_and_results(address, folder):
    from gradio_client import handle_file

    client, photo = client_of(address), handle_file("photo.png")
    asked = {"image": photo, "mask": handle_file("mask.png"), "prompt": "", "api_name": "/make"}
    paths = [job.result() for job in [client.submit(seed=seed, **asked) for seed in (1, 2, 3)]]
    assert [read_record(Path(path)).settings["seed"] for path in paths] == [1, 2, 3]
    left = {path.name for path in left_on_disk(folder)}
    assert left == {Path(path).name for path in paths}  # nothing but answers
    for path in left_on_disk(folder):
        os.utime(path.parent, (0, 0))  # results that have lain there for long, while others come
    for job in [client.submit(seed=seed, **asked) for seed in (4, 5, 6)]:
        assert Path(job.result()).is_file()
    alone = client.predict(image=photo, mask=photo, prompt="", task="edit", api_name="/make")  # one file as both
    assert Image.open(alone).size == (70, 50)
    client.close()


def test_outpainting_and_errors_in_words(address):
    from gradio_client import handle_file

    client = client_of(address)
    photo = handle_file("photo.png")
    path = client.predict(image=photo, task="outpaint", left=10, mask=None, prompt="", seed=3, api_name="/make")
    assert Image.open(path).size == (80, 50)
    with pytest.raises(Exception, match="The mask is missing; give one of the picture's size"):
        client.predict(image=photo, mask=None, prompt="", api_name="/make")
    Path("no.png").write_text("no picture")
    with pytest.raises(Exception, match="cannot be read as a picture"):
        client.predict(image=handle_file("no.png"), mask=None, prompt="", api_name="/make")


def test_an_address_is_not_followed(address):
    file = {"path": "http://127.0.0.1:9/photo.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(Exception, match="an address is not followed"):
        client_of(address).predict(image=file, mask=None, prompt="", task="outpaint", left=8, api_name="/make")


def test_a_path_on_the_server_is_not_read(address, folder, monkeypatch):
    monkeypatch.setattr("gradio_client.client.Endpoint._upload_file", lambda self, file, data_index: file)
    file = {"path": str(folder / "photo.png"), "meta": {"_type": "gradio.FileData"}}  # a picture that could be edited
    with pytest.raises(Exception, match=r"not uploaded|verbose error reporting|Cannot move"):
        client_of(address).predict(image=file, mask=None, prompt="", task="outpaint", left=8, api_name="/make")
    assert (folder / "photo.png").is_file()


def test_only_one_endpoint_is_for_programs(address):
    named = client_of(address).view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/make"]
    parameters = [parameter["parameter_name"] for parameter in named["/make"]["parameters"]]
    assert parameters[:4] == ["image", "mask", "prompt", "task"]


def test_the_client_snippet_of_the_docs_runs(address, capsys):
    page = (ROOT / "docs" / "app.md").read_text()
    [snippet] = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "gradio_client" in code]
    exec(snippet.replace("http://127.0.0.1:7860", address), {})
    assert Image.open("edited.png").size == (70, 50)
    assert read_record(Path("edited.png")).command == "edit"


def test_the_handler_answers_as_the_docs_say(address, folder):
    spec = importlib.util.spec_from_file_location("handler", ROOT / "spaces" / "byteedit" / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler = module.EndpointHandler(str(folder / "model"))
    page = (ROOT / "docs" / "app.md").read_text()
    [snippet] = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if '"inputs"' in code]
    names = {"ask": handler}
    exec(snippet, names)
    answer = Image.open(io.BytesIO(base64.b64decode(names["answer"]["image"])))
    assert answer.size == (70, 50)
    alone = {"image": names["data"]["inputs"]["image"]}
    assert handler({"inputs": alone})["error"].startswith("The mask is missing")
    assert handler({"inputs": "a boat"})["error"].startswith("`inputs` must be an object with an image in base64")
    assert handler({"inputs": alone, "parameters": {"stpes": 2}})["error"].startswith("'stpes' is not known; there are")
    for inputs, parameters, error in [
        ({"image": 123}, {}, "image is 123; give text."),
        ({"image": "no base64!"}, {}, "image is not base64; give a file's bytes in it."),
        (alone, {"seed": [1]}, "seed is [1]; give a number."),
        (alone, {"steps": float("nan")}, "steps is nan; give a number."),
        (alone, {"seed": True}, "seed is True; give a number."),
        (alone, {"seed": "--3"}, "seed is '--3'; give a number."),
        (alone, {"shape": 5}, "shape is 5; give text."),
        (alone, {"guidance_scale": 10**400}, f"guidance_scale is {str(10**400)[:80]}; give a number."),
        (alone, {"left": 10**400}, f"left is {str(10**400)[:80]}; give a number."),
    ]:
        assert handler({"inputs": inputs, "parameters": parameters}) == {"error": error}
    address = {name: f"data:image/png;base64,{names['data']['inputs'][name]}" for name in ("image", "mask")}
    for seed in (2**60 + 1, str(2**60 + 1), 3.0):
        assert module.number("seed", seed) == int(seed) and isinstance(module.number("seed", seed), int)
    assert "error" in handler({"inputs": address, "parameters": [1]})
    assert "error" in handler([1])
    assert "image" in handler({"inputs": address, "parameters": {"shape": None, "anchor": None, "guidance_scale": 3}})
    made, same = (handler({"inputs": address, "parameters": {"seed": seed}})["image"] for seed in (3, "3"))
    assert made == same
    painted = Image.merge("RGBA", [Image.new("L", (70, 50), 255)] * 3 + [Image.open("mask.png")])
    buffer = io.BytesIO()
    painted.save(buffer, "PNG")
    clear = address | {"mask": base64.b64encode(buffer.getvalue()).decode()}
    assert handler({"inputs": clear, "parameters": {"seed": 3}})["image"] == made  # what is opaque of it counts


@pytest.mark.parametrize("space", ["byteedit", "feedback"])
def test_a_space_names_the_versions_that_it_is_tested_with(space):
    page = (ROOT / "spaces" / space / "README.md").read_text()
    assert re.search(r"^sdk_version: (.*)$", page, re.MULTILINE)[1] == version("gradio")
    assert re.search(r'^python_version: "(.*)"$', page, re.MULTILINE)[1] == "3.12"  # of ZeroGPU's 3.10 and 3.12
    needed = (ROOT / "spaces" / space / "requirements.txt").read_text().splitlines()
    assert needed == [f"byteedit[app]=={byteedit.__version__}"]  # gradio and spaces are the platform's


def test_numbers_that_may_be_left_out_are_words():
    from byteedit.app.events import number

    assert [number("Steps", text) for text in (None, "", " ", "20")] == [None, None, None, 20]
    assert number("Guidance", "2.5", float) == 2.5
    for text in ("many", "-1", "2.5"):
        with pytest.raises(ValueError, match=f"Seed is '{text}'; give a whole number from 0 on, or leave it empty"):
            number("Seed", text)
    with pytest.raises(ValueError, match="Steps is '0'; give a whole number from 1 on, or leave it empty"):
        number("Steps", "0", least=1)
    with pytest.raises(ValueError, match="Guidance is 'nan'; give a number"):
        number("Guidance", "nan", float)


def test_the_page_begins_with_what_the_command_line_takes():
    from byteedit.app.events import Events
    from byteedit.app.settings import Settings

    assert Events(Settings(model="mine")).own_lora() == "none"
    events = Events(Settings())
    assert (events.own_lora(), events.loras()) == ("default", ["boost", "fast4", "fast8"])
    chosen = "", 1, "", "", "picturebook"
    assert events._common(*chosen, "default", 0.5)["lora"] == ("fast4:0.5",)
    assert events._common(*chosen, "default", 1.0, outpaint=True)["lora"] == ("fast8:1",)
    assert events._common(*chosen, "fast4", 1.0, outpaint=True)["lora"] == ("fast4:1",)
    assert events._common(*chosen, "none", 1.0)["lora"] == ()
