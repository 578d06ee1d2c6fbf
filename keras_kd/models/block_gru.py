"""Bidirectional GRUs as XLA trains them on a CPU, a few tokens at a time."""

import keras
import tensorflow as tf

from keras_kd.models.block_recurrent import BlockRecurrent

# XLA compiles anew for every shape, so that the loop over a text is left to
# TensorFlow and a part of it compiled, and rows are filled up, too.
STEPS = 8
ROWS = 8


class BlockGRU(BlockRecurrent):
    """A `Bidirectional` GRU whose directions are computed side by side.

    The gates of a token are one loop over numbers in the cache, where Keras
    has an operation for each sum and product; the gradient is written out, so
    that what is one product for many tokens is not summed up token by token.

    Example:

    >>> layer = keras.layers.Bidirectional(
    ...     keras.layers.GRU(4, return_sequences=True)
    ... )
    >>> layer.build((1, None, 3))
    >>> BlockGRU(layer).compute_output_shape((2, 9, 3))
    (2, 9, 8)
    """

    rnn = keras.layers.GRU

    def run_cells(self, forward, backward):
        """The states of both directions."""
        rows, length = tf.unstack(tf.shape(forward)[:2])
        # Time, direction, row, feature. What is filled up comes last, and
        # no gradient comes from there.
        inputs = tf.transpose(tf.stack([forward, backward]), [2, 0, 1, 3])
        inputs = tf.pad(
            inputs, [[0, -length % STEPS], [0, 0], [0, -rows % ROWS], [0, 0]]
        )
        weights = zip(*map(self._weights, self.cells))
        states = _run(inputs, *map(tf.stack, weights))[:length, :, :rows]
        return tf.unstack(tf.transpose(states, [1, 2, 0, 3]))

    def _weights(self, cell):
        bias = cell.bias
        if bias is None:
            bias = tf.zeros([2, 3 * self.units])
        own, recurrent = tf.split(tf.convert_to_tensor(bias), 2)
        return (
            tf.convert_to_tensor(cell.kernel),
            own,
            tf.convert_to_tensor(cell.recurrent_kernel),
            recurrent,
        )


@tf.custom_gradient
def _run(inputs, kernel, bias, recurrent_kernel, recurrent_bias):
    """States `[time, 2, rows, units]` of inputs `[time, 2, rows, width]`.

    The kernels are `[2, width or units, 3 * units]`, the biases
    `[2, 1, 3 * units]`; time is a multiple of `STEPS`, rows one of `ROWS`.
    """
    weights = (kernel, bias, recurrent_kernel, recurrent_bias)
    # Else tapes follow what is compiled, too, and can't.
    inputs, *weights = map(tf.stop_gradient, (inputs, *weights))
    rows, units = tf.shape(inputs)[2], recurrent_kernel.shape[1]
    parts = tf.shape(inputs)[0] // STEPS
    start = tf.zeros([2, rows, units], inputs.dtype)

    def cut(values):
        shape = [parts, STEPS, 2, rows, values.shape[-1]]
        array = tf.TensorArray(values.dtype, parts, clear_after_read=False)
        return array.unstack(tf.reshape(values, shape))

    def empty():
        shape = [STEPS, 2, None, units]
        return tf.TensorArray(inputs.dtype, parts, element_shape=shape)

    inputs = cut(inputs)

    def one_part(part, state, states, kept):
        more_states, after, more = _forward(inputs.read(part), state, weights)
        kept = [array.write(part, value) for array, value in zip(kept, more)]
        # It was perhaps traced with a number of rows that nobody knew.
        after = tf.ensure_shape(after, state.shape)
        return part + 1, after, states.write(part, more_states), kept

    _, _, states, kept = tf.while_loop(
        lambda part, *_: part < parts,
        one_part,
        (0, start, empty(), [empty() for _ in range(5)]),
    )

    def gradient(upstream):
        upstream = cut(upstream)

        def one_part_back(part, carried, sums, inputs_gradients):
            own, before, more = _backward(
                inputs.read(part),
                upstream.read(part),
                carried,
                [array.read(part) for array in kept],
                kernel,
                recurrent_kernel,
            )
            before = tf.ensure_shape(before, carried.shape)
            sums = [total + value for total, value in zip(sums, more)]
            return part - 1, before, sums, inputs_gradients.write(part, own)

        _, _, sums, inputs_gradients = tf.while_loop(
            lambda part, *_: part >= 0,
            one_part_back,
            (
                parts - 1,
                start,
                [tf.zeros_like(weight) for weight in weights],
                tf.TensorArray(upstream.dtype, parts),
            ),
        )
        return inputs_gradients.concat(), *sums

    return states.concat(), gradient


