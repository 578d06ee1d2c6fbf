"""Bidirectional layers as a loop that LiteRT runs fast, for one row."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from keras_kd.models.bidirectional import is_plain_bidirectional
from keras_kd.models.layer_replacement import replace_layers

# Columns of a kernel by gate, in the order in which Keras has them and in the
# one here: the gates with a sigmoid stand together.
GATES = {
    keras.layers.LSTM: ("ifco", "ifoc"),
    keras.layers.GRU: ("zrh", "zrh"),
}

# Tokens whose inputs are projected at once.
CHUNK = 16


class BidirectionalLoop(keras.layers.Layer):
    """A `Bidirectional` GRU or LSTM that computes both directions in one loop.

    It has the weights of a layer and gives its numbers, and is in the graph
    that is converted alone: no model is saved with it. It is faster for three
    reasons. Inputs are projected before they go through the loop, a chunk of
    them by one matrix product. Both directions go through one loop, the
    backward one over inputs that were turned around, so that all but its matrix
    products is done for both at once. And the loop ends where the text ends, so
    that no step asks the mask.

    There are two loops, one inside the other: LiteRT copies what a loop carries
    at each turn, and the outputs of a chunk are less to copy than all.

    It takes one row, `[1, length, width]`, and its mask, `[1, length]`, with
    all padding on the right, and gives `[1, length, 2 * units]`, zeros where
    padding is. LiteRT has its operations built in; TensorFlow itself runs one
    of them under XLA alone.

    Args:
        layer: A built layer of which `is_plain_bidirectional` is true.

    Example:

    >>> layer = keras.layers.Bidirectional(
    ...     keras.layers.GRU(4, return_sequences=True)
    ... )
    >>> layer.build((1, None, 3))
    >>> BidirectionalLoop(layer).compute_output_shape((1, 9, 3))
    (1, 9, 8)
    """

    def __init__(self, layer):
        super().__init__(name=layer.name, trainable=False)
        self.supports_masking = True
        cells = [layer.forward_layer.cell, layer.backward_layer.cell]
        kind = type(layer.forward_layer)
        self.units = cells[0].units
        self._step = self._lstm if kind is keras.layers.LSTM else self._gru
        self._states = 2 if kind is keras.layers.LSTM else 1
        old, new = GATES[kind]
        order = np.concatenate(
            [
                np.arange(self.units) + self.units * old.index(gate)
                for gate in new
            ]
        )

        def columns(value):
            value = keras.ops.convert_to_numpy(value)
            return value[..., order].astype("float32")

        self._kernels = [columns(cell.kernel) for cell in cells]
        self._recurrent_kernels = [
            columns(cell.recurrent_kernel) for cell in cells
        ]
        biases = [
            np.zeros((2, len(order)), "float32")
            if cell.bias is None
            # A GRU has one for the inputs and one for the states.
            else np.resize(columns(cell.bias), (2, len(order)))
            for cell in cells
        ]
        self._biases = [bias[0] for bias in biases]
        self._recurrent_biases = [bias[1] for bias in biases]

    def call(self, sequences, mask=None):
        """Gives the states at every token."""
        x = sequences[0]
        steps, width = x.shape[0] or tf.shape(x)[0], x.shape[1]
        positions = tf.range(steps)
        length = steps
        if mask is not None:
            length = tf.reduce_sum(tf.cast(mask[0], tf.int32))
        # Turns the text around, and leaves the padding where it is.
        turned = tf.where(positions < length, length - 1 - positions, positions)
        missing = -steps % CHUNK
        sides = [
            tf.pad(side, [[0, missing], [0, 0]])
            for side in (x, tf.gather(x, turned))
        ]

        def run_chunk(start, *states):
            projected = [
                tf.matmul(tf.slice(side, [start, 0], [CHUNK, width]), kernel)
                + bias
                for side, kernel, bias in zip(
                    sides, self._kernels, self._biases, strict=True
                )
            ]
            projected = tf.stack(projected, axis=1)

            def run_step(step, *states):
                states = self._step(tf.gather(projected, step), *states)
                return states[0][tf.newaxis], states

            return self._loop(
                tf.minimum(length - start, CHUNK), 1, CHUNK, run_step, states
            )

        zeros = [tf.zeros([2, self.units])] * self._states
        outputs, _ = self._loop(
            length, CHUNK, steps + missing, run_chunk, zeros
        )
        forward, backward = outputs[:steps, 0], outputs[:steps, 1]
        outputs = [forward, tf.gather(backward, turned)]
        return tf.concat(outputs, axis=1)[tf.newaxis]

    def _loop(self, end, stride, size, body, states):
        """Runs a body at every `stride` below `end`; collects what it gives.

        Args:
            end: Where it ends.
            stride: How many outputs the body gives at a time.
            size: Number of outputs; those that no body gave are zeros.
            body: Function from a position and states to `[stride, 2, units]`
                and new states.
            states: The states at the beginning.

        Returns:
            `[size, 2, units]`, and the last states.
        """
        outputs = tf.zeros([size, 2, self.units])

        def write(position, outputs, *states):
            shape = outputs.shape
            new, states = body(position, *states)
            outputs = gen_xla_ops.xla_dynamic_update_slice(
                outputs, new, tf.stack([position, 0, 0])
            )
            return position + stride, tf.ensure_shape(outputs, shape), *states

        _, outputs, *states = tf.while_loop(
            lambda position, *_: position < end, write, (0, outputs, *states)
        )
        return outputs, tuple(states)

    def _recurrent(self, states):
        """The states' product with each direction's own kernel."""
        return [
            tf.matmul(state, kernel)
            for state, kernel in zip(
                tf.split(states, 2), self._recurrent_kernels, strict=True
            )
        ]

    def _lstm(self, x, states, carry):
        gates = x + tf.concat(self._recurrent(states), axis=0)
        open_gates = tf.sigmoid(gates[:, : 3 * self.units])
        enter, keep, leave = tf.split(open_gates, 3, axis=1)
        carry = keep * carry + enter * tf.tanh(gates[:, 3 * self.units :])
        return leave * tf.tanh(carry), carry

    def _gru(self, x, states):
        inner = tf.concat(
            [
                product + bias
                for product, bias in zip(
                    self._recurrent(states), self._recurrent_biases, strict=True
                )
            ],
            axis=0,
        )
        both = 2 * self.units
        gates = tf.sigmoid(x[:, :both] + inner[:, :both])
        keep, reset = tf.split(gates, 2, axis=1)
        candidate = tf.tanh(x[:, both:] + reset * inner[:, both:])
        return (candidate + keep * (states - candidate),)

    def compute_output_shape(self, sequences_shape, mask_shape=None):
        """The shape of `[1, length, 2 * units]`."""
        return (*sequences_shape[:-1], 2 * self.units)


def with_fast_loops(model):
    """Gives a model with the same weights, its bidirectional layers as loops.

    Args:
        model: A functional `keras.Model` that is built.

    Returns:
        Another model; the model itself, if there is nothing to replace. The
        new one takes one row at a time.
    """
    return replace_layers(model, is_plain_bidirectional, BidirectionalLoop)
