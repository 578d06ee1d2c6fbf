"""The cross-entropy of a language model, as a metric."""

import keras
from keras import ops

from keras_kd.batch import NO_TOKEN


@keras.saving.register_keras_serializable(package="keras_kd")
class TokenCrossEntropy(keras.metrics.Mean):
    """The mean cross-entropy of the tokens that are told.

    Each token counts the same, in whatever row it stands; its exponential is
    the perplexity.

    Args:
        name: The name under which it is logged.
        dtype: As in Keras.

    Example:

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
        return super().update_state(values, used)
