/* The mask that is painted on the stage: a canvas of the copy's size whose opacity is the mask, its past and future, and
   what can be done to it as a whole. Runs before stage.js in the same function, which has the hands. */
const layer = (width = 1, height = 1) => Object.assign(document.createElement('canvas'), {width, height});
const readable = paper => paper.getContext('2d', {willReadFrequently: true});
let mask = layer(), past = [], future = [];

function alpha() {
  const data = readable(mask).getImageData(0, 0, mask.width, mask.height).data;
  return new Uint8ClampedArray(mask.width * mask.height).map((_, i) => data[4 * i + 3]);
}
function setAlpha(values) {
  const image = new ImageData(mask.width, mask.height);
  for (let i = 0; i < values.length; i++) { image.data.fill(255, 4 * i, 4 * i + 3); image.data[4 * i + 3] = values[i]; }
  readable(mask).putImageData(image, 0, 0);
}
function remember() { past.push(alpha()); past = past.slice(-30); future = []; }
function travel(from, to) {
  if (!from.length) return;
  to.push(alpha());
  setAlpha(from.pop());
}
function blurred(values, reach) {
  let rows = Float32Array.from(values);
  for (let pass = 0; pass < 2; pass++) {
    rows = boxBlur(rows, mask.width, mask.height, 1, mask.width, reach);
    rows = boxBlur(rows, mask.height, mask.width, mask.width, 1, reach);
  }
  return rows;
}
function boxBlur(values, length, lines, along, across, reach) {
  const out = new Float32Array(values.length);
  for (let line = 0; line < lines; line++) {
    const at = i => values[line * across + Math.min(Math.max(i, 0), length - 1) * along];
    let sum = 0;
    for (let i = -reach; i <= reach; i++) sum += at(i);
    for (let i = 0; i < length; i++) {
      out[line * across + i * along] = sum / (2 * reach + 1);
      sum += at(i + reach + 1) - at(i - reach);
    }
  }
  return out;
}
function maskAddress() {
  const paper = layer(mask.width, mask.height), pencil = paper.getContext('2d');
  pencil.fillStyle = '#000000';
  pencil.fillRect(0, 0, paper.width, paper.height);
  pencil.drawImage(mask, 0, 0);
  return paper.toDataURL('image/png');
}
const reach = () => Math.max(1, Math.round(Math.max(mask.width, mask.height) / 100));
const changes = {
  clear: values => values.fill(0),
  invert: values => values.map(v => 255 - v),
  grow: values => Uint8ClampedArray.from(blurred(values, reach()), v => v > 2 ? 255 : 0),
  shrink: values => Uint8ClampedArray.from(blurred(values, reach()), v => v > 253 ? 255 : 0),
  soften: values => Uint8ClampedArray.from(blurred(values, reach())),
};
