// A rater at work: who it is, which question is shown, where a key goes, and what happens when all is said.
//
// What an answer is, is in kinds.js; how it is kept, in sending.js; pictures are in pictures.js, the page's parts in
// view.js. An answer counts when it is complete, and the next open question follows at once.

import { KINDS, start } from "./kinds.js";
import { Closer, loadAll } from "./pictures.js";
import { Outbox, call, newId, storage } from "./sending.js";
import { byId, drawHelp, drawQuestion, drawPage, show, wait } from "./view.js";

const AHEAD = 3; // questions whose pictures are loaded ahead
const SETTLE = 300; // milliseconds for which a question is only looked at: what comes sooner was meant for the one before
const tab = storage("sessionStorage"), browser = storage("localStorage");
const closer = new Closer(byId("closer"));
let study, kind, rater, place, answers, outbox;
let questions = [];
let at = 0; // the question that is shown
let refusal = ""; // that an answer was not taken, and why, until the next is given
let draft = start();
let ready = false; // whether its pictures are seen, so that keys count
let looked = 0, since = null; // milliseconds that it was seen, and since when it is

// Coming and going

async function open() {
  study = await call("api/study");
  kind = KINDS[study.kind];
  document.title = kind.heading;
  document.querySelector("#welcome h1").textContent = kind.heading;
  byId("instructions").textContent = study.instructions;
  byId("name").value = browser.getItem("byteedit/name") ?? "";
  const name = tab.getItem("byteedit/name");
  if (name) await join(name).catch(() => welcome());
  else welcome();
}

function welcome() {
  show("welcome");
  byId("name").focus();
}

async function join(name) {
  const seat = `byteedit/place/${study.study}/${name}`; // remembered here, should the server forget it
  const kept = parseInt(browser.getItem(seat), 10);
  const joined = await call("api/join", { name, place: Number.isSafeInteger(kept) ? kept : null });
  tab.setItem("byteedit/name", name);
  browser.setItem("byteedit/name", name);
  browser.setItem(seat, JSON.stringify(joined.place ?? null));
  rater = joined.rater;
  outbox = new Outbox(study.study, rater, { changed: tell, refused });
  take(joined, 0);
  outbox.flush();
  go(nextOpen(-1));
}

/** What the server asks and has, and on top of it what it cannot have had when `count` answers had arrived. */
function take(joined, count) {
  const here = new Map(questions.map((question) => [question.id, question]));
  place = joined.place;
  questions = joined.questions.map((question) => here.get(question.id) ?? question);
  answers = new Map(Object.entries(joined.answers));
  for (const { question, value } of outbox.since(count)) answers.set(question, value);
  drawHelp({ kind, study, questions });
}

function leave() {
  for (const kept of [tab, browser]) kept.removeItem("byteedit/name");
  location.reload();
}

/** After a while away, another tab or device may have gone on; after a refusal, other questions may be asked. */
async function refresh() {
  const arrived = outbox.arrived.length;
  const joined = await call("api/join", { name: rater, place });
  const before = answers, here = questions[at];
  take(joined, arrived);
  const untouched = Object.keys(draft.value).length === 0;
  const done = here && !before.has(here.id) && answers.has(here.id) && untouched;
  at = here ? questions.indexOf(here) : questions.length;
  const gone = at < 0; // no longer asked
  if ((done || gone) && !byId("work").hidden) return go(nextOpen(at));
  if (gone) at = nextOpen(at);
  return tell();
}

// From question to question

function nextOpen(from) {
  const open = (index) => !answers.has(questions[index].id);
  const order = questions.map((_, index) => (from + 1 + index) % questions.length);
  return order.find(open) ?? questions.length;
}

async function go(index) {
  at = index;
  ready = false;
  stopWatch();
  looked = 0;
  if (at >= questions.length) return finished();
  const question = questions[at];
  draft = start(answers.get(question.id));
  show("work");
  tell();
  byId("stage").classList.add("loading");
  try {
    await loadAll(question);
  } catch {
    return questions[at] === question && wait("A picture could not be loaded.", () => go(index));
  }
  if (questions[at] !== question || byId("work").hidden) return null;
  draw();
  byId("stage").classList.replace("loading", "settling");
  startWatch();
  ahead(index);
  await new Promise((done) => setTimeout(done, SETTLE));
  if (questions[at] !== question) return null;
  byId("stage").classList.remove("settling");
  ready = true;
  return null;
}

