"""Fill the tables in README.md and docs/ from docs/results.json, so that no figure is ever typed.

A table stands between `<!-- table:PREFIX -->` and `<!-- /table -->` and shows the results whose keys start with PREFIX;
`<!-- grid:PREFIX -->` makes a row of all results of each thing that is named after PREFIX, such as a variant, and says
n where others of the column have more. With a star the name stands elsewhere: `grid:table1.*.editing`.
`python docs/tables.py` writes the files; with `--check` it only says which are stale, and fails if any is.
A result is `{value, low, high, n, command, commit}`; low and high bound the 95 % interval, null where there is none.
"""

import json
import re
import sys
from pathlib import Path

from byteedit.evaluation.report.grids import WORDS

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- (?P<kind>table|grid):(?P<prefix>[^ ]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
PAGES = ("README.md", "docs/*.md", "src/byteedit/assets/*/README.md")

BASELINES = ("bld", "diffedit", "emilie", "lama", "navier-stokes", "sd-inpaint", "telea")  # stand below what is ours

# What the end of a key means, in words, and how its value is written.
MEANINGS = {
    "editing.right": ("Editing: kind and colour right", "{:.1%}"),
    "editing.class": ("Editing: kind right", "{:.1%}"),
    "editing.colour": ("Editing: colour right", "{:.1%}"),
    "editing.right_seen": ("Editing: right, in combinations of the training", "{:.1%}"),
    "editing.right_heldout": ("Editing: right, in combinations never trained on", "{:.1%}"),
    "editing.seam": ("Editing: seam, in levels of 255 (0 = none)", "{:.2f}"),
    "erasing.psnr": ("Erasing: PSNR in the mask, in dB", "{:.1f}"),
    "erasing.no_object": ("Erasing: no object found there", "{:.1%}"),
    "erasing.seam": ("Erasing: seam, in levels of 255 (0 = none)", "{:.2f}"),
    "outpainting.psnr": ("Outpainting without prompt: PSNR of the background, in dB", "{:.1f}"),
    "outpainting.found": ("Outpainting with prompt: the named object found", "{:.1%}"),
    "outpainting.seam": ("Outpainting: seam, in levels of 255 (0 = none)", "{:.2f}"),
    "outpainting.overall": ("Outpainting: overall", "{:.1%}"),
    "outpainting.structure_aesthetics": ("Outpainting: structure and aesthetics", "{:.1%}"),
    "outpainting.coherence": ("Outpainting: coherence", "{:.1%}"),
    "outpainting.alignment": ("Outpainting: alignment", "{:.1%}"),
    "outpainting.right_gained": ("Outpainting: more found", "{:+.1%}"),
    "outpainting.seam_less": ("Outpainting: less seam, in levels", "{:+.2f}"),
    "editing.overall": ("Editing: overall", "{:.1%}"),
    "editing.structure_aesthetics": ("Editing: structure and aesthetics", "{:.1%}"),
    "editing.coherence": ("Editing: coherence", "{:.1%}"),
    "editing.alignment": ("Editing: alignment", "{:.1%}"),
    "editing.right_gained": ("Editing: more right", "{:+.1%}"),
    "editing.seam_less": ("Editing: less seam, in levels", "{:+.2f}"),
    "erasing.overall": ("Erasing: overall", "{:.1%}"),
    "erasing.structure_aesthetics": ("Erasing: structure", "{:.1%}"),
    "erasing.coherence": ("Erasing: coherence", "{:.1%}"),
    "erasing.alignment": ("Erasing: nothing there", "{:.1%}"),
    "erasing.right_gained": ("Erasing: more empty", "{:+.1%}"),
    "erasing.seam_less": ("Erasing: less seam, in levels", "{:+.2f}"),
    "fresh.fast8.pixel_auc": ("Fresh discriminator: area under the curve, 8 steps", "{:.4f}"),
    "fresh.fast4.pixel_auc": ("... 4 steps", "{:.4f}"),
    "fresh.boost20.pixel_auc": ("... boosted, 20 steps", "{:.4f}"),
    "fresh.fast8-vs-boost20.pixel_auc_less": ("... how much less at 8 steps than at 20", "{:.4f}"),
    "fresh.fast8-vs-fast4.pixel_auc_less": ("... how much less at 8 steps than at 4", "{:.4f}"),
    "first_paint": ("First paint of the editor, in seconds", "{:.2f}"),
    "first_preview": ("From Edit to the first preview, in seconds", "{:.2f}"),
    "picture": ("From Edit to the picture, in seconds", "{:.2f}"),
    "requests_elsewhere": ("Requests to other hosts, a visit", "{:.0f}"),
    "judge.true_right": ("Judge says right: true pictures", "{:.1%}"),
    "judge.noisy_right": ("... with noise", "{:.1%}"),
    "judge.compressed_right": ("... compressed", "{:.1%}"),
    "judge.blurred_right": ("... blurred", "{:.1%}"),
    "judge.extended_right": ("... true outpaintings", "{:.1%}"),
    "judge.empty_right": ("Judge says right, wrongly: empty region", "{:.1%}"),
    "judge.unedited_right": ("... unedited picture", "{:.1%}"),
    "judge.unfilled_right": ("... region left grey", "{:.1%}"),
    "judge.wrong_colour_right": ("... the wrong colour", "{:.1%}"),
    "judge.wrong_class_right": ("... the wrong kind", "{:.1%}"),
    "judge.disc_right": ("... a disc of the right colour", "{:.1%}"),
    "judge.flooded_right": ("... a region flooded with the right colour", "{:.1%}"),
    "judge.smeared_right": ("... the thing smeared", "{:.1%}"),
    "judge.shuffled_right": ("... the thing's pixels shuffled", "{:.1%}"),
    "judge.unextended_right": ("... an outpainting without the thing", "{:.1%}"),
    "judge.unerased_found": ("Judge finds something: pictures not erased", "{:.1%}"),
    "judge.erased_found": ("Judge finds something, wrongly: truly erased pictures", "{:.1%}"),
    "aesthetic.pair_accuracy": ("Aesthetic: best against worst answer, 0.3 marks or more apart, told", "{:.1%}"),
    "aesthetic.pair_accuracy.editing": ("... of edits", "{:.1%}"),
    "aesthetic.pair_accuracy.erasing": ("... of erasures", "{:.1%}"),
    "aesthetic.pair_accuracy.outpainting": ("... of outpaintings", "{:.1%}"),
    "aesthetic.pair_accuracy.held_out": ("... asked for combinations never trained on", "{:.1%}"),
    "aesthetic.pair_accuracy.jpeg75": ("... as JPEG of quality 75", "{:.1%}"),
    "aesthetic.pair_accuracy.three_quarters": ("... at three quarters of the size", "{:.1%}"),
    "aesthetic.pair_accuracy.double": ("... at double the size", "{:.1%}"),
    "aesthetic.pair_accuracy.every_two_apart": ("Every two answers to a case, 0.3 marks or more apart, told", "{:.1%}"),
    "aesthetic.pair_accuracy.every_two": ("... however near their marks", "{:.1%}"),
    "aesthetic.calibration_error": ("Calibration error of best and worst", "{:.3f}"),
    "aesthetic.calibration_error.by_chance": ("... what perfect calibration would show by chance", "{:.3f}"),
    "aesthetic.overconfidence": ("... mean certainty less share told", "{:+.3f}"),
    "alignment.pair_accuracy": ("Alignment: of two captions, the one that fits told", "{:.1%}"),
    "alignment.pair_accuracy.kind": ("... another kind", "{:.1%}"),
    "alignment.pair_accuracy.colour": ("... another colour", "{:.1%}"),
    "alignment.pair_accuracy.size": ("... another size", "{:.1%}"),
    "alignment.pair_accuracy.place": ("... another place", "{:.1%}"),
    "alignment.pair_accuracy.poor": ("... a poor caption", "{:.1%}"),
    "alignment.pair_accuracy.new": ("... a fitting caption that no training pair has", "{:.1%}"),
    "alignment.pair_accuracy.jpeg75": ("... as JPEG of quality 75", "{:.1%}"),
    "alignment.pair_accuracy.three_quarters": ("... at three quarters of the size", "{:.1%}"),
    "alignment.pair_accuracy.double": ("... at double the size", "{:.1%}"),
    "alignment.calibration_error": ("Calibration error", "{:.3f}"),
    "alignment.calibration_error.by_chance": ("... what perfect calibration would show by chance", "{:.3f}"),
    "alignment.overconfidence": ("... mean certainty less share told", "{:+.3f}"),
    "coherence.pixel_auc": ("Coherence: real against generated pixels, area under the curve", "{:.3f}"),
    "coherence.pixel_auc.editing": ("... in edits", "{:.3f}"),
    "coherence.pixel_auc.erasing": ("... in erasures", "{:.3f}"),
    "coherence.pixel_auc.outpainting": ("... in outpaintings", "{:.3f}"),
    "coherence.pixel_auc.jpeg75": ("... as JPEG of quality 75", "{:.3f}"),
    "coherence.pixel_auc.three_quarters": ("... at three quarters of the size", "{:.3f}"),
    "coherence.pixel_auc.double": ("... at double the size", "{:.3f}"),
    "coherence.false_alarms": ("Pixels of untouched pictures that it takes for generated", "{:.1%}"),
    "score.batch_ratio": ("Time to score 64 pictures one at a time over the time in batches", "{:.2f}"),
    "sd15_step.peak_gb": ("Peak memory, in GB", "{:.1f}"),
    "edit_ms.50cfg": ("An edit in 50 steps with guidance, in milliseconds", "{:.0f}"),
    "edit_ms.20cfg": ("... in 20 steps with guidance", "{:.0f}"),
    "edit_ms.8": ("... in 8 steps without", "{:.0f}"),
    "edit_ms.4": ("... in 4 steps without", "{:.0f}"),
    "edit_20cfg_over_8": ("Time in 20 steps with guidance over 8 without", "{:.2f}"),
    "edit_20cfg_over_4": ("... over 4 without", "{:.2f}"),
    "edit_peak_gb": ("Peak memory of an edit, in GB", "{:.1f}"),
    "step_s.ours": ("A step of feedback learning, forward and backward, in seconds", "{:.2f}"),
    "step_s.refl": ("... as ReFL", "{:.2f}"),
    "sd15_gpu.refl_over_ours": ("Time of ReFL's step over ours", "{:.2f}"),
    "step_peak_gb.ours": ("Peak memory of our step, in GB", "{:.1f}"),
    "step_peak_gb.refl": ("... of ReFL's", "{:.1f}"),
    "refl_over_ours.phase1": ("Processor time of ReFL's step over ours, phase 1", "{:.2f}"),
    "refl_over_ours.phase1_two_points": ("... for each of two gradient points a rollout", "{:.2f}"),
    "backward_peak_ratio": ("Peak memory picture by picture over all at once", "{:.2f}"),
    "time_20cfg_over_8": ("Time of an edit, 20 steps with guidance over the accelerated 8", "{:.2f}"),
    "time_20cfg_over_4": ("... over the accelerated 4", "{:.2f}"),
    "pasted.after_1": ("Drift in levels, pixels pasted: after 1 edit", "{:.2f}"),
    "pasted.after_10": ("... after 10 edits", "{:.2f}"),
    "latents.after_1": ("Latents that go from edit to edit: after 1 edit", "{:.2f}"),
    "latents.after_10": ("... after 10 edits", "{:.2f}"),
    "decoded.after_1": ("Pixels as they are decoded: after 1 edit", "{:.2f}"),
    "decoded.after_10": ("... after 10 edits", "{:.2f}"),
    "text_encoder": ("Text", "{:.1f}"),
    "vae.encoder": ("Encoder", "{:.1f}"),
    "unet": ("UNet", "{:.1f}"),
    "vae.decoder": ("Decoder", "{:.1f}"),
    "rest": ("Rest", "{:.1f}"),
    "whole": ("Whole", "{:.1f}"),
    "ratio_to_diffusers.20": ("Time of an edit over diffusers' time, 20 steps each", "{:.2f}"),
    "ratio_to_diffusers.8": ("Time of an edit over diffusers' time, 8 steps each", "{:.2f}"),
}


def main(arguments: list[str]) -> int:
    """Write or, with --check, compare every page; returns the exit code."""
    results = load_results(ROOT / "docs" / "results.json")
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    stale = {path: filled for path in pages if (filled := fill(path.read_text(), results)) != path.read_text()}
    for path, filled in stale.items():
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is stale: run `make docs`")
        else:
            path.write_text(filled)
            print(f"{path.relative_to(ROOT)} renewed")
    return 1 if stale and "--check" in arguments else 0


def load_results(path: Path) -> dict[str, dict]:
    """All results by key; none where nothing was measured yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def fill(page: str, results: dict[str, dict]) -> str:
    """A page with every table made anew."""
    kinds = {"table": table, "grid": grid}
    return BLOCK.sub(lambda block: block[1] + kinds[block["kind"]](block["prefix"], results) + block[4], page)


def table(prefix: str, results: dict[str, dict]) -> str:
    """A Markdown table of the results under a prefix, and how they were measured."""
    chosen = {key: result for key, result in results.items() if key == prefix or key.startswith(f"{prefix}.")}
    if not chosen:
        return "*Not measured yet.*\n"
    rows = [row(key, key.removeprefix(f"{prefix}."), result) for key, result in in_order(chosen)]
    lines = ["| | value | 95 % interval | n |", "|---|---:|:---:|---:|", *rows, "", source(chosen)]
    return "\n".join(lines) + "\n"


def grid(prefix: str, results: dict[str, dict]) -> str:
    """A Markdown table of the results under a prefix, a row for each thing that is named after it, or for its star."""
    before, _, after = (prefix if "*" in prefix else f"{prefix}.*").partition("*")
    pattern = re.compile(rf"{re.escape(before)}([^.]+){re.escape(after)}\.(.+)")
    chosen = {key: result for key, result in results.items() if pattern.fullmatch(key)}
    if not chosen:
        return "*Not measured yet.*\n"
    cells: dict[str, dict[str, str]] = {}
    most: dict[str, int] = {}
    for key, result in chosen.items():
        rest = pattern.fullmatch(key)[2]
        most[rest] = max(most.get(rest, 0), result["n"])
    for key, result in in_order(chosen):
        name, rest = pattern.fullmatch(key).groups()
        words, form = meaning(key, rest)
        fewer = f"n = {result['n']}" if result["n"] < most[rest] else ""
        remarks = ", ".join(remark for remark in (interval(result, form), fewer) if remark)
        cells.setdefault(words, {})[name] = form.format(result["value"]) + (f" ({remarks})" if remarks else "")
    names = dict.fromkeys(pattern.fullmatch(key)[1] for key in chosen)
    lines = ["| | " + " | ".join(cells) + " |", "|---" * (len(cells) + 1) + "|"]
    for name in sorted(names, key=lambda name: name.startswith(BASELINES)):
        lines.append("| " + " | ".join([name.replace("_", " "), *(row.get(name, "") for row in cells.values())]) + " |")
    return "\n".join([*lines, "", source(alike(chosen, {key: pattern.fullmatch(key)[1] for key in chosen}))]) + "\n"


def alike(results: dict[str, dict], names: dict[str, str]) -> dict[str, dict]:
    """The results, and for commands that differ in nothing but the row's name one with NAME in its place."""
    named = {key: {**found, "command": found["command"].replace(names[key], "NAME")} for key, found in results.items()}
    rows: dict[tuple[str, str], set[str]] = {}
    for key, found in named.items():
        rows.setdefault((found["command"], found["commit"]), set()).add(names[key])
    return {
        key: found if len(rows[found["command"], found["commit"]]) > 1 else results[key] for key, found in named.items()
    }


def meaning(key: str, rest: str) -> tuple[str, str]:
    """What the rest of a key means, in words, and how its value is written."""
    if key.startswith(("table1.", "table2.")):
        return WORDS.get(rest, (rest, "{:.2f}"))
    return MEANINGS.get(known_end(key), (f"`{rest}`", "{:.4g}"))


def in_order(results: dict[str, dict]) -> list[tuple[str, dict]]:
    """Results in the order of MEANINGS, then the others by key."""
    ranks = list(MEANINGS)
    return sorted(
        results.items(), key=lambda item: (ranks.index(end) if (end := known_end(item[0])) else len(ranks), item)
    )


def known_end(key: str) -> str | None:
    """The end of a key that MEANINGS explains."""
    return next((end for end in MEANINGS if key.endswith(f".{end}")), None)


def row(key: str, rest: str, result: dict) -> str:
    """One line of a table."""
    words, form = meaning(key, rest)
    return f"| {words} | {form.format(result['value'])} | {interval(result, form)} | {result['n']} |"


def interval(result: dict, form: str) -> str:
    """The 95 % interval in words; none where there is none, nor where all cases were alike, of which a bootstrap can
    tell no width."""
    low, high = result["low"], result["high"]
    return "" if low is None or high is None or low == high else f"{form.format(low)} to {form.format(high)}"


def source(results: dict[str, dict]) -> str:
    """Which commands measured these results, at which commits."""
    runs = sorted({(result["command"], short(result["commit"])) for result in results.values()})
    return "Measured by " + ", ".join(f"`{command}` at {commit}" for command, commit in runs) + "."


def short(commit: str) -> str:
    """Seven digits of a commit, and "+" where files differed from it."""
    return commit[:7] + "+" * commit.endswith("+")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
