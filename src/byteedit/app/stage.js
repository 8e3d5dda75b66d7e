/* The stage: a picture that a mask is painted on, that forms step by step, and that is compared with what it was.
   Runs inside a gr.HTML component: `element`, `props` and `watch` are gradio's. The server tells what to show in
   props.value; window.byteedit is what the page's buttons ask for. */
const root = element.querySelector('.be-stage');
const board = root.querySelector('.be-board');
const canvas = board.querySelector('canvas');
const handle = board.querySelector('.be-handle');
const pen = canvas.getContext('2d');

const none = {left: 0, right: 0, top: 0, bottom: 0};
let photo = null, real = [1, 1], forming = null, sides = none, result = null, begun = null;
let split = 0.5, tool = 'brush', stroke = null, cursor = null, busy = false;

const scale = () => photo.width / real[0];                       // copy pixels a real pixel
const flags = (name, on) => root.querySelector(`[data-do=${name}]`).setAttribute('aria-pressed', on);
const outpainting = () => root.dataset.task === 'outpaint';
const comparing = () => root.dataset.view === 'compare' && result !== null && !busy;
/* What is being made forms only where it was begun: on its picture, in its tab. */
const here = () => busy && begun.photo === photo && begun.task === root.dataset.task;
const load = src => new Promise((done, fail) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => fail(new Error('The browser cannot show this picture.'));
  image.src = src;
});

/* ---- what the server says ---- */
const say = {
  async open(told) {
    say.opened();
    photo = await load(told.src);
    real = [told.width, told.height];
    mask = layer(photo.width, photo.height);
    readable(mask);
    result = null;
    root.classList.remove('be-compared');
    past = []; future = []; forming = null; sides = none;
    const drawn = told.again ? sessionStorage.getItem('byteedit/mask') : told.mask;
    if (drawn) { await say.mask({src: drawn}); past = []; }
    root.classList.add('be-open');
    view('paint');
  },
  async mask(told) {
    const image = await load(told.src);
    remember();
    const paper = readable(layer(mask.width, mask.height));
    paper.drawImage(image, 0, 0, mask.width, mask.height);
    const grey = paper.getImageData(0, 0, mask.width, mask.height).data;
    setAlpha(alpha().map((_, i) => grey[4 * i]));
    view('paint');
  },
  sides(told) { sides = told.sides || none; forming = null; view('paint'); },
  async busy(told) {
    if (!busy) { busy = true; forming = null; begun = {photo, task: root.dataset.task}; }
    root.classList.add('be-busy');
    pill(told.words, told.share);
    if (told.patch) await form(told.patch);
  },
  async compare(told) {
    const [before, after] = await Promise.all([load(told.before), load(told.after)]);
    result = {...told, before, after};
    root.classList.add('be-compared');
    idle();
    view('compare');
  },
  idle() { idle(); },
  opened() { root.classList.remove('be-opening'); },
};
function pill(words, share = 0) {
  root.querySelector('.be-words').textContent = words;
  root.querySelector('.be-meter i').style.width = `${100 * share}%`;
}
function idle() { busy = false; forming = null; root.classList.remove('be-busy'); }

async function form(patch) {
  const image = await load(patch.src), s = scale();
  if (!here()) return;
  if (!forming || patch.fresh) forming = layer(...canvasSize());
  const paper = forming.getContext('2d');
  paper.drawImage(image, patch.left * s, patch.top * s, patch.width * s, patch.height * s);
  if (outpainting()) return;
  paper.globalCompositeOperation = 'destination-in';
  paper.drawImage(mask, 0, 0);
  paper.globalCompositeOperation = 'source-over';
}

