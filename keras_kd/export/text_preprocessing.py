"""BERT's WordPiece tokenizer as TensorFlow operations, for serving text."""

import functools
import json

import tensorflow as tf

from keras_kd import batch

# A character that no normaliser changes and no text class holds: characters
# are strung together with it, to ask the tokenizer about all of them at once.
SEPARATOR = "\u2603"
LETTER = "x"
MAX_CODE_POINT = 0x10FFFF
MAX_BYTES_PER_CHARACTER = 4


class InGraphTokenizer(tf.Module):
    """Turns strings into a student's inputs inside a TensorFlow graph.

    The ids are those of the Python tokenizer. What it deletes, takes for a
    space, for a Chinese character or for punctuation is asked of that
    tokenizer itself, one character at a time, when the graph is built: that
    keeps the two together whatever their versions of Unicode. A literal
    `[SEP]` in the text stays text.

    What may differ is the decomposition and the small letter of a character
    that only one side's version of Unicode knows, and the order of some
    combining marks that are not accents. `tests/export` lists what is known.

    Args:
        tokenizer: A `keras_kd.data.tokenization.Tokenizer` of the kind
            `"wordpiece"` with BERT's normaliser.
        max_length: The most ids of a row, `[CLS]` and `[SEP]` included.

    Raises:
        ValueError: Another tokenizer than BERT's, or no room for any text.

    Example:

    >>> in_graph = InGraphTokenizer(tokenizer, max_length=128)
    >>> in_graph(tf.constant(["A fine film."]))["token_ids"]
    <tf.Tensor: shape=(1, 6), dtype=int32, numpy=
    array([[ 101, 1037, 2986, 2143, 1012,  102]], dtype=int32)>
    """

    def __init__(self, tokenizer, max_length):
        super().__init__(name="in_graph_tokenizer")
        reason = unsupported_reason(tokenizer)
        if reason:
            raise ValueError(
                f"No raw-text signature for this tokenizer: {reason}. Expected "
                "WordPiece with BERT's normaliser. Export the features "
                "signature alone, and tokenise outside of the graph."
            )
        if max_length < 3:
            raise ValueError(
                "`max_length` must be 3 or more, to hold [CLS], a token and "
                f"[SEP]. Received: {max_length}"
            )
        self.max_length = max_length
        description = json.loads(tokenizer.backend.to_str())
        normalizer = description["normalizer"]
        model = description["model"]
        self._lowercase = normalizer["lowercase"]
        strip_accents = normalizer["strip_accents"]
        self._decompose = (
            self._lowercase if strip_accents is None else strip_accents
        )
        characters = _classify_characters(
            json.dumps(normalizer), json.dumps(description["pre_tokenizer"])
        )
        self._deleted = _character_class(characters["deleted"])
        self._spaces = _character_class(characters["spaces"])
        self._isolated = _character_class(characters["isolated"])
        self._ideographs = _character_class(characters["ideographs"])
        self._unknown_token = model["unk_token"]
        self._max_characters = model["max_input_chars_per_word"]
        self._special_ids = (
            tokenizer.cls_id,
            tokenizer.sep_id,
            tokenizer.pad_id,
        )
        self._wordpiece = _fast_wordpiece(tokenizer.vocabulary, model)

    def __call__(self, texts):
        """Tokenises a batch.

        Args:
            texts: `tf.string` `[batch]`, UTF-8; bytes that are not are dropped.

        Returns:
            Dictionary of int32 `[batch, longest]`: `token_ids`,
            `padding_mask` and `segment_ids`.
        """
        words = self.split_words(texts)
        lengths = tf.strings.length(words.flat_values, unit="UTF8_CHAR")
        known = tf.where(
            lengths > self._max_characters,
            self._unknown_token,
            words.flat_values,
        )
        pieces = self._wordpiece.tokenize(words.with_flat_values(known))
        ids = pieces.merge_dims(1, 2)[:, : self.max_length - 2]
        rows = tf.ones_like(texts, dtype=tf.int32)[:, tf.newaxis]
        cls_id, sep_id, pad_id = self._special_ids
        ids = tf.concat([rows * cls_id, ids, rows * sep_id], axis=1)
        token_ids = ids.to_tensor(default_value=pad_id)
        return {
            batch.TOKEN_IDS: token_ids,
            batch.PADDING_MASK: tf.sequence_mask(
                ids.row_lengths(), tf.shape(token_ids)[1], dtype=tf.int32
            ),
            batch.SEGMENT_IDS: tf.zeros_like(token_ids),
        }

    def split_words(self, texts):
        """Normalises the texts and splits them into words: a ragged tensor."""
        import tensorflow_text

        x = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        x = tf.strings.regex_replace(x, self._deleted, "")
        x = tf.strings.regex_replace(x, self._spaces, " ")
        x = tf.strings.regex_replace(x, self._ideographs, r" \0 ")
        if self._decompose:
            x = tensorflow_text.normalize_utf8(x, "NFD")
            x = tf.strings.regex_replace(x, self._deleted, "")
        if self._lowercase:
            # Lower-casing looks at the end of a word here, and there not.
            x = tf.strings.regex_replace(x, "Σ", "σ")
            x = tf.strings.lower(x, encoding="utf-8")
        x = tf.strings.regex_replace(x, self._isolated, r" \0 ")
        return tf.strings.split(x)


