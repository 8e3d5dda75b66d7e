"""What can be told from pixels alone: was anything changed that should not be, how near is the truth, does a seam show.

Everything is measured on 8-bit pixels at the picture's own size. numpy only.
Source of SSIM: Wang et al., Image quality assessment (2004); a Gaussian window of 11 x 11 pixels, sigma 1.5.
"""

import numpy as np

from byteedit.evaluation.benchmarks.case import EditCase

__all__ = ["border_contrast", "extra_contrast", "outside", "pixel_scores", "psnr", "ssim_map"]

CEILING = 60.0  # dB: what an exact match is given
SIGMA, REACH = 1.5, 5  # pixels: of SSIM's window, and how far it goes to each side
STABLE = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def pixel_scores(case: EditCase, image: np.ndarray) -> dict[str, float]:
    """All that is measured on the pixels of `image` (H, W, 3) uint8, the answer to `case`.

    `changed`: the share of the pixels outside the mask that are not exactly the picture's. `psnr.unmasked` and
    `ssim.unmasked` there. `seam`: the contrast across the mask's border. Where the right answer is known, `seam_true`,
    the same in that, and `psnr.masked` and `ssim.masked` inside. What there are no pixels for is left out.
    """
    mask, found = case.mask, {}
    kept, inside = mask == 0, mask > 127
    if kept.any():
        page = case.page
        found["changed"] = float((image != page).any(-1)[kept].mean())
        found |= _near(outside(case, image), page, kept, "unmasked")
    if inside.any() and not inside.all():
        found["seam"] = border_contrast(image, mask)
    if case.reference is not None and inside.any():
        truth = case.reference
        found |= _near(image, truth, inside, "masked")
        found |= {"seam_true": border_contrast(truth, mask)} if "seam" in found else {}
    return found


def outside(case: EditCase, image: np.ndarray) -> np.ndarray:  # (H, W, 3) uint8
    """An answer with the picture itself under the mask, so that windows that reach there see no difference."""
    return np.where((case.mask == 0)[..., None], image, case.page)


def _near(image: np.ndarray, truth: np.ndarray, where: np.ndarray, name: str) -> dict[str, float]:
    here = np.where(where, 255, 0)
    return {f"psnr.{name}": psnr(image, truth, here), f"ssim.{name}": float(ssim_map(image, truth)[where].mean())}


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over the pixels inside `mask` (H, W), all channels alike; at most 60."""
    difference = image[mask > 127].astype(float) - truth[mask > 127]
    error = float((difference**2).mean())
    return min(10 * np.log10(255**2 / error), CEILING) if error else CEILING


def ssim_map(image: np.ndarray, truth: np.ndarray) -> np.ndarray:  # (H, W), at most 1
    """How alike two pictures (H, W, 3) uint8 are in structure around each pixel, the mean over channels."""
    x, y = image.astype(float), truth.astype(float)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    bright = (2 * mean_x * mean_y + STABLE[0]) / (mean_x**2 + mean_y**2 + STABLE[0])
    return (bright * (2 * covariance + STABLE[1]) / (var_x + var_y + STABLE[1])).mean(-1)


def _blur(values: np.ndarray) -> np.ndarray:  # (H, W, C)
    """The mean around each pixel under SSIM's window; beyond its edges the picture is mirrored."""
    weights = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
    for axis in (0, 1):
        padded = np.pad(values, [(REACH, REACH) if n == axis else (0, 0) for n in range(3)], mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis)
        values = windows @ (weights / weights.sum())
    return values


def border_contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference (0..255, over channels) of all pairs of neighbours of which one lies inside the mask.

    Neighbours share an edge.
    """
    image, inside = image.astype(np.float32), mask > 127
    across = np.abs(np.diff(image, axis=1)).mean(-1)[inside[:, 1:] != inside[:, :-1]]
    down = np.abs(np.diff(image, axis=0)).mean(-1)[inside[1:] != inside[:-1]]
    return float(np.concatenate([across, down]).mean())


def extra_contrast(contrast: float, true: float) -> float:
    """The seam: by how many levels a border has more contrast than in the true picture.

    0 where it has no more; so an edge of the true picture that is missing makes up for no seam elsewhere.
    """
    return max(contrast - true, 0.0)
