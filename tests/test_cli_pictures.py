"""The command line with tiny random weights: files of every mode, seeds, LoRAs, records and replays."""

import logging.handlers
import shlex

import numpy as np
import PIL.ImageOps
import pytest
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor

from byteedit.cli import main
from byteedit.provenance import read_record


def byteedit(line: str) -> None:
    """Run one command that must succeed."""
    assert main(shlex.split(line)) == 0


def pixels(path) -> np.ndarray:
    """A picture file's values."""
    return np.asarray(Image.open(path))


def last_line(capsys) -> str:
    """The last line on stdout."""
    return capsys.readouterr().out.splitlines()[-1]


EDIT = "edit photo.png --mask mask.png --model model --prompt 'a red boat' --output out.png"


def test_edit_changes_the_mask_and_nothing_else(folder, capsys):
    byteedit(f"{EDIT} --seed 3")
    before, after, masked = pixels("photo.png"), pixels("out.png"), pixels("mask.png") > 0
    assert np.array_equal(before[~masked], after[~masked])
    assert (before[masked] != after[masked]).any()
    assert last_line(capsys).startswith("out.png: ")


def test_the_last_line_counts_the_pixels_that_were_compared(folder, capsys):
    byteedit(f"{EDIT} --seed 3")
    kept = int((pixels("mask.png") == 0).sum())
    assert f" s, {kept:,} unmasked pixels verified unchanged, seed 3" in last_line(capsys)


def test_the_same_seed_gives_the_same_picture_and_another_another(folder):
    byteedit(f"{EDIT} --seed 3")
    byteedit(EDIT.replace("out.png", "again.png") + " --seed 3")
    byteedit(EDIT.replace("out.png", "other.png") + " --seed 4")
    assert np.array_equal(pixels("out.png"), pixels("again.png"))
    assert not np.array_equal(pixels("out.png"), pixels("other.png"))


