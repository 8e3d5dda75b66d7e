"""Makes our pipeline known to diffusers by name, as soon as both are imported, whichever comes first.

`DiffusionPipeline.from_pretrained` looks the class up in the module `diffusers`, `AutoPipelineForInpainting` in a
table of `diffusers.pipelines.auto_pipeline`. Both get an entry when they are imported; nothing heavy is loaded
before that.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

NAME = "ByteEditInpaintPipeline"


def name_class(diffusers) -> None:
    """Let `diffusers.ByteEditInpaintPipeline` be found, and loaded from here when it is asked for."""
    sys.modules["diffusers.byteedit"] = sys.modules["byteedit"]
    diffusers._class_to_module[NAME] = "byteedit"


def name_tasks(auto_pipeline) -> None:
    """List the pipeline among those for inpainting, and for its other tasks what opens the same checkpoints."""
    pipeline = importlib.import_module("byteedit.pipeline")
    auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING["byteedit"] = pipeline.ByteEditInpaintPipeline
    for table in (auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING, auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING):
        table["byteedit"] = table["stable-diffusion"]


ENTRIES: dict[str, Callable] = {"diffusers": name_class, "diffusers.pipelines.auto_pipeline": name_tasks}


class AfterImport(MetaPathFinder):
    """Finds modules as the finders after it do, and has an entry made once such a module has been executed."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        """The module's ordinary spec, its loader followed by our entry; None for all other modules."""
        if fullname not in ENTRIES:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in others if spec is not None), None)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module) -> None:
                execute(module)
                ENTRIES[fullname](sys.modules[fullname])

            spec.loader.exec_module = exec_module
        return spec


def register() -> None:
    """Make the entries now where diffusers is imported already, else when it is."""
    if not any(isinstance(finder, AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterImport())
    for name, enter in ENTRIES.items():
        if name in sys.modules:
            enter(sys.modules[name])
