"""Wall time of an edit: 20 steps with guidance over the accelerated 8 and 4 steps without, in alternation in one run.

    python benchmarks/fast.py --rounds 25 --record --plot docs/images/latency.png

One picture at a time, two threads. Prints each ratio as the median over pairs with a bootstrap interval of 95 %, and
where the milliseconds of each kind of edit go: text encoder, encoder, UNet, decoder, and the rest (reading, pasting).
LoRAs are fused, as `byteedit edit` does it. `--plot` draws the time against the number of steps (extra `docs`).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch

import byteedit
from byteedit.commands.opening import add_loras, open_pipeline
from edit import editor, measure, scene
from results import filing, median

PARTS = ("text_encoder", "vae.encoder", "unet", "vae.decoder")
STEPS = (1, 2, 4, 8, 12, 16, 20)  # of the plot


def main() -> None:
    """Measure, print and, if asked, record and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loras", type=Path, default=Path(byteedit.LORAS), help="folder with fast8 and fast4")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of edits")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="file of a plot of the time against steps")
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipes = {"20cfg": open_pipeline("picturebook")}
    for steps in (8, 4):
        pipes[str(steps)] = open_pipeline("picturebook")
        add_loras(pipes[str(steps)], (str(options.loras / f"fast{steps}"),))
    file = filing(options.record, f"python benchmarks/fast.py --rounds {options.rounds} --record")
    edits = {name: edit_of(pipe) for name, pipe in pipes.items()}
    for name in ("8", "4"):
        ratio = measure(edits["20cfg"], edits[name], options.rounds)
        file(f"bench.edit.time_20cfg_over_{name}", *ratio, options.rounds)
    for name, pipe in pipes.items():
        for part, found in split(pipe, edits[name], options.rounds).items():
            file(f"bench.edit_ms.{name}.{part}", *found, options.rounds)
    if options.plot:
        plot(pipes, options.plot)


def edit_of(pipe, **call) -> Callable[[], float]:
    """An edit by what the pipeline recommends, but for `call`; says the seconds that it took."""
    return editor(pipe, *scene(pipe.unet.config.sample_size * pipe.vae_scale_factor), "cpu", call)


def split(pipe, edit: Callable[[], float], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Where the milliseconds of an edit go: the median of each part, of the rest and of the whole, with intervals."""
    taken, hooks = dict.fromkeys(PARTS, 0.0), []
    for name in PARTS:
        part = attrgetter(name)(pipe)
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: add(taken, name, -time.perf_counter())))
        hooks.append(part.register_forward_hook(lambda *_, name=name: add(taken, name, time.perf_counter())))
    rows = []
    for _ in range(rounds):
        taken.update(dict.fromkeys(PARTS, 0.0))
        whole = edit()
        rows.append([*taken.values(), whole - sum(taken.values()), whole])
    for hook in hooks:
        hook.remove()
    columns = 1000 * np.array(rows).T
    return {name: median(column) for name, column in zip((*PARTS, "rest", "whole"), columns, strict=True)}


def add(taken: dict[str, float], name: str, seconds: float) -> None:
    taken[name] += seconds


def plot(pipes: dict, output: Path) -> None:
    """Seconds of an edit against steps, with guidance and without; the accelerated models as points."""
    import matplotlib.pyplot as plt

    scales = {"with guidance": None, "without guidance": 1.0}
    edits = {
        (label, steps): edit_of(pipes["20cfg"], num_inference_steps=steps, guidance_scale=scale)
        for label, scale in scales.items()
        for steps in STEPS
    }
    edits |= {(f"fast{name}", int(name)): edit_of(pipes[name]) for name in ("8", "4")}
    times = typical(edits)
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for label in scales:
        axis.plot(STEPS, [times[label, steps] for steps in STEPS], marker="o", markersize=3, label=label)
    for name in ("8", "4"):
        point = int(name), times[f"fast{name}", int(name)]
        axis.plot(*point, "k*", markersize=10)
        axis.annotate(f"fast{name}", point, (6, -10), textcoords="offset points")
    axis.set(xlabel="steps", ylabel="seconds an edit", ylim=(0, None))
    axis.legend()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)
    print(output)


def typical(edits: dict[tuple, Callable[[], float]], times: int = 9) -> dict[tuple, float]:
    """The median seconds of each edit, all in turn, after a round that warms up."""
    rounds = [{name: edit() for name, edit in edits.items()} for _ in range(times + 1)][1:]
    return {name: statistics.median(each[name] for each in rounds) for name in edits}


if __name__ == "__main__":
    main()
