// Answers to questions, as keras_kd's evaluation/best_answers.py reads them.

import { loadStudent } from "/litert.js";
import { Tokenizer, fill, roomIn, tokenWindows } from "/tokens.js";

// Of starts and of ends, how many are combined; of answers, how many are kept.
const CANDIDATES = 20;

/** The best spans of a row, the best first: `{score, start, end}`. */
export function bestSpans(row, logits, longest) {
  const places = [...row.keys()].filter((i) => row[i].sequence === 1);
  const [firsts, lasts] = [0, 1].map((side) =>
    places.toSorted((a, b) => logits[b][side] - logits[a][side])
      .slice(0, CANDIDATES));
  const spans = firsts.flatMap((first) => lasts
    .filter((last) => last >= first && last - first < longest)
    .map((last) => ({
      score: logits[first][0] + logits[last][1],
      start: row[first].start,
      end: row[last].end,
    })));
  return spans.toSorted((a, b) => b.score - a.score).slice(0, CANDIDATES);
}

/**
 * The best answers of all windows; one of "" is that there is none.
 *
 * Where that is not given it comes last: it has a share all the same.
 */
export function bestAnswers(rows, settings) {
  const none = Math.min(...rows.map(({ logits: [[a, b]] }) => a + b));
  const spans = rows.flatMap(({ row, logits }) =>
    bestSpans(row, logits, settings.longest_answer));
  spans.sort((a, b) => b.score - a.score || b.start - a.start || b.end - a.end);
  // A place that two windows have counts once.
  const best = new Map();
  for (const span of spans) {
    const place = `${span.start}-${span.end}`;
    if (!best.has(place)) best.set(place, span);
  }
  const answers = [...best.values()].slice(0, CANDIDATES);
  if (!answers.length) return [{ score: 0, start: 0, end: 0 }];
  if (settings.no_answer) {
    const isGiven = none - answers[0].score > settings.threshold;
    answers.splice(
      isGiven ? 0 : answers.length, 0, { score: none, start: 0, end: 0 },
    );
  }
  return answers;
}

export async function load(settings) {
  const tokenizer = new Tokenizer(settings.tokenizer);
  const student = await loadStudent(settings.length);
  return async ({ question, text }) => {
    const asked = tokenizer.encode(question);
    const tokens = tokenizer.encode(text);
    const room = roomIn(settings) - asked.length;
    if (room <= settings.stride) {
      throw new Error(
        `A question of ${asked.length} tokens leaves ${room} of ` +
        `${settings.length} for its text. Ask a shorter one.`,
      );
    }
    const sizes = Array(Math.max(tokens.length, 1)).fill(1);
    const rows = [];
    for (const window of tokenWindows(sizes, room, settings.stride)) {
      const row = fill(settings.template, [asked, tokens.slice(...window)]);
      rows.push({ row, logits: await student(row) });
    }
    const answers = bestAnswers(rows, settings);
    const [{ score, start, end }] = answers;
    const probability = 1 / answers.reduce(
      (sum, one) => sum + Math.exp(one.score - score), 0,
    );
    const answer = text.slice(start, end);
    return {
      text, answer, start, end, probability,
      ids: rows.map(({ row }) => row.map(({ id }) => id)),
      logits: rows.map(({ logits }) => logits),
      head: ["answer", "share", "characters"],
      rows: [[answer || "(no answer)", probability.toFixed(3),
        answer && `${start} to ${end}`]],
      marks: answer ? [{ start, end }] : [],
    };
  };
}
