// Words, WordPiece tokens with their places, and windows: as keras_kd's
// data/tokenization.py, tasks/token_tagging.py and data/token_windows.py.

// As data/words.py has them.
const HAN = "[\u4e00-\u9fff]";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\p{Zs}\\u2028\\u2029";
const LETTER = `(?!${HAN})[\\p{L}\\p{N}\\p{M}_]`;
const INITIAL = `(?!${HAN})\\p{L}`;
const CLITIC =
  `['\u2019](?:[sSdDmM]|re|RE|ve|VE|ll|LL)(?!${LETTER})`;
const WORD = new RegExp(
  `${HAN}` +
    `|(?:${INITIAL}\\.)+${INITIAL}(?:\\.|(?!${LETTER}))` +
    `|(?:${LETTER})+` +
    `(?:(?:[-&]|(?!${CLITIC})['\u2019]|(?<=\\p{N})[.,:](?=\\p{N}))` +
    `(?:${LETTER})+)*` +
    `|(?<=[\\p{L}\\p{N}\\p{M}_])${CLITIC}` +
    `|[^${SPACE}]`,
  "gu",
);

/** Words and signs of a text: `{text, start, end}`. */
export function splitWords(text) {
  return [...text.matchAll(WORD)].map(({ 0: word, index }) => ({
    text: word, start: index, end: index + word.length,
  }));
}

/** BERT's WordPiece; the settings are those of `/student.json`. */
export class Tokenizer {
  constructor(settings) {
    Object.assign(this, settings);
    this.vocabulary = new Map(Object.entries(settings.vocabulary));
    for (const name of ["deleted", "spaces", "ideographs", "isolated"]) {
      this[name] = new RegExp(settings[name], "u");
    }
  }

  /** The tokens of a text: `{id, start, end}`, places in UTF-16 units. */
  encode(text) {
    const words = [[]];
    for (const part of this.normalize(text)) {
      if (part.alone) words.push([]);
      if (part.text !== " ") words.at(-1).push(part);
      if (part.alone) words.push([]);
    }
    return words.filter((word) => word.length).flatMap(
      (word) => this.pieces(word),
    );
  }

  /** Characters as the vocabulary has them, and where they come from. */
  *normalize(text) {
    let end = 0;
    for (const character of text) {
      const start = end;
      end += character.length;
      if (this.spaces.test(character)) {
        yield { text: " ", alone: true };
      } else if (!this.deleted.test(character)) {
        const ideograph = this.ideographs.test(character);
        for (const part of this.decompose
          ? character.normalize("NFD") : character) {
          if (this.decompose && this.deleted.test(part)) continue;
          for (const own of this.lowercase ? part.toLowerCase() : part) {
            const alone = ideograph || this.isolated.test(own);
            yield { text: own, start, end, alone };
          }
        }
      }
    }
  }

  /** The longest pieces that there are, from the left; or one unknown. */
  pieces(word) {
    const whole = [
      { id: this.unknown, start: word[0].start, end: word.at(-1).end },
    ];
    if (word.length > this.longest_word) return whole;
    const tokens = [];
    for (let first = 0; first < word.length; ) {
      let piece = (first ? this.prefix : "") +
        word.slice(first).map((part) => part.text).join("");
      let last = word.length - 1;
      while (last >= first && !this.vocabulary.has(piece)) {
        piece = piece.slice(0, piece.length - word[last].text.length);
        last -= 1;
      }
      if (last < first) return whole;
      tokens.push({
        id: this.vocabulary.get(piece),
        start: word[first].start,
        end: word[last].end,
      });
      first = last + 1;
    }
    return tokens;
  }
}

/** How many tokens of text fit. */
export function roomIn({ length, template }) {
  return length - template.filter(([sequence]) => sequence === null).length;
}

/** A row: the tokens of its texts, with the special ones around them. */
export function fill(template, sequences) {
  return template.flatMap(([sequence, id, segment]) =>
    sequence === null
      ? [{ id, segment }]
      : sequences[sequence].map((token) => ({ ...token, segment, sequence })));
}

/** The windows `[start, stop]` that cover items of so many tokens each. */
export function tokenWindows(sizes, room, overlap) {
  const ends = [0];
  for (const size of sizes) ends.push(ends.at(-1) + size);
  const windows = [];
  for (let start = 0; !windows.length || windows.at(-1)[1] < sizes.length; ) {
    const stop = ends.findLastIndex((end) => end <= ends[start] + room);
    windows.push([start, stop]);
    const shared = ends.findIndex((end) => end >= ends[stop] - overlap);
    start = Math.max(shared, start + 1);
  }
  return windows;
}

/** The window in which an item has most context. */
export function ownWindow(windows, item) {
  const context = windows.map(([start, stop]) =>
    item >= start && item < stop ? Math.min(item - start, stop - 1 - item) : -1,
  );
  return context.indexOf(Math.max(...context));
}
