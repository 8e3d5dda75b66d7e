"""Systems that take things away and are told nothing: LaMa, and OpenCV's two classical fillers.

Their packages are not installed with byteedit. LaMa's fetches its weights, a TorchScript file of its authors, itself.
Sources: LaMa (arXiv 2109.07161) by simple-lama-inpainting; Telea 2004; Navier-Stokes (Bertalmio et al. 2001) by OpenCV.
"""

import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from byteedit.evaluation.benchmarks.case import EditCase
from byteedit.evaluation.systems.system import System
from byteedit.files import sha256

__all__ = ["open_lama", "open_navier_stokes", "open_telea"]


def open_lama(place: str | None, *, device: str = "cpu") -> System:
    """LaMa, where simple-lama-inpainting is installed; it takes its weights from LAMA_MODEL, or fetches them.

    Its settings tell the package's version, and the SHA-256 of LAMA_MODEL's file, or None where it fetched them.

    Raises:
        ValueError: it is not installed, or `place` is given.
    """
    _check_place("lama", place)
    try:
        from simple_lama_inpainting import SimpleLama
    except ModuleNotFoundError as error:  # one that is there and broken says so itself
        raise ValueError("lama needs a package: pip install simple-lama-inpainting.") from error
    lama = SimpleLama(device=torch.device(device))

    def edit(case: EditCase) -> np.ndarray:
        height, width = case.mask.shape
        mask = np.where(case.mask > 127, 255, 0).astype(np.uint8)
        made = lama(Image.fromarray(case.page), Image.fromarray(mask))
        return np.asarray(made.convert("RGB"))[:height, :width]  # it is padded below and on the right

    named = os.environ.get("LAMA_MODEL")
    settings = {"system": "lama", "simple-lama-inpainting": version("simple-lama-inpainting")}
    settings |= {"weights": sha256(Path(named)) if named else None}
    return System(settings=settings, edit=edit, tasks=("erasing",))


def open_telea(place: str | None, *, radius: int = 3) -> System:
    """OpenCV's fast marching fill; `radius` in pixels is how far around a pixel it looks."""
    return _open_opencv("telea", place, radius)


def open_navier_stokes(place: str | None, *, radius: int = 3) -> System:
    """OpenCV's fill that follows lines of equal brightness; `radius` as in `open_telea`."""
    return _open_opencv("navier-stokes", place, radius)


def _open_opencv(name: str, place: str | None, radius: int) -> System:
    _check_place(name, place)
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ValueError(f"{name} needs a package: pip install opencv-python-headless.") from error
    method = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[name]

    def edit(case: EditCase) -> np.ndarray:
        hole = (case.mask > 127).astype(np.uint8)
        return cv2.inpaint(case.page, hole, radius, method)

    settings = {"system": name, "radius": radius, "opencv": cv2.__version__}
    return System(settings=settings, edit=edit, tasks=("erasing",))


def _check_place(name: str, place: str | None) -> None:
    if place is not None:
        raise ValueError(f"{name} takes no model; it was given {place!r}.")
