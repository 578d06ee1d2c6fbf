"""Models in which layers of a kind are computed in another way."""

import keras


def replace_layers(model, is_one, make):
    """Gives a model with other layers in the place of some; the rest is shared.

    Args:
        model: A functional `keras.Model` that is built, possibly with others
            inside of it.
        is_one: Function that says of a layer whether it is replaced.
        make: Function from such a layer to the one in its place.

    Returns:
        Another model; the model itself, if there is nothing to replace.
    """
    if not is_functional(model) or not any(map(is_one, leaves(model))):
        return model
    return keras.models.clone_model(
        model,
        clone_function=lambda layer: make(layer) if is_one(layer) else layer,
        recursive=True,
    )


def is_functional(layer):
    """Whether a layer is a model whose layers Keras knows one by one."""
    return isinstance(layer, keras.Model) and hasattr(layer, "_inputs_struct")


def leaves(model):
    """The layers of a functional model, those of models inside of it too."""
    for layer in model.layers:
        if is_functional(layer):
            yield from leaves(layer)
        else:
            yield layer
