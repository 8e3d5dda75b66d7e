"""`byteedit app`: the editor in a browser, on this machine."""

from dataclasses import dataclass

from byteedit.app.settings import Settings
from byteedit.commands.command import Command


@dataclass(frozen=True, kw_only=True)
class App(Settings, Command):
    """Edit, erase and outpaint in the browser: serve the editor until Ctrl+C."""

    def run(self) -> None:
        """Serve, and say where."""
        from byteedit.app.page import serve

        serve(self)