function ahead(index) {
  const open = questions.filter((question, other) => other > index && !answers.has(question.id));
  for (const question of open.slice(0, AHEAD)) loadAll(question).catch(() => {});
}

const back = () => at > 0 && go(at - 1);
const forward = () => at < questions.length && answers.has(questions[at].id) && go(at + 1);

function change(next) {
  const question = questions[at];
  if (!ready || !next) return;
  const before = draft;
  draft = next;
  draw();
  if (!kind.complete(question, draft.value)) return;
  if (!same(answers.get(question.id), draft.value)) record(question, draft.value);
  const oneThing = question.axes.length === 1 && study.kind !== "best-worst";
  if (oneThing || !kind.complete(question, before.value)) go(nextOpen(at));
}

const same = (one, other) =>
  one !== undefined && Object.keys(other).every((name) => one[name] === other[name]);

function record(question, value) {
  const seconds = Math.round((looked + (since ? performance.now() - since : 0)) / 100) / 10;
  refusal = "";
  outbox.add({ study: study.study, rater, place, id: newId(), question: question.id, value, seconds });
  answers.set(question.id, value);
}

function refused(answer, words) {
  refusal = `An answer was not taken: ${words}`;
  if (answer.rater !== rater) return tell();
  answers.delete(answer.question);
  return refresh().catch(tell);
}

// Pausing and the end

function finished() {
  show("pausing");
  tell();
  byId("resume").focus();
}

function pause() {
  stopWatch();
  show("pausing");
  tell();
  byId("resume").focus();
}

const resume = () => go(at < questions.length ? at : nextOpen(-1) < questions.length ? nextOpen(-1) : 0);

// What is seen

const tell = () => rater && drawPage({ kind, rater, questions, answers, at, outbox, refusal });

function draw() {
  drawQuestion({ kind, question: questions[at], draft, change, look: (index) => closer.show(questions[at], index) });
}

function startWatch() {
  since ??= document.hidden ? null : performance.now();
}

function stopWatch() {
  looked += since ? performance.now() - since : 0;
  since = null;
}

// Keys and buttons

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (closer.open ? closer.press(event.key) : !byId("work").hidden && !byId("keys").open && pressAtWork(event))
    event.preventDefault();
}

function pressAtWork({ key, repeat }) {
  const focused = document.activeElement?.tagName === "BUTTON";
  if (repeat && focused && key === "Enter") return true; // held, it presses a button once
  const next = repeat ? null : kind.press(key, questions[at], draft);
  if (next) change(next); // which lets one that comes too soon go by
  else if (key === "Backspace" || key === "ArrowLeft") back();
  else if (key === "ArrowRight" || (key === "Enter" && !focused)) forward();
  else if (key === " " && !focused) closer.show(questions[at], 0);
  else if (key === "p" || key === "P") pause();
  else if (key === "?") byId("keys").showModal();
  else return false;
  return true;
}

document.addEventListener("keydown", press);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return stopWatch();
  if (ready) startWatch();
  return rater && refresh().catch(() => {});
});
byId("join").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("join-error").textContent = "";
  join(byId("name").value).catch((error) => { byId("join-error").textContent = error.message; });
});
for (const button of document.querySelectorAll("[data-close]"))
  button.addEventListener("click", () => button.closest("dialog").close());
const CLICKS = { back, next: forward, pause, resume, leave, help: () => byId("keys").showModal() };
for (const [id, act] of Object.entries(CLICKS)) byId(id).addEventListener("click", act);
byId("before").addEventListener("click", () => closer.show(questions[at], questions[at].pictures.length + (questions[at].mask ? 1 : 0)));
open().catch((error) => {
  show("welcome");
  byId("join-error").textContent = `${error.message}. Reload the page.`;
});
