"""What whoever runs the editor decides: the model, the address, and the bounds within which strangers may use it."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the editor."""

    model: str = "picturebook"
    """A folder, a .safetensors file or a hub name; "picturebook" is the small model that comes with byteedit."""

    lora: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH")] = ()
    """A LoRA that may be chosen in the editor (a path, a hub name, or the name of one that ships); may be repeated."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets others in. Only on this machine's own can visitors name other models."""

    port: int | None = None
    """The port to listen on; without it, the first free one from 7860 on."""

    queue: int = 8
    """How many may wait while a picture is made; who comes after them is asked to try again."""

    megapixels: float = 50
    """The largest picture that is taken, in millions of pixels."""

    megabytes: float = 64
    """The largest file that is taken, in millions of bytes."""

    minutes: float = 10
    """How long a call's pictures may take, once it is its turn; then they are stopped. On this machine's own address
    they take as long as they want."""

    device: str | None = None
    """Such as cpu, cuda, cuda:1 or mps; without it, the accelerator if there is one."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the model."""

    browser: bool = False
    """Open the editor in a browser."""

    def __post_init__(self):
        if not self.minutes > 0:
            raise ValueError(f"--minutes is {self.minutes:g}; give more than 0.")

    @property
    def limit(self) -> float | None:
        """The minutes that hold, if any do."""
        return None if self.host in LOCAL else self.minutes

    @property
    def any_model(self) -> bool:
        """Whether visitors may name models: they are then loaded from this machine's disk or from the hub."""
        return self.host in LOCAL
