"""Tokenizers as TensorFlow operations, for serving text."""

import json

import tensorflow as tf

from keras_kd import batch
from keras_kd.export.character_classes import any_of
from keras_kd.export.character_classes import classify_characters

KINDS = ("wordpiece", "word", "character")
PRE_TOKENIZERS = {
    "wordpiece": "BertPreTokenizer",
    "word": "BertPreTokenizer",
    "character": "Sequence",
}
MAX_BYTES_PER_CHARACTER = 4
# Of tensorflow_text, for a token of WordPiece.
MAX_BYTES_PER_TOKEN = 256


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
        tokenizer: A `keras_kd.data.tokenization.Tokenizer` with BERT's
            normaliser, of the kind `"wordpiece"`, `"word"` or `"character"`.
        max_length: The most ids of a row, special tokens included.

    Raises:
        ValueError: Another tokenizer, or no room for any text.

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
                f"BERT's normaliser and one of the kinds {list(KINDS)}. Export "
                "the features signature alone, and tokenise outside of the "
                "graph."
            )
        self.max_length = max_length
        self._template = tokenizer.template()
        self._pair_template = tokenizer.template(pairs=True)
        self._room(self._template)
        self._kind = tokenizer.kind
        self._pad_id = tokenizer.pad_id
        description = json.loads(tokenizer.backend.to_str())
        self._read_normalizer(description)
        if self._kind == "wordpiece":
            self._max_characters = description["model"][
                "max_input_chars_per_word"
            ]
            self._unknown_token = description["model"]["unk_token"]
            self._wordpiece = _fast_wordpiece(
                tokenizer.vocabulary, description["model"]
            )
        else:
            self._table = _lookup_table(
                tokenizer.vocabulary, description["model"]["unk_token"]
            )

    def __call__(self, texts, text_pairs=None):
        """Tokenises a batch.

        Args:
            texts: `tf.string` `[batch]`, UTF-8; bytes that are not are dropped.
            text_pairs: The second texts of pairs, alike, or `None`. Of a pair
                that is too long the longer text is cut first.

        Returns:
            Dictionary of int32 `[batch, longest]`: `token_ids`,
            `padding_mask` and `segment_ids`.

        Raises:
            ValueError: No room for a pair.
        """
        template, sequences = self._template, [texts]
        if text_pairs is not None:
            template, sequences = self._pair_template, [texts, text_pairs]
        room = self._room(template)
        sequences = _cut_longest_first(list(map(self._encode, sequences)), room)
        column = tf.ones_like(texts, dtype=tf.int32)[:, tf.newaxis]
        token_ids, segment_ids = [], []
        for sequence, token_id, segment_id in template.parts:
            special = sequence is None
            ids = column * token_id if special else sequences[sequence]
            token_ids.append(ids)
            segment_ids.append(tf.zeros_like(ids) + segment_id)
        token_ids = tf.concat(token_ids, axis=1)
        lengths = token_ids.row_lengths()
        # A batch of no texts is one token long: RNNs can't run along none.
        width = tf.maximum(token_ids.bounding_shape(axis=1), 1)
        shape = tf.stack([tf.size(texts), tf.cast(width, tf.int32)])
        segment_ids = tf.concat(segment_ids, axis=1).to_tensor(shape=shape)
        token_ids = token_ids.to_tensor(self._pad_id, shape=shape)
        return {
            batch.TOKEN_IDS: token_ids,
            batch.PADDING_MASK: tf.sequence_mask(
                lengths, tf.shape(token_ids)[1], dtype=tf.int32
            ),
            batch.SEGMENT_IDS: segment_ids,
        }

    def split_words(self, texts):
        """Normalises the texts and splits them into words: a ragged tensor.

        For the kind `"character"` the words are single characters.
        """
        x = self._normalize(texts)
        if self._kind == "character":
            x = tf.strings.regex_replace(x, " ", "")
            return tf.strings.unicode_split(x, "UTF-8")
        x = tf.strings.regex_replace(x, self._isolated, r" \0 ")
        return tf.strings.split(x)

    def _read_normalizer(self, description):
        normalizer = description["normalizer"]
        self._lowercase = normalizer["lowercase"]
        strip_accents = normalizer["strip_accents"]
        self._decompose = (
            self._lowercase if strip_accents is None else strip_accents
        )
        characters = classify_characters(json.dumps(normalizer))
        self._deleted = any_of(characters["deleted"])
        self._spaces = any_of(characters["spaces"])
        self._isolated = any_of(characters["isolated"])
        self._ideographs = any_of(characters["ideographs"])

    def _normalize(self, texts):
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
        return x

    def _encode(self, texts):
        """Ids without special tokens: a ragged tensor `[batch, (tokens)]`."""
        words = self.split_words(texts)
        if self._kind != "wordpiece":
            return words.with_flat_values(self._table.lookup(words.flat_values))
        lengths = tf.strings.length(words.flat_values, unit="UTF8_CHAR")
        known = tf.where(
            lengths > self._max_characters,
            self._unknown_token,
            words.flat_values,
        )
        pieces = self._wordpiece.tokenize(words.with_flat_values(known))
        return pieces.merge_dims(1, 2)

    def _room(self, template):
        """How many tokens of text there may be."""
        special = template.special_count
        smallest = len(template.parts)
        if self.max_length < smallest:
            raise ValueError(
                f"`max_length` must be {smallest} or more, to hold {special} "
                f"special tokens and a token of text for each of "
                f"{smallest - special} texts. Received: {self.max_length}"
            )
        return self.max_length - special


