"""Which layers of a model are its blocks, that losses count and match."""

import inspect

import keras

from keras_kd.models.layer_replacement import is_functional


def graph_of(layer):
    """The functional model that a layer is, or that a `Sequential` holds."""
    if isinstance(layer, keras.Sequential):
        layer = layer._functional
    return layer if is_functional(layer) else None


def _leaves(model):
    """The layers of a model, those of models inside of it too."""
    for layer in graph_of(model).layers:
        if graph_of(layer) is None:
            yield layer
        else:
            yield from _leaves(layer)


def block_test(model):
    """The function that says of a model's layers which are its blocks.

    Those with attention inside; in a model without any, the recurrent ones;
    without these too, what has dense layers and a normalisation inside.
    """
    layers = list(_leaves(model))
    for is_one in (_has_attention, _is_recurrent, _is_residual):
        found = [layer for layer in layers if is_one(layer)]
        # Qwen3.5 has attention in every fourth layer of a kind, and something
        # else in its place in the others. A wrapper says nothing of a kind.
        kinds = {type(layer) for layer in found}
        kinds = {k for k in kinds if not issubclass(k, keras.layers.Wrapper)}
        if found:
            return lambda layer: is_one(layer) or type(layer) in kinds
    return lambda layer: False


def attentions(layer):
    """The attention layers in a layer, or itself, in the layer's own order.

    What is called attention and holds other attention is not one of its own.
    """
    if not isinstance(layer, keras.layers.Layer):
        return []
    inner = [found for part in layer._layers for found in attentions(part)]
    is_attention = isinstance(layer, keras.layers.MultiHeadAttention) or (
        type(layer).__name__.endswith("Attention")
    )
    return inner or [layer] * is_attention


def _has_attention(layer):
    # Attention of another class that stands alone is a way of pooling.
    return attentions(layer) not in ([], [layer]) or isinstance(
        layer, keras.layers.MultiHeadAttention
    )


def shows_attention(layer):
    """Whether the attention of a block can be looked at."""
    first = next(iter(attentions(layer)), None)
    # XLNet's is a subclass, but neither called nor computed as Keras' own.
    return (
        isinstance(first, keras.layers.MultiHeadAttention)
        and "query" in inspect.signature(first.call).parameters
    )


def _is_recurrent(layer):
    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    return isinstance(layer, kinds)


def _is_residual(layer):
    if not isinstance(layer, keras.layers.Layer):
        return False
    inside = layer._flatten_layers(include_self=False)
    kinds = (keras.layers.Dense, keras.layers.LayerNormalization)
    return all(any(isinstance(x, kind) for x in inside) for kind in kinds)
