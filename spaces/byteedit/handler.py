"""A Hub inference endpoint: pictures in base64 and words in, a PNG in base64 out. For a model repository's root."""

import base64
from typing import Any

from byteedit.app.answering import answer
from byteedit.app.settings import Settings


class EndpointHandler:
    """What the endpoint's server makes once, with the repository's folder, and calls for every request."""

    def __init__(self, path: str = "picturebook"):
        self.settings = Settings(model=path)

    def __call__(self, data: dict[str, Any]) -> dict[str, str]:
        """`inputs`: {image, mask, prompt, task}, files in base64; `parameters`: seed, steps, guidance_scale, shape ...

        Returns {"image": PNG in base64}, or {"error": one sentence}.
        """
        inputs = data["inputs"]
        files = {name: base64.b64decode(inputs[name]) for name in ("image", "mask") if inputs.get(name)}
        words = {name: inputs[name] for name in ("prompt", "task") if name in inputs}
        try:
            result = answer(self.settings, **files, **words, **data.get("parameters", {}))
        except ValueError as error:
            return {"error": str(error)}
        return {"image": base64.b64encode(result.png()).decode(), "name": result.name}
