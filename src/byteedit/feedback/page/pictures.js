// Pictures: loaded ahead, laid out as large as they fit, and looked at closely, one in the place of the other.
//
// A question is shown when all of its pictures are there, so that none is judged for coming first.

const LOADED = 60; // pictures that are kept, at most
const LARGEST = 4; // times its own size that a small picture is shown, at most
const loaded = new Map();

const place = (name) => name.slice(name.indexOf("pictures/"));

export function load(name) {
  if (!loaded.has(name)) {
    const image = new Image();
    image.src = place(name);
    image.draggable = false;
    const ready = image.decode().then(() => image);
    ready.catch(() => loaded.delete(name)); // so that another try asks again
    loaded.set(name, ready);
    if (loaded.size > LOADED) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(name);
}

export const namesOf = (question) =>
  [...question.pictures, question.image, question.mask].filter(Boolean);

export const loadAll = (question) => Promise.all(namesOf(question).map(load));

/** Put the picture before the edit into `box`; where `tinted`, in colour where the mask says so. */
export async function showBefore(box, question, tinted = true) {
  box.hidden = !question.image;
  if (box.hidden) return box.replaceChildren();
  const image = await load(question.image);
  const parts = [image.cloneNode()];
  if (tinted && question.mask) {
    const mask = await load(question.mask);
    const fits = mask.naturalWidth === image.naturalWidth && mask.naturalHeight === image.naturalHeight;
    if (fits) parts.push(tint(mask));
  }
  parts[0].alt = "before";
  box.replaceChildren(...parts);
}

/** The mask in colour, transparent where it is black. */
function tint(mask) {
  const canvas = document.createElement("canvas");
  canvas.width = mask.naturalWidth;
  canvas.height = mask.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(mask, 0, 0);
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = pixels.data[i] * 0.6;
    pixels.data.set([255, 45, 140], i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

/** Columns and the width of each picture, so that `count` pictures of a size are as large as `room` allows. */
export function fit(count, size, room, gap, below) {
  const layouts = Array.from({ length: count }, (_, index) => {
    const columns = index + 1, lines = Math.ceil(count / columns);
    const wide = (room.width - gap * (columns - 1)) / columns;
    const high = (room.height - gap * (lines - 1)) / lines - below;
    return { columns, scale: Math.min(wide / size.width, high / size.height, LARGEST) };
  });
  const best = layouts.reduce((one, other) => (other.scale >= one.scale ? other : one));
  return { columns: best.columns, width: Math.max(48, Math.floor(best.scale * size.width)) };
}

/** The dialog in which one picture takes the place of another. */
export class Closer {
  constructor(dialog) {
    this.dialog = dialog;
    this.box = dialog.querySelector("#closer-picture");
    for (const button of dialog.querySelectorAll("[data-step]"))
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    this.box.addEventListener("click", () => this.step(1));
  }

  get open() { return this.dialog.open; }

  show(question, at) {
    this.question = question;
    this.names = question.pictures.map((_, index) => `Picture ${index + 1} of ${question.pictures.length}`);
    if (question.pictures.length === 1) this.names = ["The picture"];
    if (question.image) this.names.push("Before");
    if (question.image && question.mask) this.names.push("Before, tinted");
    this.at = at;
    this.dialog.showModal();
    this.draw();
  }

  step(by) {
    this.at = (this.at + by + this.names.length) % this.names.length;
    this.draw();
  }

  press(key) {
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    if (key in steps) this.step(steps[key]);
    else if (/^[1-9]$/.test(key) && key <= this.question.pictures.length) this.step(Number(key) - 1 - this.at);
    else if (key === " ") this.dialog.close();
    else return false;
    return true;
  }

  async draw() {
    this.dialog.querySelector("#closer-name").textContent = this.names[this.at];
    const after = this.at - this.question.pictures.length;
    if (after >= 0) return showBefore(this.box, this.question, after === 1);
    const image = (await load(this.question.pictures[this.at])).cloneNode();
    image.alt = this.names[this.at];
    return this.box.replaceChildren(image);
  }
}