def in_graph_tokenizer(tokenizer, max_length):
    """Builds an `InGraphTokenizer`; see there for arguments and errors."""
    return InGraphTokenizer(tokenizer, max_length)


def unsupported_reason(tokenizer):
    """Says why a tokenizer cannot be put into a graph; `None` if it can."""
    if tokenizer.segmenter:
        return (
            f"its words are cut by {tokenizer.segmenter}, which there is in "
            "Python alone"
        )
    if tokenizer.kind not in KINDS:
        return f"it is of the kind '{tokenizer.kind}'"
    description = json.loads(tokenizer.backend.to_str())
    normalizer = description.get("normalizer") or {"type": None}
    if normalizer["type"] != "BertNormalizer":
        return f"its normaliser is {normalizer['type']}"
    if not normalizer["clean_text"]:
        return "its normaliser keeps control characters (clean_text=False)"
    pre_tokenizer = (description.get("pre_tokenizer") or {}).get("type")
    if pre_tokenizer != PRE_TOKENIZERS[tokenizer.kind]:
        return f"its pre-tokenizer is {pre_tokenizer}"
    words = [
        token["content"]
        for token in description.get("added_tokens") or []
        if not token["special"]
    ]
    if words:
        return f"it has added tokens that are not special: {words[:5]}"
    if tokenizer.pad_id is None:
        return "it has no [PAD]"
    if description["model"]["unk_token"] not in tokenizer.vocabulary:
        return "it has no token for unknown words"
    if tokenizer.kind == "wordpiece":
        prefix = description["model"]["continuing_subword_prefix"]
        for token in tokenizer.vocabulary:
            if len(token.removeprefix(prefix).encode()) > MAX_BYTES_PER_TOKEN:
                return (
                    f"its token '{token[:20]}...' has more than "
                    f"{MAX_BYTES_PER_TOKEN} bytes"
                )
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


def _lookup_table(vocabulary, unknown_token):
    """Ids of whole words. The SavedModel that holds it holds its contents."""
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            vocabulary, range(len(vocabulary)), tf.string, tf.int32
        ),
        default_value=vocabulary.index(unknown_token),
    )


def _cut_longest_first(sequences, room):
    """Cuts ragged tensors row by row, as `Template.fill` does in Python."""
    lengths = [ids.row_lengths() for ids in sequences]
    if len(lengths) == 1:
        return [sequences[0][:, :room]]
    first, second = lengths
    # Each text may have its half, and what the other one leaves of its own.
    # The odd token is the longer text's, and the second one's if they are
    # equally long.
    odd = tf.cast(first > second, first.dtype) * (room % 2)
    half = room // 2 + odd
    return [
        _cut(sequences[0], tf.maximum(half, room - second)),
        _cut(sequences[1], tf.maximum(room - half, room - first)),
    ]


def _cut(ids, limits):
    """The first `limits` values of each row of a ragged tensor."""
    kept = tf.ragged.range(ids.row_lengths()) < limits[:, tf.newaxis]
    return tf.ragged.boolean_mask(ids, kept)