/* ---- drawing ---- */
function canvasSize() {
  if (comparing()) return [result.after.width, result.after.height];
  if (!outpainting()) return [photo.width, photo.height];
  const s = scale();
  return [Math.round((real[0] + sides.left + sides.right) * s), Math.round((real[1] + sides.top + sides.bottom) * s)];
}
function fit() {
  const [width, height] = canvasSize();
  const edges = 2 * parseFloat(getComputedStyle(board).paddingLeft);
  const room = [board.clientWidth - edges, Math.max(260, Math.min(window.innerHeight * 0.66, 720))];
  const zoom = Math.min(room[0] / width, room[1] / height, Math.max(1, 640 / Math.max(width, height)));
  const sharp = window.devicePixelRatio || 1;
  canvas.style.width = `${Math.round(width * zoom)}px`;
  canvas.style.height = `${Math.round(height * zoom)}px`;
  canvas.width = Math.round(width * zoom * sharp);
  canvas.height = Math.round(height * zoom * sharp);
  return canvas.width / width;
}
function draw() {
  if (!photo) return;
  const zoom = fit();
  pen.imageSmoothingQuality = 'high';
  pen.scale(zoom, zoom);
  comparing() ? drawCompare() : drawPicture();
  placeHandle();
}
function drawPicture() {
  const s = scale(), at = outpainting() ? [sides.left * s, sides.top * s] : [0, 0];
  const [width, height] = canvasSize(), patches = here() ? forming : null;
  if (outpainting()) hatch(width, height);
  if (outpainting() && patches) pen.drawImage(patches, 0, 0);
  pen.drawImage(photo, at[0], at[1]);
  if (!outpainting() && patches) pen.drawImage(patches, 0, 0);
  if (outpainting() || patches) return;
  const tint = layer(mask.width, mask.height), paper = tint.getContext('2d');
  paper.drawImage(mask, 0, 0);
  paper.globalCompositeOperation = 'source-in';
  paper.fillStyle = '#7c5cff';
  paper.fillRect(0, 0, tint.width, tint.height);
  pen.globalAlpha = 0.6;
  pen.drawImage(tint, 0, 0);
  pen.globalAlpha = 1;
  if (cursor && !busy) ring();
}
function hatch(width, height) {
  const step = Math.max(width, height) / 40;
  pen.fillStyle = '#7c5cff22';
  pen.fillRect(0, 0, width, height);
  pen.strokeStyle = '#7c5cff66';
  pen.lineWidth = step / 8;
  pen.beginPath();
  for (let x = -height; x < width; x += step) { pen.moveTo(x, height); pen.lineTo(x + height, 0); }
  pen.stroke();
}
function ring() {
  pen.strokeStyle = '#ffffff';
  pen.lineWidth = Math.max(photo.width, photo.height) / 400;
  pen.beginPath();
  pen.arc(cursor[0], cursor[1], radius(), 0, 7);
  pen.stroke();
}
function drawCompare() {
  const {after, before} = result, [width, height] = [after.width, after.height];
  const s = width / result.width, edge = split * width;
  pen.drawImage(after, 0, 0);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, edge, height);
  pen.clip();
  pen.clearRect(0, 0, width, height);
  if (result.left || result.top || result.width !== result.beforeWidth) hatch(width, height);
  pen.drawImage(before, result.left * s, result.top * s, result.beforeWidth * s, result.beforeHeight * s);
  pen.restore();
}
function placeHandle() {
  const box = canvas.getBoundingClientRect(), around = board.getBoundingClientRect();
  handle.style.left = `${box.left - around.left + split * box.width}px`;
  handle.style.top = `${box.top - around.top}px`;
  handle.style.height = `${box.height}px`;
  handle.setAttribute('aria-valuenow', Math.round(100 * split));
}
function view(name) {
  root.dataset.view = name;
  flags('paint', name === 'paint');
  flags('compare', name === 'compare');
  draw();
}

/* ---- hands ---- */
const radius = () => Math.max(photo.width, photo.height) * root.querySelector('.be-size input').value / 200;
const actions = {
  brush() { tool = 'brush'; flags('brush', true); flags('eraser', false); view('paint'); },
  eraser() { tool = 'eraser'; flags('brush', false); flags('eraser', true); view('paint'); },
  undo() { travel(past, future); draw(); },
  redo() { travel(future, past); draw(); },
  paint() { view('paint'); },
  compare() { view('compare'); },
  choose() { document.querySelector('#be-file input[type=file]').click(); },
};

