"""Systems by name: ours as ever, baselines against slow twins, folders of answers, and what is missing said plainly."""

import hashlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline
from diffusers.utils import logging
from PIL import Image

from byteedit.evaluation import TASKS
from byteedit.evaluation.benchmarks import EditCase, asking, open_benchmark
from byteedit.evaluation.naming import parse
from byteedit.evaluation.picturebench import cases
from byteedit.evaluation.systems import SYSTEMS, answer_to, answers, open_system
from toy_benchmarks import SIZE, mask, picture, write_editbench, write_outpainting


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """diffusers says that DiffEdit is no longer maintained, and that there is no safety checker."""
    logging.set_verbosity_error()
    yield
    logging.set_verbosity_warning()


@pytest.fixture
def model(pipe, tmp_path):
    """A checkpoint of tiny random weights with a UNet of 9 channels, for 64 x 64 pixels."""
    pipe.save_pretrained(tmp_path / "nine")
    return tmp_path / "nine"


@pytest.fixture
def plain(parts, tmp_path):
    """The same with 4 channels: a text-to-image model."""
    from byteedit import ByteEditInpaintPipeline

    ByteEditInpaintPipeline(**parts(4), num_inference_steps=2, guidance_scale=3.0).save_pretrained(tmp_path / "four")
    return tmp_path / "four"


@pytest.fixture
def case(scene):
    """An edit of a picture of 80 x 56 pixels."""
    image, mask = (np.asarray(picture) for picture in scene(80, 56, box=(24, 8, 56, 40)))
    return EditCase(
        id="one",
        task="editing",
        seed=3,
        read_page=lambda: image,
        read_mask=lambda: mask,
        prompts={"full": "a red boat on the lake"},
    )


def outside(case, image) -> np.ndarray:
    """How far an answer is from the picture where nothing was asked for, pixel by pixel, in levels."""
    return np.abs(image.astype(int) - case.page)[case.mask == 0]


def test_ours_is_what_answers_gives_on_picturebench(model, pipe):
    system = open_system(f"byteedit:{model},steps=1,guidance_scale=1.5")
    for task in TASKS:
        [found] = open_benchmark(f"picturebench,task={task},number=1")
        [expected] = answers(pipe, cases(task)[:1], num_inference_steps=1, guidance_scale=1.5)
        assert np.array_equal(answer_to(system, found), expected)
    assert system.settings["model"] == str(model)
    assert (system.settings["num_inference_steps"], system.settings["guidance_scale"]) == (1, 1.5)


def test_ours_keeps_what_is_outside_the_mask_to_the_bit_and_baselines_do_not(model, case):
    assert outside(case, answer_to(open_system(f"byteedit:{model},steps=1"), case)).max() == 0
    assert outside(case, answer_to(open_system(f"sd-inpaint:{model},steps=1"), case)).max() > 0
    assert outside(case, answer_to(open_system(f"sd-inpaint:{model},steps=1,paste=yes"), case)).max() == 0


def test_sd_inpaint_is_diffusers_own(model, case):
    stock = StableDiffusionInpaintPipeline.from_pretrained(model)
    stock.set_progress_bar_config(disable=True)
    picture = Image.fromarray(case.page).resize((64, 64), Image.Resampling.LANCZOS)
    mask = Image.fromarray(case.mask).resize((64, 64), Image.Resampling.NEAREST)
    options = {"num_inference_steps": 2, "guidance_scale": 3.0, "generator": torch.Generator().manual_seed(3)}
    made = stock("a red boat on the lake", picture, mask, height=64, width=64, **options).images[0]
    expected = np.asarray(made.resize((80, 56), Image.Resampling.LANCZOS))
    assert np.array_equal(answer_to(open_system(f"sd-inpaint:{model},steps=2,guidance_scale=3"), case), expected)


