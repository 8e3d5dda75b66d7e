// The three kinds of question: what is asked, what a key or a button says, and when everything is said.
//
// A draft is {value, axis}: the answer so far, and the axis that the next key is for. All functions are pure; a draft is
// never changed but replaced. The values are those of docs/studies.md.

const MEANINGS = {
  coherence: "Does it fit what is around it: colours, light, edges?",
  structure: "Is everything formed as it should be?",
  aesthetics: "Is it pleasing to look at?",
};
const SIDES = [["left", "←", "1 is better"], ["same", "↓", "The same"], ["right", "→", "2 is better"]];
const SIDE_KEYS = { ArrowLeft: "left", 1: "left", ArrowDown: "same", 0: "same", ArrowRight: "right", 2: "right" };
const SHORT = { left: "1", same: "same", right: "2" };
const MARKS = ["bad", "poor", "fair", "good", "excellent"];

/** What an axis asks; a joint one, such as "structure & aesthetics", asks all of its parts. */
const meaning = (axis) => axis.split(" & ").map((part) => MEANINGS[part] ?? "").join(" ").trim();

/** [axis, meaning] of every axis that any question has and that has a meaning. */
export function criteria(questions) {
  const axes = new Set(questions.flatMap((question) => question.axes));
  return [...axes].map((axis) => [axis, meaning(axis)]).filter(([, words]) => words);
}

const start = (value = {}) => ({ value, axis: 0 });

function said(question, draft, axis, word) {
  const next = Math.min(axis + 1, question.axes.length - 1);
  return { value: { ...draft.value, [question.axes[axis]]: word }, axis: next };
}

function step(question, draft, by) {
  const axis = Math.max(0, Math.min(question.axes.length - 1, draft.axis + by));
  return { ...draft, axis };
}

const allAxes = (question, value) => question.axes.every((axis) => axis in value);

const rows = (question, draft, choices) =>
  question.axes.map((axis, number) => ({
    label: axis === "overall" ? "" : axis,
    meaning: meaning(axis),
    current: question.axes.length > 1 && number === draft.axis,
    choices: choices(axis, number),
  }));

const gsb = {
  heading: "Which picture is better?",
  ask: () => "Which is better?",
  complete: allAxes,
  press(key, question, draft) {
    if (key === "ArrowUp") return step(question, draft, -1);
    return key in SIDE_KEYS ? said(question, draft, draft.axis, SIDE_KEYS[key]) : null;
  },
  rows: (question, draft) =>
    rows(question, draft, (axis, number) =>
      SIDES.map(([side, key, words]) => ({
        words, key, chosen: draft.value[axis] === side, draft: () => said(question, draft, number, side),
      }))),
  badge(question, draft, position) {
    const [axis, ...others] = question.axes;
    return others.length === 0 && draft.value[axis] === ["left", "right"][position - 1] ? "best" : "";
  },
  words(value) {
    const said = Object.values(value).map((side) => SHORT[side]);
    return said.length > 1 ? said.join(", ") : said[0] === "same" ? "the same" : `${said[0]} is better`;
  },
  keys: [["← or 1", "the first is better"], ["→ or 2", "the second is better"], ["↓ or 0", "they are the same"]],
};

const scores = {
  heading: "How good is each picture?",
  ask: () => "How good is it?",
  complete: allAxes,
  press(key, question, draft) {
    if (key === "ArrowUp" || key === "ArrowDown") return step(question, draft, key === "ArrowUp" ? -1 : 1);
    return /^[1-5]$/.test(key) ? said(question, draft, draft.axis, Number(key)) : null;
  },
  rows: (question, draft) =>
    rows(question, draft, (axis, number) =>
      MARKS.map((words, index) => ({
        words, key: `${index + 1}`, chosen: draft.value[axis] === index + 1,
        draft: () => said(question, draft, number, index + 1),
      }))),
  badge: () => "",
  words: (value) => Object.entries(value).map(([axis, mark]) => `${axis} ${mark}`).join(", "),
  keys: [["1 to 5", "the mark, from bad to excellent"], ["↑ ↓", "to another row"]],
};

const bestWorst = {
  heading: "Which picture is the best, which the worst?",
  ask: (draft) => ("best" in draft.value ? "And which is the worst?" : "Which is the best?"),
  complete: (question, value) => "best" in value && "worst" in value,
  press(key, question, draft) {
    const position = /^[1-9]$/.test(key) ? Number(key) : 0;
    if (!position || position > question.pictures.length) return null;
    const { best, worst } = draft.value;
    if (best && worst) return start({ best: position });
    if (best === position || worst === position) return start();
    return best ? start({ best, worst: position }) : start({ ...draft.value, best: position });
  },
  rows: () => [],
  choices: (question, draft, position) =>
    ["best", "worst"].map((end) => ({
      words: end, name: `Picture ${position}: ${end}`, end, key: "", chosen: draft.value[end] === position,
      draft: () => start(withEnd(draft.value, end, position)),
    })),
  badge: (question, draft, position) => ["best", "worst"].find((end) => draft.value[end] === position) ?? "",
  words: ({ best, worst }) => `best ${best}, worst ${worst}`,
  keys: [["1 to 4", "first the best, then the worst"], ["the same again", "takes the best back"]],
};

function withEnd(value, end, position) {
  const others = Object.entries(value).filter(([name, at]) => name !== end && at !== position);
  return value[end] === position ? Object.fromEntries(others) : { ...Object.fromEntries(others), [end]: position };
}

export const KINDS = { gsb, scores, "best-worst": bestWorst };
export { start };
