"""A masked language model that is asked about some positions alone."""

import keras
from keras import ops

from keras_kd.batch import MASK_POSITIONS
from keras_kd.batch import NO_TOKEN


def at_positions(model):
    """The same model, with logits at the masked positions alone.

    Logits take as many numbers a token as the vocabulary has entries, more
    than all layers below together, and only the masked tokens are learned
    from.

    Args:
        model: A masked language model of `keras_kd.load_pretrained`.

    Returns:
        A Functional `keras.Model` that shares the layers, with the further
        input `mask_positions` `[batch, places]`; its logits are `[batch,
        places, vocabulary]`.

    Raises:
        ValueError: The model has no masked-LM head.

    Example:

    ```python
    trained = at_positions(keras_kd.load_pretrained(folder, "masked_lm"))
    ```
    """
    names = {layer.name for layer in model.layers}
    if "masked_lm_dense" not in names:
        raise ValueError(
            "The model needs a masked-LM head of keras_kd, a layer "
            f"'masked_lm_dense' among others. Received: '{model.name}' with "
            f"{sorted(names)[-3:]}. Make it with load_pretrained(folder, "
            "'masked_lm')."
        )
    dense = model.get_layer("masked_lm_dense")
    places = keras.Input((None,), dtype="int32", name=MASK_POSITIONS)
    x = ops.take_along_axis(dense.input, places[..., None], axis=1)
    x = model.get_layer("masked_lm_layer_norm")(dense(x))
    x = model.get_layer("token_embedding")(x, reverse=True)
    bias = model.get_layer("masked_lm_bias")(x[:, :1, :])
    inputs = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model(
        {**inputs, MASK_POSITIONS: places},
        model.get_layer("logits")([x, bias]),
        name=f"{model.name}_at_positions",
    )


def masked_token_loss(labels, logits):
    """The cross-entropy of the masked tokens, one value a row.

    Args:
        labels: `[batch, places]`, `NO_TOKEN` where there is none.
        logits: `[batch, places, vocabulary]`.

    Returns:
        `[batch]`: the mean over a row's masked tokens.
    """
    used = ops.cast(ops.not_equal(labels, NO_TOKEN), logits.dtype)
    values = keras.losses.sparse_categorical_crossentropy(
        ops.maximum(labels, 0), logits, from_logits=True
    )
    return ops.divide_no_nan(
        ops.sum(values * used, axis=-1), ops.sum(used, axis=-1)
    )


@keras.saving.register_keras_serializable(package="keras_kd")
class MaskedTokenAccuracy(keras.metrics.Mean):
    """The share of the masked tokens that are told right.

    Args:
        name: The name under which it is logged.
        dtype: As in Keras.

    Example:

    >>> accuracy = MaskedTokenAccuracy()
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
        return super().update_state(ops.cast(right, self.dtype), used)
