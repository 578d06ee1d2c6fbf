"""The tokenizer inside a `.tflite` file that takes text."""

import json

import numpy as np
import tensorflow as tf

from keras_kd import batch
from keras_kd.export.text_preprocessing import unsupported_reason

PREFIX = "continuing_subword_prefix"


class DeviceTokenizer(tf.Module):
    """Turns a text into a student's inputs, of operations that phones have.

    It is tensorflow_text's `FastBertTokenizer`, the one tokenizer of BERT's
    kind that LiteRT can run. On plain ASCII its ids are those of the student's
    tokenizer. It takes some characters for others that look alike (full-width
    forms, the letters of a trade mark sign), and counts a word's bytes where
    BERT counts characters. `InGraphTokenizer` is closer, but is for servers.

    Args:
        tokenizer: A `keras_kd.data.tokenization.Tokenizer` of the kind
            `"wordpiece"`, with BERT's normaliser.
        max_length: Tokens of a row, special ones included.

    Raises:
        ValueError: Another tokenizer, or no room for any text.

    Example:

    >>> on_device = DeviceTokenizer(tokenizer, max_length=8)
    >>> on_device(tf.constant(["A fine film."]))["token_ids"]
    <tf.Tensor: shape=(1, 8), dtype=int32, numpy=
    array([[ 101, 1037, 2986, 2143, 1012,  102,    0,    0]], dtype=int32)>
    """

    def __init__(self, tokenizer, max_length):
        import tensorflow_text

        super().__init__(name="device_tokenizer")
        check_device_tokenizer(tokenizer)
        template = tokenizer.template()
        if max_length <= template.special_count:
            raise ValueError(
                f"`max_length` must be above {template.special_count}, the "
                f"number of special tokens. Received: {max_length}"
            )
        self.max_length = max_length
        self._before, self._after = template.before, template.after
        self._room = max_length - template.special_count
        self._pad_id = tokenizer.pad_id
        description = json.loads(tokenizer.backend.to_str())
        self._tokenizer = tensorflow_text.FastBertTokenizer(
            vocab=tokenizer.vocabulary,
            suffix_indicator=description["model"][PREFIX],
            max_bytes_per_word=description["model"]["max_input_chars_per_word"],
            token_out_type=tf.int32,
            unknown_token=description["model"]["unk_token"],
            lower_case_nfd_strip_accents=tokenizer.lowercase,
        )

    def __call__(self, text):
        """The inputs, int32 `[1, max_length]`, of a text, `tf.string` `[1]`."""
        ids = self._tokenizer.tokenize(text).flat_values[: self._room]
        ids = tf.concat([self._before, ids, self._after], axis=0)
        length = tf.shape(ids)[0]
        ids = tf.pad(
            ids,
            [[0, self.max_length - length]],
            constant_values=self._pad_id,
        )
        # `ensure_shape` is no operation of LiteRT's.
        ids = tf.reshape(ids, [1, self.max_length])
        mask = tf.cast(tf.range(self.max_length) < length, tf.int32)
        return {
            batch.TOKEN_IDS: ids,
            batch.PADDING_MASK: mask[tf.newaxis],
            batch.SEGMENT_IDS: tf.zeros_like(ids),
        }

    def encode(self, texts):
        """The inputs of many texts, as NumPy arrays `[texts, max_length]`."""
        one = tf.function(
            self.__call__, input_signature=[tf.TensorSpec([1], tf.string)]
        )
        rows = [one(tf.constant([text])) for text in texts]
        return {
            name: np.concatenate([row[name].numpy() for row in rows])
            for name in rows[0]
        }


def check_device_tokenizer(tokenizer):
    """Raises a `ValueError` for a tokenizer that no `.tflite` can hold."""
    reason = unsupported_reason(tokenizer)
    if reason is None and tokenizer.kind != "wordpiece":
        reason = f"it is of the kind '{tokenizer.kind}'"
    if reason is None:
        description = json.loads(tokenizer.backend.to_str())
        normalizer = description["normalizer"]
        accents = normalizer["strip_accents"]
        if accents not in (None, normalizer["lowercase"]):
            reason = f"lowercase and strip_accents={accents} do not go together"
    if reason is not None:
        raise ValueError(
            f"This tokenizer can't be put into a .tflite: {reason}. Expected "
            "WordPiece with BERT's normaliser. Take the format litert, and "
            "tokenise outside of the file."
        )
