"""The loss on labels that tokens have, and a metric of it."""

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


@keras.saving.register_keras_serializable(package="keras_kd")
class TokenCrossEntropy(keras.metrics.Mean):
    """The mean cross-entropy of the tokens that are told.

    Each token counts the same, in whatever row it stands; its exponential is
    the perplexity.

    Args:
        name: The name under which it is logged.
        dtype: As in Keras.

    Example:

    >>> from keras_kd.batch import NO_TOKEN
    >>> metric = TokenCrossEntropy()
    >>> metric.update_state([[1, NO_TOKEN]], [[[0.0, 0.0], [9.0, 0.0]]])
    >>> round(float(metric.result()), 4)
    0.6931
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.convert_to_tensor(y_true)
        used = ops.cast(ops.not_equal(labels, NO_TOKEN), self.dtype)
        if sample_weight is not None:
            used = used * ops.cast(sample_weight, self.dtype)[:, None]
        values = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(labels, 0),
            ops.convert_to_tensor(y_pred),
            from_logits=True,
        )
        # Keras would give each row the same weight, however long it is.
        return super().update_state(
            ops.reshape(values, (-1,)), ops.reshape(used, (-1,))
        )
