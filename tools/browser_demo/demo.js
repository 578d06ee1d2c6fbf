// The page: what is typed goes to the module of the student's task.

const MODULES = {
  token_tagging: "/tagging.js",
  question_answering: "/reading.js",
};
const LISTED_TEXTS = 20;

const find = (id) => document.getElementById(id);
/** The last answer, with what it was made of. */
export const last = {};

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

function tableRow(name, cells) {
  return element("tr", ...cells.map((cell) => element(name, cell)));
}

/** A text with marks at `{start, end, label}`, in their order. */
function marked(text, marks) {
  const parts = [];
  let place = 0;
  for (const { start, end, label } of marks) {
    parts.push(text.slice(place, start));
    const mark = element("mark", text.slice(start, end));
    if (label) mark.append(element("small", label));
    parts.push(mark);
    place = end;
  }
  return [...parts, text.slice(place)];
}

async function show(answer, fields, answers) {
  const start = performance.now();
  const result = await answer(fields);
  const milliseconds = performance.now() - start;
  const table = find("answer");
  table.tHead.replaceChildren(tableRow("th", result.head));
  table.tBodies[0].replaceChildren(
    ...result.rows.map((row) => tableRow("td", row)),
  );
  table.hidden = !result.rows.length;
  find("marked").replaceChildren(...marked(result.text, result.marks ?? []));
  find("marked").hidden = !result.marks;
  find("time").textContent =
    `${milliseconds.toFixed(2)} ms${result.note ?? ""}`;
  const saved = Object.values(fields).join("\n");
  find("teacher").textContent = Object.hasOwn(answers, saved)
    ? `The teacher's answer: ${answers[saved][0]}, ` +
      answers[saved][1].toFixed(3)
    : "The teacher's answer was not saved for this text.";
  Object.assign(last, { fields, result });
}

async function start() {
  const begin = performance.now();
  const settings = await (await fetch("/student.json")).json();
  const { load } = await import(MODULES[settings.task] ?? "/classifier.js");
  const answer = await load(settings);
  const isReading = settings.task === "question_answering";
  const inputs = isReading
    ? { question: find("question"), text: find("context") }
    : { text: find("text") };
  const typed = () => Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [name, input.value]),
  );
  // What is made at the first call is not what a text costs.
  await answer({ question: ".", text: "." });
  const answers = await (await fetch("/answers.json")).json();
  const texts = isReading ? [] : Object.keys(answers).slice(0, LISTED_TEXTS);
  find("texts").replaceChildren(...texts.map((text) => {
    const option = element("option");
    option.value = text;
    return option;
  }));
  const seconds = (performance.now() - begin) / 1000;
  const loaded = `Loaded in ${seconds.toFixed(1)} s.`;
  find("state").textContent = loaded;
  let queue = Promise.resolve();
  for (const input of Object.values(inputs)) {
    input.addEventListener("input", () => {
      // One after the other: the last that is shown is the last typed.
      queue = queue.then(() => show(answer, typed(), answers)).then(
        () => { find("state").textContent = loaded; },
        (error) => { find("state").textContent = error.message; },
      );
    });
  }
  find(isReading ? "reading" : "typing").hidden = false;
  Object.values(inputs)[0].focus();
  document.body.dataset.state = "ready";
}

start().catch((error) => {
  find("state").textContent = `The student could not be loaded: ${error}`;
  document.body.dataset.state = "failed";
});
