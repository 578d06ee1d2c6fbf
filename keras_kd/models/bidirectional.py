"""Which recurrent layers can be computed in another way."""

import keras


def is_plain_bidirectional(layer):
    """Whether a layer is a `Bidirectional` GRU or LSTM with nothing unusual.

    What stands for such a layer, in a file or in training, leaves others, with
    another activation or with states that are given or returned, to Keras.

    >>> gru = keras.layers.GRU(4, return_sequences=True)
    >>> is_plain_bidirectional(keras.layers.Bidirectional(gru))
    True
    """
    if not isinstance(layer, keras.layers.Bidirectional):
        return False
    kind = type(layer.forward_layer)
    if (
        kind not in (keras.layers.GRU, keras.layers.LSTM)
        or type(layer.backward_layer) is not kind
    ):
        return False
    forward, backward = layer.forward_layer, layer.backward_layer
    return (
        layer.merge_mode == "concat"
        and layer.return_sequences
        and not layer.return_state
        and not layer.stateful
        and not forward.go_backwards
        and forward.cell.units == backward.cell.units
        and all(
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and getattr(cell, "reset_after", True)
            for cell in (forward.cell, backward.cell)
        )
        # Sequences and a mask; initial states would be more.
        and all(len(n.input_tensors) <= 2 for n in layer._inbound_nodes)
    )
