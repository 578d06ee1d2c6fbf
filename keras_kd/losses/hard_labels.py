"""The loss on labels: rows without one, and one value an example."""

import keras
from keras import ops

from keras_kd import batch
from keras_kd.losses.distillation_loss import wide_dtype


def labels_of(targets, sample_weight=None):
    """The labels, with 0 on rows that have none, or that do not count.

    Such a row may hold any value, and not all are harmless at weight 0: a
    class of -1 stops a cross-entropy, and NaN times 0 is NaN.
    """
    labels = targets[batch.LABELS]
    weight = label_weights(targets, sample_weight)
    if weight is None:
        return labels

    def without_absent(labels):
        labels = ops.convert_to_tensor(labels)
        counts = ops.reshape(weight, (-1, *[1] * (len(labels.shape) - 1))) > 0
        return ops.where(counts, labels, ops.zeros_like(labels))

    return keras.tree.map_structure(without_absent, labels)


def label_weights(targets, sample_weight):
    """The weight of each row's hard label; `None` where all count alike."""
    weights = [
        ops.cast(ops.reshape(weight, (-1,)), "float32")
        for weight in (targets.get(batch.LABEL_WEIGHT), sample_weight)
        if weight is not None
    ]
    if not weights:
        return None
    return weights[0] if len(weights) == 1 else weights[0] * weights[1]


def per_example(loss, labels, predictions):
    """A Keras loss before its reduction: one value an example."""
    predictions = keras.tree.map_structure(
        lambda tensor: ops.cast(tensor, wide_dtype(tensor)), predictions
    )
    call = loss
    if isinstance(loss, keras.losses.Loss):
        call = loss.call
        # As Keras has them there: a loss may subtract one from the other.
        dtype = keras.tree.flatten(predictions)[0].dtype
        labels = keras.tree.map_structure(
            lambda tensor: ops.cast(tensor, dtype), labels
        )
    values = ops.convert_to_tensor(call(labels, predictions))
    if len(values.shape) == 0:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise ValueError(
            f"The loss on labels, {name}, must give one value an example, "
            "`[batch]`. Received: one for all of them. Take the mean over all "
            "other axes alone."
        )
    while len(values.shape) > 1:
        values = ops.mean(values, axis=-1)
    return values
