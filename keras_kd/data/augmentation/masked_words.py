"""What a masked language model proposes in place of words."""

import numpy as np

from keras_kd.batch import LOGITS
from keras_kd.batch import MASK_POSITIONS
from keras_kd.batch import PADDING_MASK
from keras_kd.batch import SEGMENT_IDS
from keras_kd.batch import TOKEN_IDS
from keras_kd.data.augmentation.nearest_words import SPELLINGS
from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.augmentation.word_splitter import has_letter
from keras_kd.data.augmentation.word_splitter import one_of_each
from keras_kd.data.batches import by_length


class MaskedWords:
    """Asks a masked language model which words may stand in a word's place.

    Each word that is a single token is masked by itself, and the model is run
    on the text, or on a window around the word where the text is longer. The
    words with the highest logits are proposed, never the word itself, and
    nothing but words: no pieces, marks, numbers or special tokens.

    Args:
        runtime: `(input names, predict)` of the model, as
            `keras_kd.inference.keras_runtime` gives it. Its `logits` are
            `[batch, places, vocabulary]` where `mask_positions` is among the
            inputs (`keras_kd.models.masked_lm.at_positions`), and else
            `[batch, length, vocabulary]`, which takes twice as long.
        tokenizer: `Tokenizer` of the model.
        splitter: `WordSplitter`.
        count: How many words are proposed.
        window: The most tokens that the model is run on, special ones
            included.
        tokens_per_batch: The most tokens of a batch.

    Raises:
        ValueError: The tokenizer has no mask, or cuts words before it makes
            tokens.

    Example:

    ```python
    model = keras_kd.load_pretrained("bert-base-uncased", "masked_lm")
    words = MaskedWords(keras_runtime(at_positions(model)), tokenizer)
    words.propose(["a fine film"])
    ```

    Source: Jiao et al. 2020, "TinyBERT", Algorithm 1
    (https://arxiv.org/abs/1909.10351).
    """

    def __init__(
        self,
        runtime,
        tokenizer,
        splitter=None,
        count=15,
        window=128,
        tokens_per_batch=2048,
    ):
        if tokenizer.mask_id is None or tokenizer.segmenter is not None:
            raise ValueError(
                "A masked language model needs a tokenizer with a mask token "
                "that reads text as it is. Received: one with "
                f"mask_id={tokenizer.mask_id} and "
                f"segmenter={tokenizer.segmenter!r}. Give the tokenizer that "
                "the model was pretrained with."
            )
        self.runtime = runtime
        self.tokenizer = tokenizer
        self.splitter = splitter or WordSplitter()
        self.count = count
        self.window = window
        self.tokens_per_batch = tokens_per_batch
        self._words = _whole_words(tokenizer, self.splitter)
        self._is_word = np.array([word is not None for word in self._words])

    def propose(self, texts):
        """The words that may stand in place of each word of some texts.

        Args:
            texts: List of strings.

        Returns:
            A list for each text: `((start, end), words)`, the words in
            alphabetical order; `None` where the word there is several tokens.
        """
        rows = self._read(texts)
        found = [
            [[span, None if token is None else []] for span, token in row]
            for _, row in rows
        ]
        jobs = [
            (text, word, token)
            for text, (_, row) in enumerate(rows)
            for word, (_, token) in enumerate(row)
            if token is not None
        ]
        special = self.tokenizer.special_token_count()
        lengths = np.array(
            [min(len(rows[t][0]) + special, self.window) for t, _, _ in jobs],
            "int64",
        )
        for group in by_length(lengths, self.tokens_per_batch):
            chosen = [jobs[number] for number in group]
            logits = self._run(
                [(rows[text][0], token) for text, _, token in chosen],
                lengths[group].max(),
            )
            for (text, word, token), row in zip(chosen, logits):
                own = self._words[rows[text][0][token]]
                found[text][word][1] = self._best(row, own)
        return [[tuple(entry) for entry in row] for row in found]

    def words_of_several_tokens(self, texts):
        """The different words of some texts that are several tokens."""
        return {
            text[start:end]
            for text in texts
            for (start, end), token in self._read([text])[0][1]
            if token is None
        }

    def _read(self, texts):
        """Token ids of each text, and `(span, place of its token)` of words.

        Only of those that have a letter. The place is `None` where a word is
        several tokens, or an unknown one.
        """
        # A space before: byte-level BPE has other tokens for a first word.
        encodings = self.tokenizer.backend.encode_batch(
            [f" {text}" for text in texts], add_special_tokens=False
        )
        rows = []
        for text, encoding in zip(texts, encodings):
            starts, ends = np.reshape(encoding.offsets, (-1, 2)).T - 1
            words = []
            for start, end in self.splitter.spans(text):
                if has_letter(text[start:end]):
                    # The tokens that have a character of the word.
                    here = np.flatnonzero((ends > start) & (starts < end))
                    one = (
                        len(here) == 1 and self._is_word[encoding.ids[here[0]]]
                    )
                    words.append(((start, end), int(here[0]) if one else None))
            rows.append((encoding.ids, words))
        return rows

    def _run(self, jobs, length):
        """The logits `[jobs, vocabulary]` at the words that are masked."""
        template = self.tokenizer.template()
        room = length - template.special_count
        names, predict = self.runtime
        features = {
            name: np.zeros((len(jobs), length), "int32")
            for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)
        }
        places = features[MASK_POSITIONS] = np.zeros((len(jobs), 1), "int32")
        for row, (ids, token) in enumerate(jobs):
            # The word in the middle, or nearer to an end of the text.
            start = max(0, min(token - room // 2, len(ids) - room))
            ids = ids[start : start + room]
            ids[token - start] = self.tokenizer.mask_id
            filled, segments = template.fill([ids], room)
            features[TOKEN_IDS][row, : len(filled)] = filled
            features[SEGMENT_IDS][row, : len(filled)] = segments
            features[PADDING_MASK][row, : len(filled)] = 1
            places[row] = len(template.before) + token - start
        logits = predict({name: features[name] for name in names})[LOGITS]
        asked = 0 if MASK_POSITIONS in names else places[:, 0]
        return np.asarray(logits)[np.arange(len(jobs)), asked]

    def _best(self, logits, own):
        """The words of the highest logits, without the word itself."""
        logits = logits[: len(self._words)]
        logits = np.where(self._is_word[: len(logits)], logits, -np.inf)
        # A word may be there in several spellings: Film, film, FILM.
        most = min(SPELLINGS * (self.count + 1), len(logits))
        best = np.argpartition(-logits, most - 1)[:most]
        best = best[np.argsort(-logits[best], kind="stable")]
        words = [self._words[i] for i in best if np.isfinite(logits[i])]
        words = [w for w in words if w.casefold() != own.casefold()]
        # Equal logits differ by what else is in the batch: not by their order.
        return sorted(one_of_each(words, self.count))


def _whole_words(tokenizer, splitter):
    """The word that each token is by itself; `None` for all others.

    A token is a word if that word, inside of a text, is this token.
    """
    words = [
        tokenizer.backend.decode([number], skip_special_tokens=False).strip()
        for number in range(tokenizer.vocabulary_size)
    ]
    encoded = tokenizer.backend.encode_batch_fast(
        [f" {word}" for word in words], add_special_tokens=False
    )
    return [
        word if ids.ids == [number] and splitter.is_one_word(word) else None
        for number, (word, ids) in enumerate(zip(words, encoded))
    ]
