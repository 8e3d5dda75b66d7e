"""The editor's page: where everything stands, and which event answers what. What events do is in `events`.

One stage, shared by three tabs: a picture is painted on, forms, and is compared in the same place. The stage is our own
small painter (stage.html, stage.js), since gradio's would send its copy of the picture back instead of the file.
"""

from pathlib import Path
from typing import get_args

import gradio as gr

from byteedit.app.answering import WORDS
from byteedit.app.events import Events
from byteedit.app.session import Session
from byteedit.app.settings import Settings
from byteedit.commands.pictures import Anchor

HERE = Path(__file__).parent
SEND = "(...all) => [window.byteedit.send(), ...all.slice(1, {count})]"
THUMBS = """{{#each value}}<button type="button" class="be-thumb{{#if chosen}} be-chosen{{/if}}" data-index="{{@index}}"
 title="{{words}}"><img src="{{src}}" alt="{{words}}"><span>{{words}}</span></button>{{/each}}"""
PICK = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-index]');
  if (button) trigger('select', {index: +button.dataset.index});
});"""
# All is queued: gradio's page shows no errors of what is not.
QUIET = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
OPENING = QUIET | {"concurrency_limit": 2, "concurrency_id": "open"}  # a decoded picture is large
RESUME = """(_, session, ...words) => [sessionStorage.getItem('byteedit/visit') ?? '', session,
 ...JSON.parse(sessionStorage.getItem('byteedit/words') ?? JSON.stringify(words))]"""
SAVE = "() => setTimeout(() => document.querySelector('#be-save').click(), 100)"


class Page(gr.Blocks):
    """Blocks that take no address for a file: gradio would fetch it from here."""

    async def preprocess_data(self, block_fn, inputs, state, explicit_call=False):
        """As in gradio, for inputs without addresses."""
        refuse_addresses(inputs)
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)


def refuse_addresses(data) -> None:
    """Raise an error where a file is named by an address in the net, however deep in an event's inputs."""
    if isinstance(data, dict):
        path = data.get("path")
        if isinstance(path, str) and "://" in path:
            raise gr.Error("Files must be uploaded; an address is not followed.", print_exception=False)
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            refuse_addresses(item)


def build(settings: Settings) -> gr.Blocks:
    """The page, ready to launch."""
    events = Events(settings)
    with Page(title="byteedit", analytics_enabled=False, delete_cache=(300, 900)) as page:
        session = gr.State(Session())
        mask = gr.Textbox(visible=False)
        gr.HTML(
            f"<header><h1>byteedit</h1>{events.which_model(settings.model)}</header>",
            elem_id="be-head",
            apply_default_css=False,
        )
        with gr.Row(elem_id="be-body"):
            with gr.Column(scale=7, min_width=320):
                stage, strip, examples, openings = stage_column(events, session)
            with gr.Column(scale=4, min_width=300, elem_id="be-side"):
                words, extent = forms_column(events, session, mask, stage, strip)
        openings.append(examples.select(events.open_example, session, [stage, strip, words[0]], **QUIET))
        for opened in openings:  # the canvas of the picture before does not fit
            opened.then(events.preview_canvas, [session, *extent], stage, **QUIET)
        endpoint(events)
        visit_again(page, events, session, words, stage, strip)
        page.unload(events.forget)
    return page


def visit_again(page: gr.Blocks, events: Events, session: gr.State, words: list, stage: gr.HTML, strip: gr.HTML):
    """What a reload brings back: the session by its token, which the tab keeps with the words (and the mask)."""
    token = gr.Textbox(visible=False)
    come = page.load(
        events.resume, [token, session, *words], [session, token, stage, strip, *words], js=RESUME, **QUIET
    )
    come.then(None, token, js="token => { sessionStorage.setItem('byteedit/visit', token); }")
    keep = "(...words) => { sessionStorage.setItem('byteedit/words', JSON.stringify(words)); }"
    gr.on([field.change for field in words], None, words, js=keep)


