// Labels of a text, in MediaPipe's Text Classifier.

import {
  FilesetResolver,
  TextClassifier,
} from "/tasks-text/text_bundle.mjs";

function bar(score) {
  const meter = document.createElement("meter");
  meter.value = score;
  return meter;
}

export async function load() {
  const files = await FilesetResolver.forTextTasks("/tasks-text/wasm");
  const classifier = await TextClassifier.createFromOptions(files, {
    baseOptions: { modelAssetPath: "/model.tflite" },
  });
  return async ({ text }) => {
    const { classifications } = classifier.classify(text);
    const scores = classifications[0].categories.map(
      ({ categoryName, score }) => [categoryName, score],
    );
    return {
      text,
      scores: Object.fromEntries(scores),
      head: ["label", "score", ""],
      rows: scores.map(([name, score]) => [name, score.toFixed(3), bar(score)]),
    };
  };
}
