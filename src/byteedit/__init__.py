"""Edit, erase and outpaint pictures, with the feedback learning of ByteEdit.

The pipeline is loaded when it is first used (PEP 562): importing this package loads no torch, diffusers, transformers
or gradio.
"""

from pathlib import Path

from byteedit import registration

__version__ = "0.1.0"

PICTUREBOOK = str(Path(__file__).parent / "assets" / "picturebook")
"""Folder of the small checkpoint that ships in the package, for `ByteEditInpaintPipeline.from_pretrained`."""
REWARDS = str(Path(__file__).parent / "assets" / "rewards")
"""Folder of the rewards of its world that ship in the package: `aesthetic`, `alignment` and `coherence`."""
LORAS = str(Path(__file__).parent / "assets" / "loras")
"""Folder of the LoRAs on it that ship in the package: `boost`, `fast8` and `fast4`."""

__all__ = ["LORAS", "PICTUREBOOK", "REWARDS", "ByteEditInpaintPipeline", "__version__"]


def __getattr__(name: str):
    if name != "ByteEditInpaintPipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from byteedit.pipeline import ByteEditInpaintPipeline

    return ByteEditInpaintPipeline


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


registration.register()