def stage_column(events: Events, session: gr.State) -> tuple[gr.HTML, gr.HTML, gr.HTML, list]:
    """The stage, what opens pictures and masks, results, what is done with them. Gives last what opens pictures."""
    stage = gr.HTML(
        html_template=(HERE / "stage.html").read_text(),
        js_on_load=(HERE / "mask.js").read_text() + (HERE / "stage.js").read_text(),
        elem_id="be-stage",
        apply_default_css=False,
    )
    with gr.Row(elem_id="be-files"):
        photo = gr.File(elem_id="be-file", type="filepath", container=False)
        opener = gr.Button("Open a picture", size="sm", elem_id="be-open")
        mask_file = gr.UploadButton("Open a mask", size="sm", elem_id="be-open-mask")
        alpha = gr.Button("Mask from transparency", size="sm", elem_id="be-alpha")
    thumbs = {"html_template": THUMBS, "js_on_load": PICK, "elem_classes": "be-strip", "apply_default_css": False}
    strip = gr.HTML(elem_id="be-results", **thumbs)
    with gr.Row(elem_id="be-take"):
        reuse = gr.Button("Use as input", size="sm", elem_id="be-reuse")
        download = gr.Button("Download", size="sm", variant="primary", elem_id="be-download")
        download_mask = gr.Button("Download its mask", size="sm", elem_id="be-download-mask")
        save = gr.DownloadButton(visible="hidden", elem_id="be-save")
    gr.HTML("Pictures to try", elem_id="be-examples-title", apply_default_css=False)
    examples = gr.HTML(events.example_thumbs(), elem_id="be-examples", **thumbs)

    opener.click(None, js="() => document.querySelector('#be-file input[type=file]').click()")
    openings = [photo.upload(events.open_photo, [session, photo], [stage, strip, photo], **OPENING)]
    mask_file.upload(events.open_mask, [session, mask_file], stage, **OPENING)
    alpha.click(events.mask_from_alpha, session, stage, **QUIET)
    strip.select(events.choose, session, [stage, strip], **QUIET)
    openings.append(reuse.click(events.reuse, session, [stage, strip], **QUIET))
    for button, event in ((download, events.download), (download_mask, events.download_mask)):
        button.click(event, session, save, **QUIET).success(None, js=SAVE)
    return stage, strip, examples, openings


def forms_column(
    events: Events, session: gr.State, mask: gr.Textbox, stage: gr.HTML, strip: gr.HTML
) -> tuple[list, list]:
    """The three tabs, their settings, and the buttons that start and stop.

    Gives the words, those of an edit first, and the fields that say how far to outpaint.
    """
    with gr.Tabs(elem_id="be-tabs"):
        with gr.Tab("Edit", id="edit") as edit_tab:
            gr.Markdown("Paint over the part that should change, and say what it should show.")
            edit_words = [prompt_box("What should be there?"), negative_box()]
            edit_run = gr.Button("Edit", variant="primary", elem_id="be-edit", elem_classes="be-run")
        with gr.Tab("Erase", id="erase") as erase_tab:
            gr.Markdown("Paint over what should go. The background goes on; no words are needed.")
            erase_run = gr.Button("Erase", variant="primary", elem_id="be-erase", elem_classes="be-run")
        with gr.Tab("Outpaint", id="outpaint") as outpaint_tab:
            sides, shape = outpaint_fields()
            outpaint_words = [prompt_box("What should be there? (optional)"), negative_box()]
            outpaint_run = gr.Button("Outpaint", variant="primary", elem_id="be-outpaint", elem_classes="be-run")
    stop = gr.Button("Stop", variant="stop", elem_id="be-stop")
    settings = settings_fields(events)

    for tab, name in ((edit_tab, "edit"), (erase_tab, "erase"), (outpaint_tab, "outpaint")):
        tab.select(None, js=f"() => window.byteedit.task('{name}')")
    runs = (
        (edit_run, events.edit, edit_words),
        (erase_run, events.erase, []),
        (outpaint_run, events.outpaint, [*outpaint_words, *sides, *shape]),
    )
    for button, event, fields in runs:
        inputs = [mask, session, *fields, *settings]
        run = button.click(event, inputs, [stage, strip], js=SEND.replace("{count}", str(len(inputs))), **QUIET)
        run.failure(None, js="() => window.byteedit.idle()")
    stop.click(events.stop, session, stage, **QUIET)
    gr.on(
        [field.change for field in (*sides, *shape)] + [outpaint_tab.select],
        events.preview_canvas,
        [session, *sides, *shape],
        stage,
        trigger_mode="always_last",
        **QUIET,
    )
    return [*edit_words, *outpaint_words], [*sides, *shape]


def prompt_box(label: str) -> gr.Textbox:
    """Words for what should appear."""
    return gr.Textbox(label=label, placeholder="a large red house", lines=2, max_length=WORDS)


def negative_box() -> gr.Textbox:
    """Words for what should not."""
    hint = "counts where Guidance is above 1"
    return gr.Textbox(label="What should not? (optional)", placeholder=hint, lines=1, max_length=WORDS)


