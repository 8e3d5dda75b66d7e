"""The editor in the browser: the command line's edit, erase and outpaint, with a brush.

`settings` is what its host decides, `page` where things stand, `events` what they do, `making` and `watching` the
pictures in the making, `photo` and `session` what a visitor brings and has, `line` who is next. Importing this loads
no gradio; `launch` does.
"""

from byteedit.app.settings import Settings

__all__ = ["Settings", "launch"]


def launch(settings: Settings = Settings(), **options):  # noqa: B008
    """Serve the editor until the process ends; `options` go to gradio's `launch`. Returns what that returns."""
    from byteedit.app.page import serve

    return serve(settings, **options)
