"""The editor: `ByteEditInpaintPipeline` edits, erases and outpaints pictures.

`inpaint` has the class and its face, `stages` what one call does, `canvas` and `words` what pictures and prompts
become, `outpaint` the rounds around a picture, `checks` and `loading` what is refused, `observer` callbacks, `loras`
the schedules that LoRAs bring.
"""

from byteedit.pipeline.inpaint import ByteEditInpaintPipeline

__all__ = ["ByteEditInpaintPipeline"]
