import {
  FilesetResolver,
  TextClassifier,
} from "/tasks-text/text_bundle.mjs";

const [input, state, table, time, teacher] = [
  "text", "state", "answer", "time", "teacher",
].map((id) => document.getElementById(id));
const LISTED_TEXTS = 20;

function cell(row, content) {
  const element = document.createElement("td");
  element.append(content);
  row.append(element);
}

function bar(score) {
  const meter = document.createElement("meter");
  meter.value = score;
  return meter;
}

function show(classifier, answers) {
  const text = input.value;
  const start = performance.now();
  const { classifications } = classifier.classify(text);
  const milliseconds = performance.now() - start;
  const rows = classifications[0].categories.map((category) => {
    const row = document.createElement("tr");
    row.dataset.label = category.categoryName;
    row.dataset.score = category.score;
    cell(row, category.categoryName);
    cell(row, category.score.toFixed(3));
    cell(row, bar(category.score));
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  table.hidden = false;
  time.textContent = `${milliseconds.toFixed(2)} ms`;
  const answer = Object.hasOwn(answers, text) ? answers[text] : null;
  teacher.textContent = answer
    ? `The teacher's answer: ${answer[0]}, ${answer[1].toFixed(3)}`
    : "The teacher's answer was not saved for this text.";
  table.dataset.text = text;
}

async function start() {
  const begin = performance.now();
  const files = await FilesetResolver.forTextTasks("/tasks-text/wasm");
  const classifier = await TextClassifier.createFromOptions(files, {
    baseOptions: { modelAssetPath: "/model.tflite" },
  });
  // What is made at the first call is not what a text costs.
  classifier.classify("");
  const answers = await (await fetch("/answers.json")).json();
  const options = Object.keys(answers).slice(0, LISTED_TEXTS).map((text) => {
    const option = document.createElement("option");
    option.value = text;
    return option;
  });
  document.getElementById("texts").replaceChildren(...options);
  const seconds = (performance.now() - begin) / 1000;
  state.textContent = `Loaded in ${seconds.toFixed(1)} s.`;
  input.disabled = false;
  input.focus();
  input.addEventListener("input", () => show(classifier, answers));
  document.body.dataset.state = "ready";
}

start().catch((error) => {
  state.textContent = `The student could not be loaded: ${error}`;
  document.body.dataset.state = "failed";
});
