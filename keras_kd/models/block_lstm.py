"""Bidirectional LSTMs as TensorFlow trains them fastest on a CPU."""

import keras
import tensorflow as tf

from keras_kd.models.block_recurrent import BlockRecurrent


class BlockLSTM(BlockRecurrent):
    """A `Bidirectional` LSTM whose directions are one operation each.

    TensorFlow's BlockLSTM and its gradient run a whole sequence.

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
        dtype = sequences.dtype
        kernel, bias = (
            _in_order(tf.cast(value, dtype))
            for value in (
                tf.concat([cell.kernel, cell.recurrent_kernel], axis=0),
                tf.zeros(4 * self.units) if cell.bias is None else cell.bias,
            )
        )
        nothing = tf.zeros([tf.shape(sequences)[0], self.units], dtype)
        no_peephole = tf.zeros([self.units], dtype)
        # Not BlockLSTMV2: TensorFlow 2.21 gives it the gradient of this one,
        # which has the gates in another order.
        result = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.cast(tf.shape(sequences)[1], tf.int64),
            x=tf.transpose(sequences, [1, 0, 2]),
            cs_prev=nothing,
            h_prev=nothing,
            w=kernel,
            wci=no_peephole,
            wcf=no_peephole,
            wco=no_peephole,
            b=bias,
            forget_bias=0.0,
            cell_clip=-1.0,
            use_peephole=False,
        )
        return tf.transpose(result.h, [1, 0, 2])


def _in_order(weights):
    """Keras has the gates as i, f, c, o; the operation as i, c, f, o."""
    i, f, c, o = tf.split(weights, 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
