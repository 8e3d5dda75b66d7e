// The page's parts filled with what is so: a question with its pictures and choices, progress, and what is said below.
//
// Nothing is decided here.

import { criteria } from "./kinds.js";
import { fit, load, showBefore } from "./pictures.js";

const GAP = 14; // pixels between pictures
const TASKS = {
  editing: ["Asked for", "What is tinted was to be filled."],
  erasing: ["To be erased", "What is tinted was to be erased."],
  outpainting: ["Extended", "The picture was to go on beyond its borders."],
  "": ["Asked for", ""],
};
const KEYS = [
  ["Backspace", "back"], ["Enter", "on, where you have answered"], ["Space", "a closer look, with arrows"], ["P", "pause"],
];
let pictures = []; // the elements on the stage
let shown = null; // the question they belong to

export const byId = (id) => document.getElementById(id);

export function show(id) {
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== id;
}

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

/** What a rater may read again at any time: the study's instructions, what its axes mean, and the keys. */
export function drawHelp({ kind, study, questions }) {
  const list = (pairs) => pairs.flatMap(([name, meaning]) => [element("dt", {}, name), element("dd", {}, meaning)]);
  document.querySelector("#keys .instructions").textContent = study.instructions;
  byId("criteria").replaceChildren(...list(criteria(questions)));
  byId("all-keys").replaceChildren(...list([...kind.keys, ...KEYS]));
}

/** Say on the stage what is wrong, with a button for another try. */
export function wait(words, again) {
  shown = null;
  byId("stage").classList.remove("loading");
  byId("stage").replaceChildren(
    element("p", { className: "error" }, words), element("button", { className: "primary", onclick: again }, "Try again"));
}

export function drawQuestion({ kind, question, draft, change, look }) {
  const held = allChoices().findIndex((choice) => choice.matches(":focus-visible")); // not after a click: keys are the page's
  byId("ask").textContent = kind.ask(draft);
  if (shown !== question) place(question, look);
  pictures.forEach((picture, index) => dress(picture, kind, question, draft, index + 1, change));
  byId("controls").replaceChildren(...kind.rows(question, draft).map((row) => drawRow(row, change)));
  arrange();
  allChoices()[held]?.focus();
}

const allChoices = () => [...document.querySelectorAll(".choice")];

/** Put a question's pictures and words on the page. They are loaded. */
function place(question, look) {
  shown = question;
  const [word, without] = TASKS[question.task];
  byId("task").textContent = question.prompt ? word : "";
  byId("prompt").textContent = question.prompt || without;
  pictures = question.pictures.map((name, index) => {
    const button = element("button", { className: "picture", onclick: () => look(index) });
    button.setAttribute("aria-label", `Picture ${index + 1}: a closer look`);
    load(name).then((image) => { button.append(image.cloneNode()); arrange(); });
    return element("figure", {}, button, element("figcaption"));
  });
  byId("stage").replaceChildren(...pictures);
  showBefore(byId("before"), question);
}

function dress(picture, kind, question, draft, position, change) {
  const badge = kind.badge(question, draft, position);
  picture.className = badge;
  const number = question.pictures.length > 1 ? [element("kbd", {}, `${position}`)] : [];
  const choices = kind.choices?.(question, draft, position) ?? [];
  picture.lastChild.replaceChildren(...number, ...choices.map((choice) => drawChoice(choice, change)));
}

function drawRow({ label, meaning, current, choices }, change) {
  const words = label ? [element("div", { className: "axis", title: meaning }, element("b", {}, label), element("small", {}, meaning))] : [];
  const buttons = element("div", { className: choices.length === 5 ? "choices marks" : "choices" }, ...choices.map((choice) => drawChoice(choice, change)));
  const row = element("div", { className: current ? "choosing current" : "choosing" }, ...words, buttons);
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", label || "overall");
  return row;
}

function drawChoice({ words, name, key, chosen, draft, end = "" }, change) {
  const hint = key ? [element("kbd", {}, key)] : [];
  const onclick = ({ detail }) => detail < 2 && change(draft()); // a double click says it once
  const button = element("button", { className: `choice ${end}`, onclick }, ...hint, element("span", {}, words));
  button.setAttribute("aria-pressed", chosen);
  if (name) button.setAttribute("aria-label", name);
  return button;
}

/** Make the pictures as large as the stage allows. */
function arrange() {
  const image = pictures[0]?.querySelector("img"), stage = byId("stage");
  if (!image || !stage.clientWidth) return;
  const style = getComputedStyle(stage);
  const room = {
    width: stage.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
    height: stage.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
  };
  const below = pictures[0].lastChild.offsetHeight + parseFloat(getComputedStyle(pictures[0]).rowGap || 0);
  const size = { width: image.naturalWidth, height: image.naturalHeight };
  const { columns, width } = fit(pictures.length, size, room, GAP, below);
  stage.style.gridTemplateColumns = `repeat(${columns}, ${width}px)`;
}

new ResizeObserver(arrange).observe(byId("stage"));

export function drawPage({ kind, rater, questions, answers, at, outbox, refusal }) {
  const done = questions.filter((question) => answers.has(question.id)).length, all = questions.length;
  byId("bar").firstChild.style.width = `${(100 * done) / all}%`;
  byId("bar").setAttribute("aria-valuenow", Math.round((100 * done) / all));
  byId("count").textContent = `${done} of ${all}`;
  byId("rater").textContent = rater;
  byId("back").disabled = at === 0;
  byId("next").disabled = !(at < all && answers.has(questions[at].id));
  const underway = sending(outbox);
  byId("status").textContent = refusal || underway || last(kind, questions, answers, at);
  drawPause({ rater, done, all, underway, refusal });
}

function sending(outbox) {
  const count = outbox.waiting().length;
  if (!count) return "";
  const answers = count === 1 ? "1 answer" : `${count} answers`;
  const problem = outbox.problem.replace(/\.$/, "");
  return problem ? `${problem}. ${answers} kept here, to be sent again` : `Sending ${answers} …`;
}

function last(kind, questions, answers, at) {
  const here = answers.get(questions[at]?.id);
  if (here) return `You said: ${kind.words(here)}`;
  const before = at > 0 && answers.get(questions[at - 1].id);
  if (before) return `Last: ${kind.words(before)}`;
  const [key, meaning] = kind.keys[0];
  return matchMedia("(hover: none)").matches ? "Tap a picture for a closer look" : `${key}: ${meaning}. Instructions and keys: ?`;
}

function drawPause({ rater, done, all, underway, refusal }) {
  const finished = done === all;
  document.querySelector("#pausing h1").textContent = finished ? "Thank you. That was all." : "Pause";
  const closing = underway ? "Keep this page open until the answers are sent" : finished ? "You may look through them" : "Close the page if you like";
  byId("pause-words").textContent = finished
    ? `All ${all} questions are answered. ${closing}.`
    : `${done} of ${all} are answered. ${closing}: under the name ${rater} you go on from here.`;
  byId("pause-status").textContent = refusal || underway;
  byId("resume").textContent = finished ? "Look through" : "Go on";
}
