// Runs a student in LiteRT.js.

import {
  Tensor,
  loadAndCompile,
  loadLiteRt,
} from "/litertjs/core/dist/index.js";

const INPUTS = {
  token_ids: (token) => token.id,
  segment_ids: (token) => token.segment,
  padding_mask: () => 1,
};

/** Gives a function from a row of tokens to the logits of each. */
export async function loadStudent(length) {
  await loadLiteRt("/litertjs/core/wasm/");
  const model = await loadAndCompile("/model.tflite", { accelerator: "wasm" });
  const names = model.getInputDetails().map(({ name }) => name);
  return async (row) => {
    const inputs = {};
    for (const name of names) {
      const values = new Int32Array(length);
      values.set(row.map(INPUTS[name]));
      inputs[name] = new Tensor(values, [1, length]);
    }
    const { logits } = await model.run(inputs);
    const values = Array.from(logits.toTypedArray());
    // What is in WebAssembly's memory is not collected.
    for (const tensor of [logits, ...Object.values(inputs)]) tensor.delete();
    const width = values.length / length;
    return row.map((_, place) =>
      values.slice(place * width, (place + 1) * width));
  };
}
