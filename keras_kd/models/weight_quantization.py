"""Weights rounded as a file will hold them, for a training that knows it."""

import contextlib

import keras
from keras import ops

# Bits of a number in a large word table, which has a scale for each row. All
# else is as in a dynamic file.
TABLE_BITS = {"int8-embedding": 8, "int4-embedding": 4, "int2-embedding": 2}
WEIGHT_QUANTIZATIONS = ("dynamic", *TABLE_BITS)
# Tables of positions and of segments are small, and have no scales of rows.
LARGEST_SMALL_TABLE = 512


class WeightQuantization:
    """Runs a model with its tables and kernels rounded as its file has them.

    A weight w that shares the scale `s = max |w| / (2^(bits - 1) - 1)` with its
    row, column or table becomes `s round(w / s)`. That is how LiteRT files
    hold dense and recurrent kernels (8 bits, a scale for each output), word
    tables (8 bits, one scale) and, with `"int8-embedding"` and
    `"int4-embedding"`, large word tables (8 or 4 bits, a scale for each row).
    Biases and normalisations stay as they are. Gradients go to the unrounded
    weights as if there were no rounding, the straight-through estimator: small
    steps add up until a weight is rounded to another number.

    Args:
        model: A built `keras.Model`, whose layers may be nested.
        quantization: One of `WEIGHT_QUANTIZATIONS`.

    Raises:
        ValueError: Another quantisation, or `model` has nothing to round.

    Example:

    >>> inputs = keras.Input((2,))
    >>> model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    >>> _ = model.layers[1].kernel.assign([[1.27], [0.333]])
    >>> quantization = WeightQuantization(model, "dynamic")
    >>> with quantization.applied():
    ...     kernel = model.get_weights()[0]
    >>> [f"{weight:.3f}" for weight in kernel[:, 0]]
    ['1.270', '0.330']

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks
    for Efficient Integer-Arithmetic-Only Inference", section 3; Bengio,
    Leonard and Courville 2013, "Estimating or Propagating Gradients Through
    Stochastic Neurons", section 4 (straight-through).
    """

    def __init__(self, model, quantization):
        if quantization not in WEIGHT_QUANTIZATIONS:
            raise ValueError(
                "Weights are rounded for one of "
                f"{list(WEIGHT_QUANTIZATIONS)}. Received: '{quantization}'."
            )
        self.quantization = quantization
        self._variables = model.variables
        self.penalties = []
        # The axes that share a scale, and the bits of a number.
        self._grids = {
            id(weight): (axes, bits)
            for layer in model._flatten_layers()
            for weight, axes, bits in _grids(layer, quantization)
        }
        if not self._grids:
            raise ValueError(
                "The model has no table and no kernel to round. Received: "
                f"'{model.name}'."
            )

    def run(self, function):
        """What a function gives when it sees the rounded weights.

        Args:
            function: Function without arguments, which runs the model.

        Returns:
            What it returns. Gradients reach the unrounded weights, and what
            the model changes in itself, such as random states, is kept;
            `penalties` are what its layers have added to the loss meanwhile.
        """
        before = [
            (variable, ops.convert_to_tensor(self._seen(variable)))
            for variable in self._variables
        ]
        with keras.StatelessScope(before, collect_losses=True) as scope:
            result = function()
        self.penalties = scope.losses
        for variable, value in before:
            after = scope.get_current_value(variable)
            if after is not value:
                variable.assign(after)
        return result

    @contextlib.contextmanager
    def applied(self):
        """The model's weights are the rounded ones inside, to be saved."""
        rounded = [v for v in self._variables if id(v) in self._grids]
        before = [ops.convert_to_numpy(variable) for variable in rounded]
        for variable in rounded:
            variable.assign(self._rounded(variable))
        try:
            yield
        finally:
            for variable, values in zip(rounded, before):
                variable.assign(values)

    def _seen(self, variable):
        value = ops.convert_to_tensor(variable.value)
        if id(variable) not in self._grids:
            return value
        return value + ops.stop_gradient(self._rounded(variable) - value)

    def _rounded(self, variable):
        axes, bits = self._grids[id(variable)]
        value = ops.convert_to_tensor(variable.value)
        scale = ops.max(ops.abs(value), axis=axes, keepdims=True) / (
            2.0 ** (bits - 1) - 1.0
        )
        return ops.round(ops.divide_no_nan(value, scale)) * scale


def _grids(layer, quantization):
    """`(weight, axes of one scale, bits)` of what a layer itself holds."""
    if isinstance(layer, keras.layers.Embedding):
        if quantization in TABLE_BITS:
            if is_large_table(layer):
                return [(layer.embeddings, 1, TABLE_BITS[quantization])]
            return []
        return [(layer.embeddings, (0, 1), 8)]
    if isinstance(layer, keras.layers.EinsumDense):
        inputs, output = layer.equation.split("->")
        kernel = inputs.split(",")[1]
        axes = tuple(i for i, axis in enumerate(kernel) if axis not in output)
        return [(layer.kernel, axes, 8)]
    if isinstance(layer, keras.layers.Dense):
        return [(layer.kernel, 0, 8)]
    if isinstance(layer, (keras.layers.GRUCell, keras.layers.LSTMCell)):
        return [(layer.kernel, 0, 8), (layer.recurrent_kernel, 0, 8)]
    return []


def is_large_table(layer):
    """Whether a layer is a word table that gets a scale for each row."""
    return (
        isinstance(layer, keras.layers.Embedding)
        and layer.input_dim > LARGEST_SMALL_TABLE
        # A reversible one may give logits over the table's rows as well.
        and all(
            node.outputs[0].shape[-1] == layer.output_dim
            for node in layer._inbound_nodes
        )
    )