function spot(event) {
  const box = canvas.getBoundingClientRect(), [width, height] = canvasSize();
  return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
}
function paintTo(point) {
  const paper = mask.getContext('2d');
  paper.globalCompositeOperation = tool === 'brush' ? 'source-over' : 'destination-out';
  paper.strokeStyle = paper.fillStyle = '#ffffff';
  paper.lineWidth = 2 * radius();
  paper.lineCap = paper.lineJoin = 'round';
  paper.beginPath();
  paper.moveTo(...stroke);
  paper.lineTo(point[0] + 0.01, point[1]);
  paper.stroke();
  stroke = point;
}
function takeBack() {
  if (!stroke) return;
  stroke = cursor = null;
  setAlpha(past.pop());
  draw();
}
const slide = event => { split = Math.min(1, Math.max(0, spot(event)[0] / canvasSize()[0])); draw(); };
const painting = () => photo && !busy && !outpainting() && root.dataset.view === 'paint';
canvas.addEventListener('pointerdown', event => {
  if (!event.isPrimary) { takeBack(); return; }              // two fingers: the browser zooms
  if (comparing()) { canvas.setPointerCapture(event.pointerId); slide(event); return; }
  if (!painting() || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  stroke = spot(event);
  paintTo(stroke);
  draw();
});
canvas.addEventListener('pointermove', event => {
  if (!event.isPrimary) return;
  if (comparing()) { if (event.buttons) slide(event); return; }
  if (!painting()) return;
  cursor = spot(event);
  if (stroke) paintTo(cursor);
  draw();
});
canvas.addEventListener('pointerup', () => { stroke = null; });
canvas.addEventListener('pointercancel', takeBack);
canvas.addEventListener('pointerleave', () => { cursor = null; draw(); });
handle.addEventListener('pointerdown', event => handle.setPointerCapture(event.pointerId));
handle.addEventListener('pointermove', event => { if (event.buttons) slide(event); });
handle.addEventListener('keydown', event => {
  const by = {ArrowLeft: -0.05, ArrowRight: 0.05}[event.key];
  if (by) { split = Math.min(1, Math.max(0, split + by)); draw(); event.preventDefault(); }
});
root.addEventListener('click', event => {
  const name = event.target.closest('[data-do]')?.dataset.do;
  if (!name || busy) return;
  if (actions[name]) actions[name]();
  else if (photo) { remember(); setAlpha(changes[name](alpha())); view('paint'); }
});
document.addEventListener('keydown', event => {
  if (!photo || event.target.matches('input:not([type=range]), textarea, select')) return;
  const size = root.querySelector('.be-size input'), command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (command && key === 'z') (event.shiftKey ? actions.redo : actions.undo)();
  else if (command && key === 'y') actions.redo();
  else if (command) return;
  else if (key === 'b') actions.brush();
  else if (key === 'e') actions.eraser();
  else if (key === '[' || key === ']') { size.value = +size.value + (key === ']' ? 2 : -2); draw(); }
  else return;
  event.preventDefault();
});

/* ---- files that are dropped or pasted go the way of those that are chosen ---- */
function give(files) {
  const input = document.querySelector('#be-file input[type=file]'), list = new DataTransfer();
  if (!files.length) return;
  list.items.add(files[0]);
  input.files = list.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
}
document.addEventListener('change', event => {                // before gradio's own, which empties the field
  const file = event.target.matches('#be-file input') && event.target.files[0];
  if (!file || file.size > (window.gradio_config?.max_file_size ?? Infinity)) return;  // gradio refuses it itself
  root.classList.add('be-opening');
  pill(`Opening ${file.name} …`);
}, true);
board.addEventListener('dragover', event => { event.preventDefault(); board.classList.add('be-over'); });
board.addEventListener('dragleave', () => board.classList.remove('be-over'));
board.addEventListener('drop', event => {
  event.preventDefault();
  board.classList.remove('be-over');
  give(event.dataTransfer.files);
});
document.addEventListener('paste', event => give(event.clipboardData.files));
new ResizeObserver(() => draw()).observe(board);
window.addEventListener('pagehide', () => { if (photo) sessionStorage.setItem('byteedit/mask', maskAddress()); });

window.byteedit = {
  mask() { return photo ? maskAddress() : ''; },
  send() { if (photo && !busy) say.busy({words: 'Sending'}); return this.mask(); },
  idle() { idle(); draw(); },
  shape(name) { document.querySelector('#be-body').dataset.shape = name; },
  task(name) { root.dataset.task = name; view('paint'); },
  say,
};
let turn = Promise.resolve();
watch('value', () => {
  const told = props.value;
  if (told && say[told.kind]) turn = turn.then(() => say[told.kind](told)).then(draw, error => console.error(error));
});
