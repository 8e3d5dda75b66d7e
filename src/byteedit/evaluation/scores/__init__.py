"""What answers are worth: by their pixels, by words, over whole sets, and by PictureBench's judge.

`opening.open_score("clip:MODEL")` opens a score by name; what is named here needs no model and loads no torch.
"""

from byteedit.evaluation.scores.picturebench import score, summarise
from byteedit.evaluation.scores.pixels import border_contrast, extra_contrast, pixel_scores, psnr, ssim_map

__all__ = ["border_contrast", "extra_contrast", "pixel_scores", "psnr", "score", "ssim_map", "summarise"]
