"""How good is what comes out: PictureBench, its gold judge, scores and reports.

Nothing here trains, and no training code may import it: a judge that was trained against is no judge.
"""
