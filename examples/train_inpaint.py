"""Fine-tune an inpainting model on pictures with captions, under the paper's kinds of mask (D_train): no rewards yet.

The settings are a preset's, and the command line's where it says otherwise (`--help` after the preset lists them). A
run that was killed goes on where it was. For several processes, `accelerate launch` instead of `python`:

    python examples/train_inpaint.py examples/configs/picturebook/inpaint.yaml
    accelerate launch examples/train_inpaint.py examples/configs/sd15/inpaint.yaml --data my-pictures
"""

from byteedit.training.run import train_inpaint
from byteedit.training.settings import from_command_line
from byteedit.training.sft import InpaintSettings

if __name__ == "__main__":
    train_inpaint(from_command_line(InpaintSettings, __doc__))
