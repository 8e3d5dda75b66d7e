"""A Hub inference endpoint: pictures in base64 and words in, a PNG in base64 out. For a model repository's root."""

import base64
import logging
import math
import re
from typing import Any

from byteedit.app.answering import answer
from byteedit.app.line import Line
from byteedit.app.settings import Settings

log = logging.getLogger(__name__)

INPUTS = {"image", "mask", "prompt", "negative_prompt", "task"}
WORDS = {"shape", "anchor"}
PARAMETERS = {"seed", "steps", "guidance_scale", "shape", "anchor", "left", "right", "top", "bottom"}


class EndpointHandler:
    """What the endpoint's server makes once, with the repository's folder, and calls for every request."""

    def __init__(self, path: str = "picturebook"):
        self.settings = Settings(model=path, host="0.0.0.0")  # strangers ask
        self.line = Line(self.settings.queue)

    def __call__(self, data: dict[str, Any]) -> dict[str, str]:
        """`inputs`: {image, mask, prompt, negative_prompt, task}, files in base64; `parameters`: seed, steps, shape ...

        Returns {"image": PNG in base64, "name": what to call it}, or {"error": one sentence}.
        """
        try:
            result = answer(self.settings, **arguments(data), line=self.line)
        except ValueError as error:
            return {"error": str(error)}
        except Exception:  # the server must go on
            log.exception("a request failed")
            return {"error": "Something went wrong on our side; the log says what."}
        return {"image": base64.b64encode(result.png()).decode(), "name": result.name}


def arguments(data: dict[str, Any]) -> dict[str, Any]:
    """What a request asks `answer` for. Raises ValueError where it asks for what there is not."""
    inputs, parameters = (data.get("inputs"), data.get("parameters") or {}) if isinstance(data, dict) else (None, {})
    if not (isinstance(inputs, dict) and isinstance(parameters, dict) and inputs.get("image")):
        raise ValueError(f"`inputs` must be an object with an image in base64; it may have {sorted(INPUTS)}.")
    for given, known in ((inputs, INPUTS), (parameters, PARAMETERS)):
        if unknown := sorted(set(given) - known):
            raise ValueError(f"{unknown[0]!r} is not known; there are {', '.join(sorted(known))}.")
    for name, value in inputs.items():
        if not isinstance(value, str | None):
            raise ValueError(f"{name} is {value!r}; give text.")
    if wrong := [name for name in WORDS if not isinstance(parameters.get(name), str | None)]:
        raise ValueError(f"{wrong[0]} is {parameters[wrong[0]]!r}; give text.")
    parameters = parameters | {name: number(name, parameters[name]) for name in parameters.keys() - WORDS}
    files = {name: decoded(name, inputs[name]) for name in ("image", "mask") if inputs.get(name)}
    return {name: inputs[name] for name in ("prompt", "negative_prompt", "task") if name in inputs} | files | parameters


def number(name: str, value: Any) -> int | float | None:
    """A number, or text that says one; a whole one as such, but guidance."""
    if value is None:
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}", value.strip()):
        value = int(value)  # which may be too large for a float
    if type(value) is int and name != "guidance_scale" and -(2**63) <= value < 2**63:
        return value
    try:
        found = float(value) if type(value) in (str, float, int) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not abs(found) < 2**63:
        raise ValueError(f"{name} is {value!r:.80}; give a number.")
    return int(found) if found.is_integer() and name != "guidance_scale" else found


def decoded(name: str, text: str) -> bytes:
    """A file's bytes from base64, or from a data address of it."""
    try:
        return base64.b64decode("".join(text.removeprefix("data:").rpartition(";base64,")[2].split()), validate=True)
    except ValueError:
        raise ValueError(f"{name} is not base64; give a file's bytes in it.") from None
