"""What the page's events do: from forms to commands, from results to what the stage shows. No layout.

Every error leaves here as one sentence for the visitor (`wording`); what is shown, `showing` puts into data.
"""

import secrets
import tempfile
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr

import byteedit
from byteedit.app import examples
from byteedit.app.answering import answer, check_bounds, check_words, extension, result_of
from byteedit.app.files import put, remove_all, taken
from byteedit.app.line import Line
from byteedit.app.making import Made, make, open_model
from byteedit.app.photo import (
    Photo,
    alpha_mask,
    data_address,
    mask_copy,
    open_bounded,
    painted_mask,
    reaches_transparent,
    read_photo,
)
from byteedit.app.session import Session, make_room, resumed
from byteedit.app.settings import Settings
from byteedit.app.showing import compared, copy_of, progress, thumbs, told
from byteedit.app.wording import SECONDS, in_words, said
from byteedit.commands.opening import default_loras
from byteedit.commands.pictures import Edit, Erase, Outpaint, PictureCommand


class Events:
    """The events of one running editor: its settings and the one line before its model."""

    def __init__(self, settings: Settings):
        self.settings, self.line = settings, Line(settings.queue)

    def open_model(self) -> None:
        """Open the model with which all begin, so that a wrong name is known before anyone comes."""
        lora = default_loras(self.settings.model)
        open_model(Edit(model=self.settings.model, lora=lora, device=self.settings.device, dtype=self.settings.dtype))

    # What the page shows

    def which_model(self, model: str) -> str:
        """Which model is at work, and how to name a bigger one."""
        if model != "picturebook":
            return f"<p>The model <b>{escape(model)}</b> is at work.</p>"
        return (
            "<p>The small <b>demo model</b> is at work; it knows drawings of balloons, houses and boats. For"
            " photographs, name a bigger one: <code>byteedit app --model"
            " stable-diffusion-v1-5/stable-diffusion-inpainting</code></p>"
        )

    def loras(self) -> list[str]:
        """LoRAs that can be chosen: those that were named, and those that ship."""
        return [*self.settings.lora, *sorted(path.name for path in Path(byteedit.LORAS).iterdir() if path.is_dir())]

    def own_lora(self) -> str:
        """What is chosen at first: the LoRA that the command line would take, if there is one."""
        return "default" if default_loras(self.settings.model) else "none"

    def example_thumbs(self) -> list[dict]:
        """The pictures to try."""
        return [
            {"src": data_address(example.picture), "words": example.stem.capitalize()} for example in examples.EXAMPLES
        ]

    def resume(self, token: str, session: Session, *words: str):
        """After a reload, as when the connection was lost, all that was there; words and mask are the browser's.

        At a first visit nothing is set, since its visitor may have begun.
        """
        session = resumed(token, session)
        stage = told("open", **copy_of(session), again=True) if token and session.photo else gr.skip()
        strip = thumbs(session) if token else gr.skip()
        return session, session.token, stage, strip, *(words if token else [gr.skip() for _ in words])

    # Pictures and masks come in

    def open_photo(self, session: Session, path: str | None):
        """Work on an uploaded file; the file itself is taken off the disk at once. The field is emptied in any case:
        one that holds a file takes no other.
        """
        try:
            with in_words():
                session.open(self._photo(path, "image"))
        except gr.Error as error:
            gr.Warning(error.message, SECONDS, title=error.title)
            return told("opened"), gr.skip(), None
        return self._opened(session), thumbs(session), None

    @said
    def open_mask(self, session: Session, path: str | None):
        """Show an uploaded mask on the picture."""
        photo = need_photo(session)
        content, name = taken(path, "mask")
        mask = open_bounded(content, name, self.settings.megapixels)
        return told("mask", src=mask_copy(mask, photo.image.size))

    @said
    def mask_from_alpha(self, session: Session):
        """Mask what is transparent in the picture."""
        photo = need_photo(session)
        mask = mask_copy(alpha_mask(photo.image), photo.image.size)
        session.from_alpha = True
        return told("mask", src=mask)

    @said
    def open_example(self, session: Session, event: gr.EventData):
        """Work on one of the pictures to try, with its mask and words."""
        example = examples.EXAMPLES[event.index]
        session.open(example.photo())
        mask = mask_copy(example.mask, session.photo.image.size)
        return told("open", **copy_of(session), mask=mask), thumbs(session), example.prompt

    def _photo(self, path: str | None, what: str) -> Photo:
        content, name = taken(path, what)
        return read_photo(content, name, self.settings.megapixels, self.settings.megabytes)

    def _opened(self, session: Session) -> dict:
        return told("open", **copy_of(session))

    # Pictures are made

    @said
    def edit(self, mask: str, session: Session, prompt: str, negative: str, *settings):
        """Fill the mask by what the prompt says."""
        check_words(prompt, negative)
        words = {"prompt": prompt or None, "negative_prompt": negative or None}
        yield from self._run(session, Edit(**words, **self._common(*settings)), mask)

    @said
    def erase(self, mask: str, session: Session, *settings):
        """Take away what the mask covers."""
        yield from self._run(session, Erase(**self._common(*settings)), mask)

    @said
    def outpaint(self, mask: str, session: Session, prompt: str, negative: str, left, right, top, bottom, *rest):
        """Extend the picture."""
        shape, anchor, *settings = rest
        check_words(prompt, negative)
        words = {"prompt": prompt or None, "negative_prompt": negative or None}
        further = extension(shape, anchor, left, right, top, bottom)
        yield from self._run(session, Outpaint(**words, **further, **self._common(*settings, outpaint=True)), None)

    def _common(self, seed, variations, steps, guidance, model, lora, weight, outpaint=False) -> dict:
        """Fields that all commands have; raises ValueError for models that a visitor may not name."""
        model, lora = self._offered(model), self._offered(lora)
        own = default_loras(model, outpaint)
        loras = own if lora == "default" else () if lora in (None, "", "none") else (lora,)
        return {
            "seed": secrets.randbelow(1_000_000) if (chosen := number("Seed", seed)) is None else chosen,
            "num_images": int(variations),
            "steps": number("Steps", steps, least=1),
            "guidance_scale": number("Guidance", guidance, float),
            "model": model,
            "lora": tuple(f"{name}:{weight:g}" for name in loras),
            "device": self.settings.device,
            "dtype": self.settings.dtype,
        }

    def _offered(self, name: str | None) -> str | None:
        """The name of a model or LoRA; raises ValueError where a visitor may not name it."""
        if name in (None, "", "default", "none", self.settings.model, *self.loras()) or self.settings.any_model:
            return name
        raise ValueError(f"{name} is not offered here; choose one from the list.")

    def _run(self, session: Session, command: PictureCommand, painted: str | None):
        """Make a command's pictures and show how they form: what the stage and the list of results get."""
        photo, before = need_photo(session), session.copy  # another one may be opened meanwhile
        mask = None if isinstance(command, Outpaint) else painted_mask(painted, photo.image.size)
        if session.from_alpha and mask and reaches_transparent(mask, photo.image):  # else what comes is not seen
            photo, command = photo.opaque(), replace(command, mask_from_alpha=True)
        check_bounds(command, photo.image.size, self.settings.megapixels)  # before anyone waits
        make_room(session)
        with tempfile.TemporaryDirectory() as folder:
            session.stop = Path(folder) / "stop"
            made, last = 0, None
            for event in make(self.line, command, photo.image, mask, session.stop, self.settings.limit):
                if isinstance(event, Made):
                    made += 1
                    last = session.keep(result_of(event, photo, mask), before)
                    yield gr.skip(), thumbs(session)
                else:
                    yield progress(event, made, command.num_images), gr.skip()
        yield (compared(last) if last else told("idle")), thumbs(session)

    def stop(self, session: Session):
        """Make the running step the last one; where none runs any longer, as after a lost connection, say so."""
        if session.stop is not None and session.stop.parent.is_dir():
            session.stop.touch()
            return gr.skip()
        return told("idle")

    @said
    def preview_canvas(self, session: Session, left, right, top, bottom, shape, anchor):
        """The canvas that outpainting would fill; none while what is typed is half a word."""
        if session.photo is None:
            return gr.skip()
        try:
            sides = Outpaint(**extension(shape, anchor, left, right, top, bottom)).sides(session.photo.image.size)
        except ValueError:
            return told("sides")
        return told("sides", sides=sides)

    # Results go out

    @said
    def choose(self, session: Session, event: gr.EventData):
        """Show another result."""
        session.chosen = event.index
        return compared(session.chosen_result()), thumbs(session)

    @said
    def reuse(self, session: Session):
        """Go on from the chosen result."""
        result = session.chosen_result()
        content = result.png()
        session.open(read_photo(content, result.name, float("inf"), float("inf")))
        return self._opened(session), thumbs(session)

    @said
    def download(self, session: Session, request: gr.Request):
        """The chosen result as a file."""
        result = session.chosen_result()
        return put(request, result.name, result.png())

    @said
    def download_mask(self, session: Session, request: gr.Request):
        """The chosen result's mask as a file."""
        result = session.chosen_result()
        if result.mask is None:
            raise ValueError("Outpainting needs no mask, so there is none to download.")
        return put(request, result.mask_name, result.mask_png())

    @said
    def make(
        self,
        image: str,
        mask: str | None = None,
        prompt: str = "",
        task: str = "edit",
        shape: str = "by sides",
        anchor: str = "center",
        left: float = 0,
        right: float = 0,
        top: float = 0,
        bottom: float = 0,
        seed: float | None = None,
        steps: float | None = None,
        guidance_scale: float | None = None,
        lora: str | None = None,
        negative_prompt: str = "",
        request: gr.Request = None,
    ) -> str:
        """Edit, erase or outpaint one picture, for programs: the path of a PNG."""
        content, name = taken(image, "image")
        drawn = None if mask is None else taken(mask, "mask")[0]
        extent = {"left": left, "right": right, "top": top, "bottom": bottom}
        if task == "outpaint":
            extent |= {"shape": shape, "anchor": anchor}
        how = {"seed": seed, "steps": steps, "guidance_scale": guidance_scale, "lora": self._offered(lora)}
        how |= {"negative_prompt": negative_prompt}
        result = answer(self.settings, content, drawn, prompt, task, self.line, name, **how, **extent)
        return put(request, result.name, result.png())

    def forget(self, request: gr.Request) -> None:
        """Remove what a visitor who leaves has downloaded."""
        remove_all(request)


def need_photo(session: Session) -> Photo:
    """The session's photo. Raises ValueError where there is none."""
    if session.photo is None:
        raise ValueError("There is no picture yet; drop one on the stage, or try one of those below.")
    return session.photo


def number(name: str, text: str | None, kind: type = int, least: int = 0) -> int | float | None:
    """What was typed as a number; None where nothing was. Raises ValueError for words and for what is below `least`."""
    if text is None or not text.strip():
        return None
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not least <= value < 2**63:  # nan is none either
        whole = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {text!r}; give {whole} from {least} on, or leave it empty.")
    return value
