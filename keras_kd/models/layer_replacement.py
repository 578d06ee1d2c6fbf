"""Models in which layers of a kind are computed in another way."""

import keras


def replace_layers(model, is_one, make):
    """Gives a model with other layers in the place of some; the rest is shared.

    Args:
        model: A functional `keras.Model` that is built.
        is_one: Function that says of a layer whether it is replaced.
        make: Function from such a layer to the one in its place.

    Returns:
        Another model; the model itself, if there is nothing to replace.
    """
    if not any(map(is_one, model.layers)):
        return model
    return keras.models.clone_model(
        model,
        clone_function=lambda layer: make(layer) if is_one(layer) else layer,
    )
