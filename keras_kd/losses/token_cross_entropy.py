"""The loss on labels that tokens have."""

import keras
from keras import ops

from keras_kd.batch import NO_TOKEN


def token_cross_entropy(labels, logits):
    """The cross-entropy of tokens that have a label, one value a row.

    Args:
        labels: `[batch, length]`, `NO_TOKEN` where there is none.
        logits: `[batch, length, classes]`.

    Returns:
        `[batch]`: the mean over a row's labelled tokens.
    """
    used = ops.cast(ops.not_equal(labels, NO_TOKEN), logits.dtype)
    values = keras.losses.sparse_categorical_crossentropy(
        ops.maximum(labels, 0), logits, from_logits=True
    )
    return ops.divide_no_nan(
        ops.sum(values * used, axis=-1), ops.sum(used, axis=-1)
    )