def test_it_equals_the_pipeline_called_from_python(folder, pipe):
    import torch

    byteedit(f"{EDIT} --seed 3 --steps 3 --guidance-scale 2 --negative-prompt grass")
    expected = pipe(
        prompt="a red boat",
        negative_prompt="grass",
        image=Image.open("photo.png"),
        mask_image=Image.open("mask.png"),
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.array_equal(pixels("out.png"), np.asarray(expected))


def test_variations_are_the_next_seeds(folder, capsys):
    byteedit(f"{EDIT} --seed 3 --num-images 2")
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("2 pictures in .: ")
    assert "out-2.png (2 of 2): " in err
    byteedit(EDIT.replace("out.png", "single.png") + " --seed 4")
    assert np.array_equal(pixels("out-2.png"), pixels("single.png"))
    assert not np.array_equal(pixels("out-1.png"), pixels("out-2.png"))
    assert read_record(folder / "out-2.png").settings["seed"] == 4


def test_several_pictures_go_to_a_folder(folder, scene):
    scene(40, 90, seed=5)[0].save("tall.png")
    scene(40, 90, seed=5)[1].save("tall-mask.png")
    byteedit("erase photo.png tall.png --mask mask.png tall-mask.png --model model --output out")
    assert pixels("out/photo.png").shape == (50, 70, 3)
    assert pixels("out/tall.png").shape == (90, 40, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_mode_is_verified_unchanged_outside_the_mask(folder, mode):
    name = "in.tiff" if mode == "CMYK" else "in.png"
    photo = Image.open("photo.png")
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    photo.convert(mode).save(name) if mode != "I;16" else photo.save(name)
    byteedit(f"erase {name} --mask mask.png --model model --output out.png --seed 1")
    came = {"P": "RGB", "1": "L", "CMYK": "RGB"}.get(mode, mode)
    out = Image.open("out.png")
    assert out.mode == came
    kept = pixels("mask.png") == 0
    source = Image.open(name)
    before = np.asarray(source if source.mode == came else source.convert(came))
    assert np.array_equal(before[kept], np.asarray(out)[kept])


def test_a_turned_photo_comes_out_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open("photo.png").save("turned.jpg", exif=exif)
    upright = PIL.ImageOps.exif_transpose(Image.open("turned.jpg"))
    mask = Image.new("L", (50, 70))
    mask.paste(255, (10, 10, 30, 30))
    mask.save("tall-mask.png")
    byteedit("erase turned.jpg --mask tall-mask.png --model model --output out.png")
    kept = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(upright)[kept], pixels("out.png")[kept])


def test_the_colour_profile_is_kept(folder):
    Image.open("photo.png").save("tagged.png", icc_profile=b"a profile")
    byteedit("erase tagged.png --mask mask.png --model model --output out.png")
    assert Image.open("out.png").info["icc_profile"] == b"a profile"


def test_the_mask_may_be_the_alpha_channel(folder):
    photo = Image.open("photo.png").convert("RGBA")
    photo.putalpha(PIL.ImageOps.invert(Image.open("mask.png")))
    photo.save("cut.png")
    byteedit("erase cut.png --mask-from-alpha --model model --output alpha.png --seed 1")
    byteedit("erase photo.png --mask mask.png --model model --output mask-file.png --seed 1")
    assert np.array_equal(pixels("alpha.png"), pixels("mask-file.png"))


@pytest.mark.parametrize(
    ("options", "size", "corner"),
    [
        ("--left 6 --top 4", (76, 54), (6, 4)),
        ("--size 90x60", (90, 60), (10, 5)),
        ("--size 90x60 --anchor top-left", (90, 60), (0, 0)),
        ("--aspect-ratio 2:1 --anchor left", (100, 50), (0, 0)),
    ],
)
def test_outpaint_keeps_the_picture_where_it_says(folder, capsys, options, size, corner):
    byteedit(f"outpaint photo.png {options} --model model --output out.png --seed 2")
    out = Image.open("out.png")
    assert out.size == size
    kept = out.crop((*corner, corner[0] + 70, corner[1] + 50))
    assert np.array_equal(np.asarray(kept), pixels("photo.png"))
    assert "3,500 unmasked pixels verified unchanged" in last_line(capsys)


def test_colours_of_16_bits_are_said_to_lose_some(folder):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(6 * 70) for _ in range(50))
    header = struct.pack(">IIBBBBB", 70, 50, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.warns(UserWarning, match=r"photo\.png has colours or alpha of 16 bits, of which the upper 8 are kept"):
        byteedit(f"{EDIT} --seed 3")


def test_a_result_with_changed_pixels_is_not_written(folder):
    from byteedit.commands.work import verify

    photo, mask = Image.open("photo.png"), Image.open("mask.png")
    good = (folder / "photo.png").read_bytes()
    assert verify(photo, mask, good, (0, 0)) == int((np.asarray(mask) == 0).sum())
    changed = photo.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save("changed.png")
    with pytest.raises(RuntimeError, match="1 unmasked pixels changed, so nothing was written"):
        verify(photo, mask, (folder / "changed.png").read_bytes(), (0, 0))


def test_why_a_safety_checker_makes_a_result_black_is_said(folder, pipe):
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    tower |= {"image_size": 32, "patch_size": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=tower, projection_dim=8))
    checker.concept_embeds_weights.data.fill_(-2)  # every cosine is above
    pipe.register_modules(safety_checker=checker, feature_extractor=CLIPImageProcessor(size=32, crop_size=32))
    pipe.save_pretrained("strict")
    said = logging.handlers.BufferingHandler(9)
    logger = logging.getLogger(StableDiffusionSafetyChecker.__module__)
    logger.addHandler(said)
    byteedit(EDIT.replace("--model model", "--model strict"))
    logger.removeHandler(said)
    assert [record.getMessage()[:22] for record in said.buffer] == ["Potential NSFW content"]
    assert not pixels("out.png")[pixels("mask.png") > 250].any()


def test_a_stranger_s_model_is_an_error_in_words(folder, capsys):
    assert main(shlex.split(EDIT.replace("--model model", "--model ./nowhere"))) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not (folder / "out.png").exists()


def test_demo_writes_three_sheets_and_one_number(folder, capsys):
    byteedit("demo --model model --count 1 --output sheets")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"sheets/{task}.png" for task in ("editing", "erasing", "outpainting")]
    assert "dB close to the true background; 3 pictures in" in lines[3]
    assert all(pixels(line).std() > 10 for line in lines[:3])
