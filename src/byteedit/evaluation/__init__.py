"""How good is what comes out: benchmarks, systems that answer them, scores, the gold judge, studies with people.

Nothing here trains, and no training code may import it: a judge that was trained against is no judge.
"""
