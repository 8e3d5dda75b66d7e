"""From scores of single cases to figures with 95 % intervals, and from figures to pages that people read.

What is named here is numbers and contact sheets, without any of the pages: the runs that reports are made of use it.
"""

from byteedit.evaluation.report.figures import Figure, contact_sheet, figures, mean, plain, rate, ratio

__all__ = ["Figure", "contact_sheet", "figures", "mean", "plain", "rate", "ratio"]