@tf.function(jit_compile=True)
def _forward(inputs, state, weights):
    """The states of `STEPS` tokens, the last one, and what the gradient needs.

    With x and h as a token's input and the state before, in Keras' order of
    gates (Cho et al. 2014, the reset gate after the product):

        p = x K + b,  q = h R + d
        z = sigmoid(p_z + q_z),  r = sigmoid(p_r + q_r)
        c = tanh(p_c + r q_c)
        h' = z h + (1 - z) c
    """
    kernel, bias, recurrent_kernel, recurrent_bias = weights
    units = state.shape[-1]
    projected = tf.einsum("tdrw,dwg->tdrg", inputs, kernel) + bias
    projected = tf.TensorArray(inputs.dtype, STEPS).unstack(projected)

    def one_step(step, state, arrays):
        p = projected.read(step)
        q = tf.matmul(state, recurrent_kernel) + recurrent_bias
        gates = tf.sigmoid(p[..., : 2 * units] + q[..., : 2 * units])
        z, r = tf.split(gates, 2, axis=-1)
        q_c = q[..., 2 * units :]
        c = tf.tanh(p[..., 2 * units :] + r * q_c)
        new = c + z * (state - c)
        values = (new, state, z, r, c, q_c)
        arrays = [a.write(step, value) for a, value in zip(arrays, values)]
        return step + 1, new, arrays

    arrays = [tf.TensorArray(inputs.dtype, STEPS) for _ in range(6)]
    _, state, arrays = tf.while_loop(
        lambda step, *_: step < STEPS,
        one_step,
        (0, state, arrays),
        maximum_iterations=STEPS,
    )
    states, *kept = [array.stack() for array in arrays]
    return states, state, kept


@tf.function(jit_compile=True)
def _backward(inputs, upstream, carried, kept, kernel, recurrent_kernel):
    """Gradients of the inputs, the state before, and the weights."""
    units = recurrent_kernel.shape[1]
    arrays = [
        tf.TensorArray(inputs.dtype, STEPS).unstack(values)
        for values in (upstream, *kept)
    ]

    def one_step(step, carried, p_gradients, q_gradients):
        own, state, z, r, c, q_c = [array.read(step) for array in arrays]
        total = own + carried
        through = total * z
        p_c = (total - through) * (1 - c * c)
        p_z = through * (state - c) * (1 - z)
        p_r = p_c * q_c * r * (1 - r)
        q = tf.concat([p_z, p_r, p_c * r], axis=-1)
        p = tf.concat([p_z, p_r, p_c], axis=-1)
        carried = through + tf.matmul(q, recurrent_kernel, transpose_b=True)
        return (
            step - 1,
            carried,
            p_gradients.write(step, p),
            q_gradients.write(step, q),
        )

    shape = [2, inputs.shape[2], 3 * units]
    _, carried, p, q = tf.while_loop(
        lambda step, *_: step >= 0,
        one_step,
        (
            STEPS - 1,
            carried,
            tf.TensorArray(inputs.dtype, STEPS, element_shape=shape),
            tf.TensorArray(inputs.dtype, STEPS, element_shape=shape),
        ),
        maximum_iterations=STEPS,
    )
    p, q = p.stack(), q.stack()
    return (
        tf.einsum("tdrg,dwg->tdrw", p, kernel),
        carried,
        [
            tf.einsum("tdrw,tdrg->dwg", inputs, p),
            tf.reduce_sum(p, [0, 2])[:, tf.newaxis],
            tf.einsum("tdru,tdrg->dug", kept[0], q),
            tf.reduce_sum(q, [0, 2])[:, tf.newaxis],
        ],
    )
