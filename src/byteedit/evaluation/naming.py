"""Benchmarks, systems and scores by name, as they are typed: `NAME`, `NAME:PLACE` or `NAME:PLACE,option=value,...`.

A name stands for a function in a plain dictionary; what follows the colon is its first argument (a folder, a model),
and the options are its keyword-only arguments, converted to the types that these are annotated with. A system may have
a label of its own before it, `LABEL=NAME:PLACE`.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

__all__ = ["check_named", "labelled", "open_named", "parse", "short_names"]


def parse(text: str) -> tuple[str, str | None, dict[str, str]]:
    """Name, place and options of "name:place,option=value"; the place is None where there is none.

    A place may hold colons and commas; the options are what comes after the last part without "=".

    Raises:
        ValueError: an option is given twice.
    """
    head, *rest = text.split(",")
    while rest and "=" not in rest[0]:
        head += "," + rest.pop(0)
    pairs = [part.partition("=")[::2] for part in rest]
    options = {key.strip(): value.strip() for key, value in pairs}
    if len(options) < len(pairs):
        raise ValueError(f"{text!r} gives an option twice; give each once.")
    name, _, place = head.partition(":")
    return name.strip(), place.strip() or None, options


def labelled(text: str) -> tuple[str, str]:
    """Label and rest of "label=name:place"; without a label, the text is its own.

    Raises:
        ValueError: the label is more than letters, digits, dots, dashes and underscores.
    """
    head = re.match(r"[^:,]*", text)[0]
    label, equals, _ = head.partition("=")
    if not equals:
        return text, text
    if not re.fullmatch(r"\w[\w.-]*", label):
        raise ValueError(f"{label!r} is no label; take letters, digits, dots, dashes and underscores.")
    return label, text[len(label) + 1 :]


def short_names(paths: Sequence[tuple[str, ...]], *taken: tuple[str, ...]) -> list[str]:
    """The last parts of each path, as few as no other ends in, nor any that is `taken`; all of them where none do."""
    names = []
    for path in paths:
        others = [other for other in (*paths, *taken) if other != path]
        fits = (n for n in range(1, len(path)) if all(other[-n:] != path[-n:] for other in others))
        names.append("/".join(path[-next(fits, len(path)) :]))
    return names


def open_named(openers: Mapping[str, Callable], text: str, what: str, **known: Any) -> Any:
    """What the opener named in `text` gives for its place and options.

    Args:
        openers: functions by name, each `(place, *, option=default, ...)`.
        text: such as "byteedit:my-model,steps=8".
        what: the word for these things in an error, such as "system".
        known: options that were given elsewhere, such as `device`; for openers that have them, and `text` outdoes them.

    Raises:
        ValueError: there is no such name or option, or a value is not of the option's type.
    """
    place, options = check_named(openers, text, what)
    opener = openers[parse(text)[0]]
    given = {key: value for key, value in known.items() if key in _keywords(opener)}
    return opener(place, **given | options)


def check_named(openers: Mapping[str, Callable], text: str, what: str) -> tuple[str | None, dict[str, Any]]:
    """Place and options in `text`, converted, for the opener that it names. Opens nothing; raises as `open_named`."""
    name, place, options = parse(text)
    if name not in openers:
        raise ValueError(f"there is no {what} called {name!r}; there are {', '.join(openers)}.")
    hints, allowed = get_type_hints(openers[name]), _keywords(openers[name])
    if unknown := [key for key in options if key not in allowed]:
        raise ValueError(f"{what} {name} has no option {unknown[0]!r}; it has {', '.join(allowed) or 'none'}.")
    return place, {key: _typed(key, value, hints[key]) for key, value in options.items()}


def _keywords(opener: Callable) -> list[str]:
    parameters = inspect.signature(opener).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _typed(key: str, value: str, hint: Any) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{key} is {value!r}; it is one of {', '.join(get_args(hint))}.")
        return value
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
    try:
        return kinds[0](value)
    except ValueError:
        raise ValueError(f"{key} is {value!r}; it takes a value of the type {kinds[0].__name__}.") from None
