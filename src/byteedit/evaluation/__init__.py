"""How good is what comes out: benchmarks, systems that answer them, scores, the gold judge, studies with people.

Nothing here trains, and no training code may import it: a judge that was trained against is no judge.
"""

TASKS = ("editing", "erasing", "outpainting")
"""What an inpainting model is asked for, as the paper has it."""
