"""What the builder of candidates for D_aes refuses, before it claims its folder: the corrected command then works."""

import pytest
from datasets import Dataset

from byteedit import ByteEditInpaintPipeline
from test_build_data import aesthetic, cache, painter, settings  # noqa: F401
from toy_rows import png


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompts": "nowhere.txt"}, "nowhere.txt"),
        ({"models": ("./nowhere",)}, "nowhere"),
        ({"encoder": "./nowhere", "share": 0.5}, "nowhere"),
        ({"share": 0.0}, "share is 0.0; it must be above 0 and at most 1"),
    ],
)
def test_a_mistake_leaves_the_folder_to_the_corrected_command(aesthetic, settings, wrong, words):  # noqa: F811
    with pytest.raises((OSError, ValueError), match=words):
        aesthetic.main(settings(**wrong))
    made = settings()
    assert not made.output.exists()
    aesthetic.main(made)
    assert (made.output / "shard-000000.parquet").is_file()


@pytest.mark.parametrize(
    ("columns", "missing"), [(None, "image and no mask"), (["image"], "mask"), (["mask"], "image")]
)
def test_inpainting_without_pictures_is_refused_up_front(aesthetic, settings, parts, tmp_path, columns, missing):  # noqa: F811
    ByteEditInpaintPipeline(**parts()).save_pretrained(tmp_path / "ours")
    made = settings(models=(str(tmp_path / "ours"),))
    if columns:
        rows = {"prompt": ["a boat"]} | {name: [{"bytes": png((9, 9, 9)), "path": None}] for name in columns}
        Dataset.from_dict(rows).to_parquet(tmp_path / "rows.parquet")
        made = settings(models=made.models, prompts=str(tmp_path / "rows.parquet"))
    with pytest.raises(
        ValueError, match=rf"ours inpaint, but .* has no column {missing}; name text-to-image pipelines"
    ):
        aesthetic.main(made)
    assert not made.output.exists()
