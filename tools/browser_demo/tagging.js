// Entities, as keras_kd's tasks/token_tagging.py finds them.

import { loadStudent } from "/litert.js";
import {
  Tokenizer, fill, ownWindow, roomIn, splitWords, tokenWindows,
} from "/tokens.js";

const IMPOSSIBLE = -1e9;

/** The logits of each word's first piece, and the ids of each window. */
async function scoreWords(words, settings, tokenizer, student) {
  const room = roomIn(settings);
  const pieces = words.map((word) => {
    const tokens = tokenizer.encode(word.text).slice(0, room);
    return tokens.length ? tokens : [{ id: tokenizer.unknown }];
  });
  const sizes = pieces.map((tokens) => tokens.length);
  const windows = tokenWindows(sizes, room, settings.stride);
  const logits = [];
  const ids = [];
  for (const [number, [start, stop]] of windows.entries()) {
    const tokens = pieces.slice(start, stop).flatMap((own, place) => {
      const word = start + place;
      const first = ownWindow(windows, word) === number ? { word } : {};
      return [{ ...own[0], ...first }, ...own.slice(1)];
    });
    const row = fill(settings.template, [tokens]);
    const outputs = await student(row);
    ids.push(row.map(({ id }) => id));
    row.forEach(({ word }, place) => {
      if (word !== undefined) logits[word] = outputs[place];
    });
  }
  return { logits, ids };
}

function logSoftmax(logits) {
  const largest = Math.max(...logits);
  const sum = logits.reduce((all, x) => all + Math.exp(x - largest), 0);
  return logits.map((x) => x - largest - Math.log(sum));
}

function largest(values) {
  return values.indexOf(Math.max(...values));
}

/**
 * Viterbi: the valid tags whose scores add up to most.
 *
 * A word has a score for each tag; or, in a chain, for each tag behind each
 * other one, first those of a sentence's first word.
 */
export function bestTags(scores, allowed) {
  const tags = allowed[0].map((_, tag) => tag);
  const isChain = scores[0].length > tags.length;
  const score = (word, before, tag) =>
    scores[word][isChain ? before * tags.length + tag : tag];
  const barred = (before, tag) => (allowed[before][tag] ? 0 : IMPOSSIBLE);
  let best = tags.map((tag) => score(0, 0, tag) + barred(0, tag));
  const pointers = [];
  for (let word = 1; word < scores.length; word += 1) {
    const paths = tags.map((tag) => tags.map((before) =>
      best[before] + score(word, before + 1, tag) + barred(before + 1, tag)));
    pointers.push(paths.map(largest));
    best = paths.map((all) => Math.max(...all));
  }
  const found = [largest(best)];
  for (const step of pointers.reverse()) found.unshift(step[found[0]]);
  return found;
}

/** The entities of valid tags: `{type, words}`. */
function entities(tags) {
  const found = [];
  tags.forEach((tag, word) => {
    if (tag.startsWith("B-")) {
      found.push({ type: tag.slice(2), words: [word, word + 1] });
    } else if (tag.startsWith("I-")) {
      found.at(-1).words[1] = word + 1;
    }
  });
  return found;
}

export async function load(settings) {
  const tokenizer = new Tokenizer(settings.tokenizer);
  const student = await loadStudent(settings.length);
  return async ({ text }) => {
    const words = splitWords(text);
    const empty = { text, words, tags: [], logits: [], ids: [] };
    if (!words.length) return { ...empty, head: [], rows: [], marks: [] };
    const { logits, ids } = await scoreWords(
      words, settings, tokenizer, student,
    );
    const isChain = logits[0].length > settings.labels.length;
    const scores = isChain ? logits : logits.map(logSoftmax);
    const numbers = bestTags(scores, settings.allowed);
    const tags = numbers.map((number) => settings.labels[number]);
    const marks = entities(tags).map(({ type, words: [first, end] }) => ({
      label: type,
      words: [first, end],
      start: words[first].start,
      end: words[end - 1].end,
    }));
    const probability = isChain ? null : Math.exp(
      Math.min(...numbers.map((number, word) => scores[word][number])),
    );
    return {
      text, words, tags, logits, ids, marks, probability,
      head: ["entity", "type"],
      rows: marks.map((one) => [text.slice(one.start, one.end), one.label]),
      note: isChain ? "" :
        `; the least certain word: ${probability.toFixed(3)}`,
    };
  };
}
