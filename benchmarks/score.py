"""Time to score 64 pictures one at a time over the time in batches, in alternation.

    python benchmarks/score.py --rewards .runs/rewards --rounds 15 --record

Prints the ratio of the times of all three rewards together, as the median over pairs with a bootstrap interval of 95 %.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from byteedit.picturebook import scene
from byteedit.rewards.opening import open_reward
from edit import measure
from results import filing

PICTURES = 64
FIRST_SEED = 5_000_000


def main() -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rewards", type=Path, required=True, help="folder of aesthetic, alignment and coherence")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--record", action="store_true", help="keep the figure in docs/results.json")
    options = parser.parse_args()
    rewards = [open_reward(str(options.rewards / name)) for name in ("aesthetic", "alignment", "coherence")]
    pages = [scene(FIRST_SEED + n, "validation") for n in range(PICTURES)]
    images, prompts = [Image.fromarray(page.render()) for page in pages], [page.caption for page in pages]

    def alone() -> None:
        for reward in rewards:
            for image, prompt in zip(images, prompts, strict=True):
                reward.score([image], [prompt])

    def together() -> None:
        for reward in rewards:
            reward.score(images, prompts)

    ratio = measure(lambda: seconds(alone), lambda: seconds(together), options.rounds)
    command = f"python benchmarks/score.py --rewards {options.rewards} --rounds {options.rounds} --record"
    filing(options.record, command)("bench.score.batch_ratio", *ratio, options.rounds)


def seconds(work: Callable[[], None]) -> float:
    """Wall time of one go."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
