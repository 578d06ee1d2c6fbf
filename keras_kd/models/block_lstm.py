"""Bidirectional LSTMs as TensorFlow trains them fastest on a CPU."""

import keras
import tensorflow as tf

from keras_kd.models.block_recurrent import BlockRecurrent


class BlockLSTM(BlockRecurrent):
    """A `Bidirectional` LSTM whose directions are one operation each.

    TensorFlow's BlockLSTM runs a whole sequence. Its gradient sums up that of
    the kernels token by token; here this is one product for all tokens.

    Example:

    >>> layer = keras.layers.Bidirectional(
    ...     keras.layers.LSTM(4, return_sequences=True)
    ... )
    >>> layer.build((1, None, 3))
    >>> BlockLSTM(layer).compute_output_shape((2, 9, 3))
    (2, 9, 8)
    """

    rnn = keras.layers.LSTM

    def run_cells(self, forward, backward):
        """The states of both directions."""
        return [
            self._run(cell, sequences)
            for cell, sequences in zip(self.cells, (forward, backward))
        ]

    def _run(self, cell, sequences):
        bias = cell.bias
        if bias is None:
            bias = tf.zeros(4 * self.units)
        weights = (cell.kernel, cell.recurrent_kernel, bias)
        states = _run_block(
            tf.transpose(sequences, [1, 0, 2]), *map(_in_order, weights)
        )
        return tf.transpose(states, [1, 0, 2])


@tf.custom_gradient
def _run_block(inputs, kernel, recurrent_kernel, bias):
    """States `[time, rows, units]` of inputs `[time, rows, width]`."""
    # Else tapes keep BlockLSTM's own gradient, too.
    inputs, kernel, recurrent_kernel, bias = map(
        tf.stop_gradient, (inputs, kernel, recurrent_kernel, bias)
    )
    length, rows = tf.unstack(tf.shape(inputs)[:2])
    units = recurrent_kernel.shape[0]
    nothing = tf.zeros([rows, units])
    no_peephole = tf.zeros([units])
    weights = {
        "w": tf.concat([kernel, recurrent_kernel], axis=0),
        "b": bias,
        "wci": no_peephole,
        "wcf": no_peephole,
        "wco": no_peephole,
        "use_peephole": False,
    }
    # Not BlockLSTMV2, which has the gates in another order than the gradient
    # of a cell.
    run = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(length, tf.int64),
        x=inputs,
        cs_prev=nothing,
        h_prev=nothing,
        forget_bias=0.0,
        cell_clip=-1.0,
        **weights,
    )

    def gradient(upstream):
        cells_before = tf.concat([nothing[tf.newaxis], run.cs[:-1]], axis=0)
        turned = tf.transpose(recurrent_kernel)

        def one_step_back(step, cell_gradient, state_gradient, gates):
            more = tf.raw_ops.LSTMBlockCellGrad(
                x=inputs[step],
                cs_prev=cells_before[step],
                h_prev=nothing,
                i=run.i[step],
                cs=run.cs[step],
                f=run.f[step],
                o=run.o[step],
                ci=run.ci[step],
                co=run.co[step],
                cs_grad=cell_gradient,
                h_grad=upstream[step] + state_gradient,
                **weights,
            )
            return (
                step - 1,
                more.cs_prev_grad,
                tf.matmul(more.dicfo, turned),
                gates.write(step, more.dicfo),
            )

        shape = [None, 4 * units]
        *_, gates = tf.while_loop(
            lambda step, *_: step >= 0,
            one_step_back,
            (
                length - 1,
                nothing,
                nothing,
                tf.TensorArray(tf.float32, length, element_shape=shape),
            ),
        )
        # One row a token: time, then row.
        gates = gates.concat()
        tokens = tf.reshape(inputs, [-1, inputs.shape[-1]])
        states_before = tf.reshape(run.h[:-1], [-1, units])
        return (
            tf.reshape(
                tf.matmul(gates, kernel, transpose_b=True), tf.shape(inputs)
            ),
            tf.matmul(tokens, gates, transpose_a=True),
            # Before the first token the states are zeros.
            tf.matmul(states_before, gates[rows:], transpose_a=True),
            tf.reduce_sum(gates, axis=0),
        )

    return run.h, gradient


def _in_order(weights):
    """Keras has the gates as i, f, c, o; the operation as i, c, f, o."""
    i, f, c, o = tf.split(tf.convert_to_tensor(weights), 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
