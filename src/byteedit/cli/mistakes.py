"""What is said of arguments that make no command: which word is wrong, and what was probably meant.

What there is to choose from is read from tyro's own help, so that nothing is listed twice.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Sequence

__all__ = ["before_help", "explain"]

HELP = {"-h", "--help"}
INSTEAD = {"mask-image": "mask", "num-inference-steps": "steps", "num-images-per-prompt": "num-images"}
"""Options as diffusers calls them."""

Help = Callable[..., str]  # the help of a command, by its name and, where it has actions, that of one


def before_help(arguments: Sequence[str], help_of: Help) -> Sequence[str]:
    """Arguments that ask for help, without what stands between: tyro would leave out of it what was given already."""
    return [*_named(arguments, help_of), "--help"] if HELP & set(arguments) else arguments


def explain(arguments: Sequence[str], box: str, help_of: Help) -> str:
    """Why arguments make no command, in one line; `box` is what tyro prints."""
    names = _named(arguments, help_of)
    page, rest = help_of(*names), arguments[len(names) :]
    if (choices := _choices(page)) and rest and not rest[0].startswith("-"):
        near = _nearest(rest[0], choices, "perhaps {}? ")
        return f"there is no command {' '.join([*names, rest[0]])}; {near}there are {', '.join(choices)}."
    known = re.findall(r"(?m)^..(?:-\w, )?--([\w-]+)", page)
    words = [(word[2:].split("=")[0].replace("_", "-"), place) for place, word in enumerate(rest) if word[:2] == "--"]
    unknown = [(word, place) for word, place in words if word and word not in known]
    if not unknown or "Unrecognized" not in box:
        return _flatten(box)
    if names == ["train"]:
        return f"train has no option --{unknown[0][0]}; give it as --set {_setting(rest[unknown[0][1] :])}."
    listed = f"`byteedit {' '.join([*names, '--help'])}` lists all."
    hints = {word: _nearest(INSTEAD.get(word, word), known, "perhaps --{}?") or listed for word, _ in unknown}
    return "; ".join(f"there is no option --{word}; {hint}" for word, hint in hints.items())


def _named(arguments: Sequence[str], help_of: Help) -> list[str]:
    """The command, and of one with actions the action, that arguments begin with."""
    names: list[str] = []
    for word in arguments[:2]:
        if word not in _choices(help_of(*names)):
            break
        names.append(word)
    return names


def _choices(page: str) -> list[str]:
    return re.findall(r"• (\S+)", page)


def _nearest(word: str, known: Sequence[str], says: str) -> str:
    """What is called nearly like `word`, as the hint says it; nothing where nothing is."""
    near = difflib.get_close_matches(word, known, 1, 0.7)
    return says.format(near[0]) if near else ""


def _setting(words: Sequence[str]) -> str:
    """NAME=VALUE of --name value or --name=value."""
    name, _, value = words[0][2:].partition("=")
    following = [word for word in words[1:2] if not word.startswith("--")]
    return f"{name.replace('-', '_')}={value or (following or ['VALUE'])[0]}"


def _flatten(box: str) -> str:
    """tyro's framed message as one line: what stands between title and next rule."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()]
    below = itertools.dropwhile(lambda line: not line.strip("-"), lines[1:])  # a title may be underlined
    return " ".join(itertools.takewhile(lambda line: line.strip("-"), below)) or box
