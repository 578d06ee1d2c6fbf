"""The same rows, read with a tokenizer of the student's own."""

import json

import numpy as np

from keras_kd.data.layered_columns import LayeredColumns
from keras_kd.data.masked_text import read_text
from keras_kd.data.rows import Rows
from keras_kd.data.rows import shared_rows
from keras_kd.data.tagged_rows import own_token_columns

TEXTS_AT_ONCE = 2048


def retokenize(rows, tokenizer, folder, max_length=128):
    """Rows whose tokens are the student's, and whose keys are the teacher's.

    A row keeps its text, label and `target_key`, by which the teacher's
    targets are found, and gets `token_ids` (and `segment_ids`) of another
    tokenizer. Only these are written: they lie over the teacher's columns.

    Args:
        rows: `Rows`, tokenised for the teacher.
        tokenizer: The student's `Tokenizer`.
        folder: Where the new columns are kept; what was made of the same rows
            with the same tokenizer is used again.
        max_length: The most tokens of a row.

    Returns:
        `Rows` of the same order.

    Example:

    ```python
    words = keras_kd.build_tokenizer("word", texts, vocabulary_size=20000)
    own = keras_kd.retokenize(rows, words, "rows/words")
    targets.lookup(own.keys())  # The teacher's, as it read the row.
    ```
    """
    parts = []
    for part in rows.parts:
        fingerprint = {
            "rows": part.fingerprint,
            "of": part.folder.name,
            # Rows that `make_rows` wrote anew have the same fingerprint.
            "content": {
                name: part.digest(name)
                for name, spec in part.specs.items()
                if spec["kind"] == "ragged"
            },
            "tokenizer": tokenizer.fingerprint,
            "max_length": max_length,
        }
        tokenised = _tokenised
        if "words" in part.specs:
            tokenised = own_token_columns
        above = shared_rows(
            folder,
            part.folder.name,
            lambda make=tokenised, part=part: make(
                Rows([part]), tokenizer, max_length
            ),
            fingerprint,
        )
        parts.append(LayeredColumns(part, above.parts[0]))
    return Rows(parts, rows.numbers)


def texts_of(rows):
    """Yields the text, or both texts, of every row, without masks."""
    fields = [name for name in ("text", "text_pair") if name in rows.columns]
    for position in range(len(rows)):
        if "words" in rows.columns:
            yield " ".join(json.loads(rows.text("words", position)))
        for name in fields:
            yield rows.text(name, position)


def _tokenised(rows, tokenizer, max_length):
    pairs = "text_pair" in rows.columns
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        positions = np.arange(start, min(start + TEXTS_AT_ONCE, len(rows)))
        texts = [read_text(rows, "text", position) for position in positions]
        others = None
        if pairs:
            others = [read_text(rows, "text_pair", p) for p in positions]
        for token_ids, segment_ids in tokenizer.encode(
            texts, max_length, others
        ):
            row = {"token_ids": token_ids}
            if pairs:
                row["segment_ids"] = segment_ids
            yield row