def outpaint_fields() -> tuple[list, list]:
    """Pixels for each side; or aspect ratio or size, with the anchor."""
    with gr.Row():
        ratio = gr.Dropdown(
            ["by sides", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16"],
            value="16:9",
            label="New shape",
            info="or a size like 1024x768",
            allow_custom_value=True,
            elem_id="be-shape",
        )
        anchor = gr.Dropdown(
            list(get_args(Anchor)),
            value="center",
            label="Picture stays",
            info="in the new shape",
            elem_id="be-anchor",
        )
    ratio.change(None, ratio, js="shape => window.byteedit.shape(shape)")
    with gr.Row(elem_id="be-sides"):
        names = ("Left", "Right", "Top", "Bottom")
        sides = [gr.Number(0, label=name, precision=0, minimum=0, step=8, min_width=64) for name in names]
    return sides, [ratio, anchor]


def settings_fields(events: Events) -> list:
    """Seed, variations, steps, guidance, model, LoRA and its weight. Numbers that may be left out are words to gradio,
    whose own number fields turn nothing into 0.
    """
    own = "the model's own"
    with gr.Accordion("Settings", open=False, elem_id="be-settings"):
        with gr.Row():
            seed = gr.Textbox("", label="Seed", placeholder="random", max_length=20, min_width=120)
            variations = gr.Slider(
                1, 4, 1, step=1, label="Variations", elem_id="be-variations", buttons=[], min_width=120
            )
        with gr.Row():
            steps = gr.Textbox("", label="Steps", placeholder=own, max_length=20, min_width=120)
            guidance = gr.Textbox("", label="Guidance", placeholder=own, max_length=20, min_width=120)
        model = gr.Dropdown(
            [events.settings.model],
            value=events.settings.model,
            label="Model",
            info="a folder, a .safetensors file or a hub name" if events.settings.any_model else None,
            allow_custom_value=events.settings.any_model,
        )
        with gr.Row():
            lora = gr.Dropdown(
                ["default", "none", *events.loras()],
                value=events.own_lora(),
                label="LoRA",
                allow_custom_value=events.settings.any_model,
                min_width=120,
            )
            weight = gr.Slider(0, 2, 1, step=0.05, label="Weight", buttons=[], min_width=120)
    return [seed, variations, steps, guidance, model, lora, weight]


def endpoint(events: Events) -> None:
    """The one call for programs: files and words in, a PNG out."""
    with gr.Column(visible=False):
        image, mask = gr.File(label="image"), gr.File(label="mask")
        prompt, task = gr.Textbox("", label="prompt"), gr.Textbox("edit", label="task")
        shape, anchor = gr.Textbox("by sides", label="shape"), gr.Textbox("center", label="anchor")
        sides = [gr.Number(0, label=name, precision=0) for name in ("left", "right", "top", "bottom")]
        seed, steps = gr.Number(None, label="seed", precision=0), gr.Number(None, label="steps", precision=0)
        guidance, lora = gr.Number(None, label="guidance_scale"), gr.Textbox(None, label="lora")
        negative = gr.Textbox("", label="negative_prompt")
        result = gr.File(label="PNG")
        inputs = [image, mask, prompt, task, shape, anchor, *sides, seed, steps, guidance, lora, negative]
        gr.Button().click(events.make, inputs, result, api_name="make", concurrency_limit=None)


def serve(settings: Settings, **options):
    """Open the model and launch the page, which loads nothing from elsewhere, and keeps nothing in the browser when its
    tab is closed.
    """
    Events(settings).open_model()
    look = {"theme": theme(), "css_paths": HERE / "page.css", "footer_links": []}
    bounds = {"max_file_size": int(settings.megabytes * 1e6), "max_threads": settings.queue + 32}
    private = {"run_history": False, "enable_monitoring": False, "show_error": False, "ssr_mode": False, "share": False}
    address = {"server_name": settings.host, "server_port": settings.port, "inbrowser": settings.browser}
    return build(settings).queue(api_open=True).launch(**look, **bounds, **private, **address, **options)


def theme() -> gr.themes.Base:
    """One accent, the system's own fonts; words stand out 4.5 to 1 and more (WCAG's AA)."""
    look = gr.themes.Base(
        primary_hue="violet",
        neutral_hue="slate",
        radius_size="lg",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return look.set(
        body_text_color_subdued="*neutral_500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )
