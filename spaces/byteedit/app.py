"""The editor as a Hub Space. The model is BYTEEDIT_MODEL, a variable of the Space, or the one that ships."""

import os

from byteedit.app import Settings, launch

if __name__ == "__main__":
    launch(Settings(model=os.environ.get("BYTEEDIT_MODEL", "picturebook"), host="0.0.0.0"))
