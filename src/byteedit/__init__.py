"""Edit, erase and outpaint pictures, with the feedback learning of ByteEdit.

Names are loaded when they are first used (PEP 562): importing this package loads no torch, diffusers, transformers
or gradio.
"""

import importlib
from pathlib import Path

from byteedit import registration

__version__ = "0.1.0"

PICTUREBOOK = str(Path(__file__).parent / "assets" / "picturebook")
"""Folder of the small checkpoint that ships in the package, for `ByteEditInpaintPipeline.from_pretrained`."""
REWARDS = str(Path(__file__).parent / "assets" / "rewards")
"""Folder of the rewards of its world that ship in the package: `aesthetic`, `alignment` and `coherence`."""
LORAS = str(Path(__file__).parent / "assets" / "loras")
"""Where LoRAs on it lie in the package, if they ship."""

_MODULES = {"ByteEditInpaintPipeline": "byteedit.pipeline"}

__all__ = ["LORAS", "PICTUREBOOK", "REWARDS", "ByteEditInpaintPipeline", "__version__"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


registration.register()
