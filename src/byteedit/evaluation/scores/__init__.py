"""What answers are worth: by their pixels, by words, over whole sets, and by PictureBench's judge.

`opening.open_score("clip:MODEL")` opens a score by name, `picturebench.judged` asks the judge; what is named here are
formulas on pixels, which need no model.
"""

from byteedit.evaluation.scores.pixels import border_contrast, extra_contrast, pixel_scores, psnr, ssim_map

__all__ = ["border_contrast", "extra_contrast", "pixel_scores", "psnr", "ssim_map"]