@torch.no_grad()
def blended_slowly(pipe, picture: Image.Image, mask: Image.Image, steps: int, guidance: float) -> np.ndarray:
    """Blended latent diffusion step by step, one UNet call at a time, as its authors' script has it."""
    image = torch.tensor(np.asarray(picture)).float().permute(2, 0, 1)[None] / 127.5 - 1
    inside = torch.tensor(np.asarray(mask.resize((32, 32), Image.Resampling.NEAREST)) > 127).float()
    words = [
        pipe.text_encoder(pipe.tokenizer([text], padding="max_length", max_length=16, return_tensors="pt").input_ids)[0]
        for text in ("", "a red boat on the lake")
    ]
    source = pipe.vae.encode(image).latent_dist.mean * pipe.vae.config.scaling_factor
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(source.shape, generator=generator)
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps[steps // 4 :]:
        without, with_words = (pipe.unet(latents, t, encoder_hidden_states=text).sample for text in words)
        latents = scheduler.step(without + guidance * (with_words - without), t, latents).prev_sample
        noised = scheduler.add_noise(source, torch.randn(source.shape, generator=generator), t)
        latents = inside * latents + (1 - inside) * noised
    made = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[0].permute(1, 2, 0)
    return ((made / 2 + 0.5).clamp(0, 1).numpy() * 255).round().astype(np.uint8)


def test_bld_is_its_authors_loop(plain, parts, case):
    from byteedit import ByteEditInpaintPipeline

    picture = Image.fromarray(case.page).resize((64, 64), Image.Resampling.LANCZOS)
    mask = Image.fromarray(case.mask).resize((64, 64), Image.Resampling.NEAREST)
    expected = blended_slowly(ByteEditInpaintPipeline.from_pretrained(plain), picture, mask, steps=8, guidance=4.0)
    found = answer_to(open_system(f"bld:{plain},steps=8,guidance_scale=4"), case)
    back = np.asarray(Image.fromarray(expected).resize((80, 56), Image.Resampling.LANCZOS))
    assert np.abs(found.astype(int) - back).max() <= 1
    assert outside(case, found).mean() > 0


def test_an_inpainting_unet_imagines_as_one_that_is_told_that_all_is_masked(model, pipe):
    from byteedit.evaluation.systems.baselines import imagine
    from byteedit.evaluation.systems.ours import open_pipeline

    told = open_pipeline(str(model))
    imagine(told)
    sample, text, t = torch.randn(2, 4, 32, 32), torch.randn(2, 16, 16), torch.tensor(500)
    grey = pipe.vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean * pipe.vae.config.scaling_factor
    full = torch.cat([sample, torch.ones(2, 1, 32, 32), grey.repeat(2, 1, 1, 1)], 1)
    with torch.no_grad():
        expected = pipe.unet(full, t, encoder_hidden_states=text).sample
        assert torch.equal(told.unet(sample, t, encoder_hidden_states=text).sample, expected)


def test_an_outpainting_with_a_mask_of_its_own_is_grey_where_to_generate(model, tmp_path):
    white = 255 - mask()
    [case] = open_benchmark(f"userbench:{write_outpainting(tmp_path / 'pairs', white)}")
    assert (case.box, case.reference) == ((6, 4, 18, 14), None)
    assert case.extension == {"left": 6, "top": 4, "right": 30, "bottom": 26}
    assert np.array_equal(case.image, picture(0)[4:14, 6:18])
    assert np.array_equal(case.page, np.where(white[..., None] > 0, np.uint8(128), picture(0)))
    assert outside(case, answer_to(open_system(f"byteedit:{model},steps=1"), case)).max() == 0


@pytest.mark.parametrize("white", [mask(), 255 - mask() - mask(20, 6, 24, 18), np.full(SIZE, 255, np.uint8)])
def test_an_outpainting_that_keeps_no_rectangle_is_for_systems_that_see_the_page(model, tmp_path, white):
    [case] = open_benchmark(f"userbench:{write_outpainting(tmp_path / 'pairs', white)}")
    assert set(np.unique(case.page[white > 0])) == {128}
    with pytest.raises(ValueError, match="one is an outpainting, but what its mask keeps is no rectangle"):
        answer_to(open_system(f"byteedit:{model},steps=1"), case)
    assert answer_to(open_system(f"sd-inpaint:{model},steps=1"), case).std() > 1


def test_an_outpainting_s_mask_of_another_size_is_said_so(tmp_path):
    [case] = open_benchmark(f"userbench:{write_outpainting(tmp_path, (255 - mask())[:30])}")
    with pytest.raises(ValueError, match="one: the picture is 48 x 40 pixels, the mask 48 x 30"):
        _ = case.page


@pytest.mark.parametrize("mask", ["given", "found"])
def test_diffedit_edits_with_a_mask_that_is_given_or_found(plain, case, mask):
    system = open_system(f"diffedit:{plain},steps=4,guidance_scale=2,mask={mask}")
    found = answer_to(system, case)
    assert np.array_equal(answer_to(system, case), found)
    assert found.std() > 1
    assert system.settings["mask"] == mask


def test_bld_and_diffedit_take_an_inpainting_checkpoint_too(model, case):
    for name in ("bld", "diffedit"):
        system = open_system(f"{name}:{model},steps=4")
        assert answer_to(system, case).shape == (56, 80, 3)
        assert system.tasks == ("editing",)


def test_a_folder_s_answers_are_taken_as_they_are(tmp_path, case):
    (tmp_path / "system.json").write_text(json.dumps({"system": "someone's editor", "version": "3.1"}))
    pixels = np.random.default_rng(0).integers(0, 256, (56, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    system = open_system(f"folder:{tmp_path}")
    assert np.array_equal(answer_to(system, case), pixels)
    assert (system.settings["system"], system.settings["version"]) == ("someone's editor", "3.1")
    Image.fromarray(pixels).resize((40, 28)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match=r"one.png is 40 x 28 pixels, the case 80 x 56; add resize=lanczos"):
        answer_to(system, case)
    resized = open_system(f"folder:{tmp_path},resize=lanczos")
    assert answer_to(resized, case).shape == (56, 80, 3)
    assert resized.settings["resize"] == "lanczos"


def test_an_answer_that_is_missing_is_named(tmp_path):
    (tmp_path / "system.json").write_text("{}")
    bench = open_benchmark("picturebench,task=erasing,number=3")
    Image.new("RGB", (128, 128)).save(tmp_path / "erasing-001.png")
    with pytest.raises(ValueError, match=r"has no erasing-000.png"):
        answer_to(open_system(f"folder:{tmp_path}"), bench[0])


def test_a_folder_must_say_what_made_it(tmp_path):
    with pytest.raises(ValueError, match=r"has no system.json; write one that says what made its pictures"):
        open_system(f"folder:{tmp_path}")
    (tmp_path / "system.json").write_text('["x"]')
    with pytest.raises(ValueError, match=r"system.json is no JSON object"):
        open_system(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "package", "module"),
    [
        ("lama", "simple-lama-inpainting", "simple_lama_inpainting"),
        ("telea", "opencv-python-headless", "cv2"),
        ("navier-stokes", "opencv-python-headless", "cv2"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, name, package, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=f"{name} needs a package: pip install {package}"):
        open_system(name)
    with pytest.raises(ValueError, match=f"{name} takes no model; it was given 'x'"):
        open_system(f"{name}:x")


def test_lama_s_answer_is_cut_to_the_picture_s_size(tmp_path, monkeypatch, scene):
    pytest.importorskip("simple_lama_inpainting")

    class Half(torch.nn.Module):
        """In the place of LaMa's file: fills with half grey."""

        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return image * (1 - mask) + 0.5 * mask

    torch.jit.script(Half()).save(str(tmp_path / "half.pt"))
    monkeypatch.setenv("LAMA_MODEL", str(tmp_path / "half.pt"))
    page, mask = (np.asarray(picture) for picture in scene(45, 37))
    case = EditCase(id="one", task="erasing", seed=0, read_page=lambda: page, read_mask=lambda: mask)
    found = answer_to(open_system("lama"), case)
    assert set(np.unique(found[mask > 0])) == {127}
    assert outside(case, found).max() <= 1  # the package rounds down


def test_lama_s_settings_tell_its_version_and_its_weights(tmp_path, monkeypatch):
    """Nothing is filled, so an empty package that calls itself 9.8.7 will do."""
    told = tmp_path / "simple_lama_inpainting-9.8.7.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: simple-lama-inpainting\nVersion: 9.8.7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "simple_lama_inpainting", SimpleNamespace(SimpleLama=lambda device: None))
    monkeypatch.delenv("LAMA_MODEL", raising=False)
    fetched = {"system": "lama", "simple-lama-inpainting": "9.8.7", "weights": None}
    assert open_system("lama").settings == fetched
    (tmp_path / "own.pt").write_bytes(b"weights")
    monkeypatch.setenv("LAMA_MODEL", str(tmp_path / "own.pt"))
    assert open_system("lama").settings == fetched | {"weights": hashlib.sha256(b"weights").hexdigest()}


@pytest.mark.parametrize("name", ["telea", "navier-stokes"])
def test_opencv_goes_on_with_the_background(name):
    pytest.importorskip("cv2")
    [case] = open_benchmark("picturebench,task=erasing,number=1")
    system = open_system(f"{name},radius=5")
    found = answer_to(system, case)
    assert outside(case, found).max() == 0
    closer = np.abs(found.astype(int) - case.reference).mean() / np.abs(case.page.astype(int) - case.reference).mean()
    assert closer < 0.5
    assert system.tasks == ("erasing",)


def test_systems_can_be_asked_for_another_kind_of_prompt(tmp_path):
    found = open_benchmark(f"editbench:{write_editbench(tmp_path)}")
    assert asking(found, "rich")[0].prompt == "a big, old cat-material-indoor"
    assert asking(found, None)[0].prompt == found[0].prompt
    with pytest.raises(ValueError, match="has no poor prompt; it has full, simple, rich"):
        asking(found, "poor")
    assert asking(open_benchmark("picturebench,task=erasing,number=1"), "full")[0].prompt is None


def test_an_unknown_system_is_told_which_there_are():
    with pytest.raises(ValueError, match="no system called 'adobe'; there are byteedit, sd-inpaint, bld"):
        open_system("adobe")
    assert set(SYSTEMS) >= {"emilie", "diffedit", "lama", "telea", "navier-stokes", "folder"}


def test_names_are_parsed():
    assert parse("telea") == ("telea", None, {})
    assert parse("byteedit:C:/a,b/c,steps=8,lora=x:0.7") == ("byteedit", "C:/a,b/c", {"steps": "8", "lora": "x:0.7"})
    with pytest.raises(ValueError, match="gives an option twice"):
        parse("a:b,c=1,c=2")
