"""A masked language model that is asked about some positions alone."""

import keras
from keras import ops

from keras_kd.batch import MASK_POSITIONS


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
