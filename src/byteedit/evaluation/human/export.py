"""Answers as training data: of each best-worst answer the pair of best and worst, in the columns of D_aes.

`train.jsonl` and `validation.jsonl` name pictures beside them, so nothing is held in memory and no picture is stored
twice. A case is in one of the two only. A folder appears whole or not at all.
Source: ByteEdit (arXiv 2404.04860), experts pick the best and worst of four.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from byteedit.data.preferences import to_pairs
from byteedit.data.skipped import Skipped
from byteedit.evaluation.human.answers import Answer, latest, read_answers
from byteedit.evaluation.human.studies import Question, Study
from byteedit.evaluation.human.summary import trusted
from byteedit.files import new_folder

__all__ = ["export_pairs"]


def export_pairs(
    study: Study, output: str | Path, *, validation: float = 0.1, min_attention: float = 0.0, seed: int = 0
) -> dict[str, int]:
    """Write D_aes to the new folder `output`, for `byteedit.data.preferences.load`; gives the pairs of each split.

    Every rater's vote is a pair of its own, with `rater` in it. Attention checks are left out.

    Args:
        study: Of the kind best-worst.
        output: Must not exist yet.
        validation: Share of the cases, in (0, 1), that make the split `validation`.
        min_attention: As for `summarise`.
        seed: Of the choice of those cases.

    Raises:
        ValueError: the study is of another kind, `output` exists, a split would be empty, or there
            are no attention checks for `min_attention`.
    """
    output = Path(output)
    if study.settings.kind != "best-worst":
        raise ValueError(f"{study.folder} is a study of {study.settings.kind}; only best-worst makes training pairs.")
    if output.exists():
        raise ValueError(f"{output} exists; take another folder, or delete it.")
    kept, _ = trusted(study, latest(read_answers(study, Skipped())), min_attention)
    held_out = _hold_out(sorted({study.questions[answer.question].case for answer in kept}), validation, seed)
    rows = {"train": [], "validation": []}
    for answer in kept:
        question = study.questions[answer.question]
        rows["validation" if question.case in held_out else "train"] += _pairs(question, answer)
    with new_folder(output) as folder:
        _write(study, rows, folder)
    return {split: len(pairs) for split, pairs in rows.items()}


def _write(study: Study, rows: dict[str, list[dict]], folder: Path) -> None:
    (folder / "pictures").mkdir()
    for split, pairs in rows.items():
        for name in _pictures(pairs):
            shutil.copyfile(study.folder / name, folder / name)
        lines = (json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def _hold_out(cases: Sequence[str], share: float, seed: int) -> set[str]:
    count = max(1, round(share * len(cases)))
    if not 0 < share < 1 or count >= len(cases):
        raise ValueError(
            f"{len(cases)} cases with answers cannot be split with {share} for validation; the share must be between "
            "0 and 1, and a case must be left for either."
        )
    return set(np.random.default_rng(seed).permutation(cases)[:count].tolist())


def _pairs(question: Question, answer: Answer) -> list[dict]:
    row = {"prompt": question.prompt, "candidates": question.pictures}
    image = None if question.task == "outpainting" else question.image  # a row's pictures have one size
    row |= {"image": image, "mask": question.mask, "task": question.task}
    ends = {answer.value["best"]: 1.0, answer.value["worst"]: -1.0}
    scores = [ends.get(position, 0.0) for position in range(1, len(question.pictures) + 1)]
    return to_pairs(row, scores, rater=answer.rater)


def _pictures(pairs: Sequence[dict]) -> list[str]:
    """The files that pairs name, each once."""
    named = (pair[column] for pair in pairs for column in ("chosen", "rejected", "image", "mask"))
    return list(dict.fromkeys(name for name in named if name is not None))
