"""A model trained in half precision, as the float32 model it stands for."""

import keras

HALF_PRECISIONS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
FLOAT32 = "float32"


def float32_copy(model):
    """Gives a model that computes in float32, with the same weights.

    Half precision is a device for training on some hardware. Phones run
    float32 or quantised files, and those are compared with float32 outputs.

    Args:
        model: A functional `keras.Model`.

    Returns:
        The model itself if it computes in float32 already, else a copy.
    """
    policies = {layer.compute_dtype for layer in model._flatten_layers()}
    if policies <= {FLOAT32, None}:
        return model
    policy = keras.config.dtype_policy()
    # What a configuration leaves open must not become half precision again.
    keras.config.set_dtype_policy(FLOAT32)
    try:
        copy = type(model).from_config(_replace(model.get_config()))
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


def _replace(value):
    """The configuration with each half precision replaced, at any depth."""
    if isinstance(value, dict):
        return {key: _replace(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace(item) for item in value)
    if isinstance(value, keras.DTypePolicy):
        return FLOAT32 if value.name in HALF_PRECISIONS else value
    if isinstance(value, str) and value in HALF_PRECISIONS:
        return FLOAT32
    return value
