"""`byteedit env`: what is installed and what it runs on, to put into a bug report."""

import platform
from dataclasses import dataclass

from byteedit.commands.command import Command
from byteedit.provenance import versions


@dataclass(frozen=True, kw_only=True)
class Env(Command):
    """Say what is installed, for a bug report."""

    def run(self) -> None:
        """Print one line each for Python, the packages, the devices and the shipped model."""
        facts = {"python": f"{platform.python_version()} on {platform.platform()}", **versions(), **_hardware()}
        for name, fact in facts.items():
            print(f"{name:<13} {fact}")


def _hardware() -> dict[str, str]:
    import torch

    import byteedit

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return {
        "devices": ", ".join([*devices, f"cpu with {torch.get_num_threads()} threads"]),
        "picturebook": str(byteedit.PICTUREBOOK),
    }