def in_graph_tokenizer(tokenizer, max_length):
    """Builds an `InGraphTokenizer`; see there for arguments and errors."""
    return InGraphTokenizer(tokenizer, max_length)


def unsupported_reason(tokenizer):
    """Says why a tokenizer cannot be put into a graph; `None` if it can."""
    if tokenizer.kind != "wordpiece":
        return f"it is of the kind '{tokenizer.kind}'"
    description = json.loads(tokenizer.backend.to_str())
    normalizer = (description.get("normalizer") or {}).get("type")
    if normalizer != "BertNormalizer":
        return f"its normaliser is {normalizer}"
    pre_tokenizer = (description.get("pre_tokenizer") or {}).get("type")
    if pre_tokenizer != "BertPreTokenizer":
        return f"its pre-tokenizer is {pre_tokenizer}"
    words = [
        token["content"]
        for token in description.get("added_tokens") or []
        if not token["special"]
    ]
    if words:
        return f"it has added tokens that are not special: {words[:5]}"
    ids = (tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id)
    if None in ids:
        return "it lacks one of [CLS], [SEP] and [PAD]"
    encoded = tokenizer.encode([LETTER], max_length=16)[0][0]
    if (encoded[0], encoded[-1]) != ids[:2] or len(encoded) < 3:
        return "it does not put [CLS] before a text and [SEP] after it"
    return None


def _fast_wordpiece(vocabulary, model):
    import tensorflow_text

    return tensorflow_text.FastWordpieceTokenizer(
        vocab=vocabulary,
        suffix_indicator=model["continuing_subword_prefix"],
        # Characters are counted before, as the Python tokenizer does.
        max_bytes_per_word=MAX_BYTES_PER_CHARACTER
        * model["max_input_chars_per_word"],
        token_out_type=tf.int32,
        unknown_token=model["unk_token"],
        no_pretokenization=True,
    )


@functools.lru_cache(maxsize=8)
def _classify_characters(normalizer, pre_tokenizer):
    """Asks the tokenizer what it makes of every character of Unicode.

    That takes some seconds, and is the same for every vocabulary.

    Args:
        normalizer: JSON of the normaliser.
        pre_tokenizer: JSON of the pre-tokenizer.

    Returns:
        Dictionary of lists of characters.
    """
    import tokenizers

    backend = tokenizers.Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "normalizer": json.loads(normalizer),
                "pre_tokenizer": json.loads(pre_tokenizer),
                "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""},
            }
        )
    )
    characters = [
        chr(code)
        for code in range(MAX_CODE_POINT + 1)
        if not 0xD800 <= code <= 0xDFFF and chr(code) != SEPARATOR
    ]
    normalized = backend.normalizer.normalize_str(
        SEPARATOR.join(characters)
    ).split(SEPARATOR)
    classes = {"deleted": [], "spaces": [], "ideographs": []}
    for character, text in zip(characters, normalized, strict=True):
        if not text:
            classes["deleted"].append(character)
        elif not text.strip(" "):
            classes["spaces"].append(character)
        elif text.startswith(" "):
            classes["ideographs"].append(character)
    pieces = backend.pre_tokenizer.pre_tokenize_str(
        LETTER + LETTER.join(characters) + LETTER
    )
    classes["isolated"] = [
        piece for piece, _ in pieces if len(piece) == 1 and piece != LETTER
    ]
    return classes


def _character_class(characters):
    """A regular expression (RE2) for any one of the characters."""
    codes = sorted(ord(character) for character in characters)
    ranges = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    return "[{}]".format(
        "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges)
    )
