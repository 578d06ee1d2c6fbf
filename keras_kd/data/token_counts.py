"""How often each token stands in a text, and how often it is to be masked."""

import json

import numpy as np

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.data.errors import DataError


def count_tokens(rows, vocabulary_size, rows_at_once=65536):
    """How often each token stands in some rows.

    Args:
        rows: `keras_kd.data.rows.Rows` with the column `token_ids`.
        vocabulary_size: Number of different tokens.
        rows_at_once: Rows that are in memory at a time.

    Returns:
        `[vocabulary_size]` int64.
    """
    counts = np.zeros(vocabulary_size, "int64")
    for start in range(0, len(rows), rows_at_once):
        stop = min(start + rows_at_once, len(rows))
        ids = [rows.row("token_ids", row) for row in range(start, stop)]
        counts += np.bincount(np.concatenate(ids), minlength=vocabulary_size)
    return counts


def open_or_count_tokens(path, rows, tokenizer, overwrite=False):
    """Opens the counts of a file, or counts the tokens of rows into it.

    The counts may be those of other text: a large corpus says better than a
    small one which words are rare.

    Args:
        path: The file, JSON.
        rows: `Rows` that are counted.
        tokenizer: Their `keras_kd.data.tokenization.Tokenizer`.
        overwrite: Whether a file that stands there is written anew.

    Returns:
        `[vocabulary]` int64.

    Raises:
        DataError: The counts there are of another tokenizer's tokens.
    """
    if path.exists() and not overwrite:
        stored = read_json(path)
        if stored.get("tokenizer") != tokenizer.fingerprint:
            raise DataError(
                f"'{path}' holds the counts of another tokenizer's tokens. "
                f"Received: {stored.get('tokenizer')}. Expected: "
                f"{tokenizer.fingerprint}. Give another file, or --overwrite "
                "to count anew."
            )
        return np.array(stored["counts"], "int64")
    counts = count_tokens(rows, tokenizer.vocabulary_size)
    content = {"tokenizer": tokenizer.fingerprint, "counts": counts.tolist()}
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return counts


def masking_weights(counts, smoothing=0.7):
    """How likely each token is to be masked: rare ones more than others.

    $$w_t = \\max(n_t, 1)^{-s}$$

    Args:
        counts: `[vocabulary]`, how often each token was seen.
        smoothing: The exponent s: 0 makes all tokens alike.

    Returns:
        `[vocabulary]` float64, for `keras_kd.data.masking.TokenMasking`.

    Example:

    >>> masking_weights([0, 1, 100], smoothing=0.5).tolist()
    [1.0, 1.0, 0.1]

    Source: Lample and Conneau 2019, "Cross-lingual Language Model
    Pretraining", section 3.2, which samples so; Sanh et al. 2019,
    "DistilBERT", has the exponent .7.
    """
    if not 0 <= smoothing < float("inf"):
        raise ValueError(
            f"`smoothing` must be 0 or more and finite. Received: {smoothing}."
        )
    return np.maximum(np.asarray(counts, "float64"), 1.0) ** -smoothing
