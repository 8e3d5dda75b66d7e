"""The discriminator's rows: answers and true pictures, alike but for what they show."""

import sys
from pathlib import Path

import numpy as np

import byteedit
from byteedit.evaluation.picturebench import cases

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "picturebook"))


def test_true_pictures_are_decoded_where_answers_are(monkeypatch):
    import content

    monkeypatch.setattr(content, "ANSWERS", ((1, 1.0, 1.0), (2, 1.0, 0.5)))
    pipe = byteedit.ByteEditInpaintPipeline.from_pretrained(byteedit.PICTUREBOOK)
    pipe.set_progress_bar_config(disable=True)
    [case] = cases("editing", "train", 1)
    rows = content.make([case], pipe)
    inside = case.mask > 127
    assert len(rows) == 4
    for answer, true in zip(rows[::2], rows[1::2], strict=True):
        assert np.array_equal(np.asarray(answer["mask"]) > 127, inside)
        assert not np.asarray(true["mask"]).any()
        shown = np.asarray(true["image"])
        assert np.array_equal(shown[~inside], case.picture[~inside])
        assert 0 < np.abs(shown[inside].astype(int) - case.picture[inside]).mean() < 12
        assert np.array_equal(np.asarray(answer["image"])[~inside], case.image[~inside])
    assert not np.array_equal(np.asarray(rows[0]["image"]), np.asarray(rows[2]["image"]))
