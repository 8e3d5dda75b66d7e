// The way to the server: a request with its errors in words, and an outbox from which no answer is lost or sent twice.
//
// An answer lies in the browser's storage under its own key until the server says that it has it, over reloads, from
// whichever tab and whoever sits there by then. The server knows answers by their id, so sending again does no harm.
// Answers go out one by one, in order, this rater's first, and say for how long they waited. Only the server's own word
// takes one out: that it has it, or a refusal, which names the study.

const STRANGER = "Something else answers at this address";

class Refused extends Error {
  constructor(words, study) {
    super(words);
    this.study = study; // whose server refuses; undefined where the answer does not say so
  }
}

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
  if (typeof said?.error !== "string") throw new Error(STRANGER);
  throw answer.status === 400 ? new Refused(said.error, said.study) : new Error(said.error);
}

export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The browser's storage, and in memory what that does not take: when it is full, or keeps nothing for this page. */
export function storage(kind) {
  const memory = new Map();
  let disk = null;
  try {
    disk = window[kind];
  } catch { /* a browser that keeps nothing for pages within pages */ }
  return {
    getItem: (key) => memory.get(key) ?? disk?.getItem(key) ?? null,
    setItem(key, value) {
      try {
        disk.setItem(key, value);
        memory.delete(key);
      } catch {
        memory.set(key, value);
      }
    },
    removeItem(key) {
      memory.delete(key);
      disk?.removeItem(key);
    },
    keys: () => [...new Set([...memory.keys(), ...Object.keys(disk ?? {})])],
  };
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
    this.arrived = []; // what the server took while this page was open
    this.given = 0; // when the last answer was given, in ms of this clock;
    this.written = new Map(); // by rater and question, the latest that the server can have noted for what it took
    addEventListener("online", () => this.flush());
  }

  /** What is on its way, of all who rated in this browser. */
  waiting() {
    const keys = this.kept.keys().filter((key) => key.startsWith(this.study));
    const texts = keys.map((key) => this.kept.getItem(key));
    return texts.filter(Boolean).map((text) => JSON.parse(text)).sort((one, other) => one.at - other.at);
  }

  next() {
    const answers = this.waiting();
    return answers.find((answer) => answer.rater === this.rater) ?? answers[0];
  }

  /** What this rater said that is on its way, or arrived when `count` answers had. */
  since(count) {
    return [...this.arrived.slice(count), ...this.waiting()].filter((answer) => answer.rater === this.rater);
  }

  key({ rater, id }) {
    return `${this.study}${rater}/${id}`;
  }

  add(answer) {
    this.given = Math.max(Date.now(), this.given + 1); // in order, though the clock be set back
    this.kept.setItem(this.key(answer), JSON.stringify({ ...answer, at: this.given }));
    this.flush();
  }

  async flush() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.again);
    try {
      for (let answer = this.next(); answer; answer = this.next()) await this.send(answer);
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
    const asked = `${answer.rater}/${answer.question}`;
    const since = Math.max(at, this.written.get(asked) ?? 0); // on a slow line, too, later is later
    const waited = Math.max(0, Date.now() - since);
    try {
      const said = await call("api/answers", { ...answer, waited: waited / 1000 });
      if (typeof said?.new !== "boolean") throw new Error(STRANGER);
      this.written.set(asked, said.new ? Date.now() - waited : Date.now()); // an earlier copy may just have come
      this.arrived.push(answer);
    } catch (error) {
      if (!(error instanceof Refused && error.study === answer.study)) throw error;
      this.refused(answer, error.message);
    }
    this.failures = 0;
    this.problem = "";
    this.kept.removeItem(this.key(answer));
  }
}
