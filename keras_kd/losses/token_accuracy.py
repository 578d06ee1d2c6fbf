"""How many tokens are told right."""

import keras
from keras import ops

from keras_kd.batch import NO_TOKEN


@keras.saving.register_keras_serializable(package="keras_kd")
class TokenAccuracy(keras.metrics.Mean):
    """The share of the labelled tokens that are told right.

    Args:
        name: The name under which it is logged.
        dtype: As in Keras.

    Example:

    >>> accuracy = TokenAccuracy()
    >>> from keras_kd.batch import NO_TOKEN
    >>> accuracy.update_state([[1, NO_TOKEN]], [[[0.0, 2.0], [1.0, 0.0]]])
    >>> float(accuracy.result())
    1.0
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.convert_to_tensor(y_true)
        right = ops.equal(ops.cast(labels, "int64"), ops.argmax(y_pred, -1))
        used = ops.cast(ops.not_equal(labels, NO_TOKEN), self.dtype)
        if sample_weight is not None:
            used = used * ops.cast(sample_weight, self.dtype)[:, None]
        # Keras would give each row the same weight, however long it is.
        return super().update_state(
            ops.reshape(ops.cast(right, self.dtype), (-1,)),
            ops.reshape(used, (-1,)),
        )
