// The way to the server: a request with its errors in words, and an outbox from which no answer is lost or sent twice.
//
// An answer lies in the browser's storage under its own key until the server says that it has it, over reloads, from
// whichever tab and whoever sits there by then. The server knows answers by their id, so sending again does no harm.
// Answers go out one by one, in order.

export class Refused extends Error {}

export async function call(path, fields) {
  const headers = { "Content-Type": "application/json" };
  const post = { method: "POST", headers, body: JSON.stringify(fields), keepalive: true };
  let answer, said;
  try {
    answer = await fetch(path, fields ? post : {});
    said = await answer.json();
  } catch {
    throw new Error("The server does not answer");
  }
  if (answer.ok) return said;
  throw answer.status < 500 && answer.status !== 409 ? new Refused(said.error) : new Error(said.error);
}

export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function storage(kind) {
  try {
    window[kind].setItem("byteedit", "");
    return window[kind];
  } catch { // a browser that keeps nothing for pages within pages
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value),
      removeItem: (key) => kept.delete(key), key: (index) => [...kept.keys()][index] ?? null,
      get length() { return kept.size; },
    };
  }
}

export class Outbox {
  constructor(study, rater, { changed, refused }) {
    this.kept = storage("localStorage");
    this.study = `byteedit/${study}/`;
    this.rater = rater;
    this.changed = changed;
    this.refused = refused;
    this.failures = 0;
    this.problem = "";
    addEventListener("online", () => this.flush());
  }

  /** What is on its way, of all who rated in this browser. */
  waiting() {
    const keys = Array.from({ length: this.kept.length }, (_, index) => this.kept.key(index));
    const texts = keys.filter((key) => key?.startsWith(this.study)).map((key) => this.kept.getItem(key));
    return texts.filter(Boolean).map((text) => JSON.parse(text)).sort((one, other) => one.at - other.at);
  }

  /** What is on its way of this rater. */
  pending() {
    return this.waiting().filter((answer) => answer.rater === this.rater);
  }

  key({ rater, id }) {
    return `${this.study}${rater}/${id}`;
  }

  add(answer) {
    this.kept.setItem(this.key(answer), JSON.stringify({ ...answer, at: performance.timeOrigin + performance.now() }));
    this.flush();
  }

  async flush() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.again);
    try {
      for (let answers = this.waiting(); answers.length; answers = this.waiting()) await this.send(answers[0]);
    } catch (error) {
      this.problem = error.message;
      this.failures += 1;
      this.again = setTimeout(() => this.flush(), 1000 * Math.min(30, 2 ** this.failures));
    }
    this.sending = false;
    this.changed();
  }

  async send({ at, ...answer }) {
    this.changed();
    try {
      await call("api/answers", answer);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refused(answer, error.message);
    }
    this.failures = 0;
    this.problem = "";
    this.kept.removeItem(this.key(answer));
  }
}
