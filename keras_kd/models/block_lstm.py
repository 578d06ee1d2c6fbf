"""Bidirectional LSTMs as TensorFlow trains them fastest on a CPU."""

import keras
import tensorflow as tf

from keras_kd.models.bidirectional import is_plain_bidirectional
from keras_kd.models.layer_replacement import replace_layers


class BlockLSTM(keras.layers.Layer):
    """A `Bidirectional` LSTM whose directions are one operation each.

    Keras runs a loop of some thirty operations a token. TensorFlow's
    BlockLSTM and its gradient run the whole sequence, with the same numbers.
    It reads the variables of the layer, and is in the graph that is trained
    alone: no model is saved with it.

    Padding has to be on the right. States there are zeros, where Keras repeats
    the last ones.

    Args:
        layer: A built layer of which `is_block_lstm` is true.

    Raises:
        tf.errors.InvalidArgumentError: A mask with padding elsewhere.

    Example:

    >>> layer = keras.layers.Bidirectional(
    ...     keras.layers.LSTM(4, return_sequences=True)
    ... )
    >>> layer.build((1, None, 3))
    >>> BlockLSTM(layer).compute_output_shape((2, 9, 3))
    (2, 9, 8)
    """

    def __init__(self, layer):
        super().__init__(name=layer.name, trainable=False)
        self.supports_masking = True
        self.cells = [layer.forward_layer.cell, layer.backward_layer.cell]
        self.units = self.cells[0].units

    def call(self, sequences, mask=None):
        """Gives the states at every token."""
        shape = tf.shape(sequences)
        lengths = tf.fill(shape[:1], shape[1])
        if mask is not None:
            mask = tf.cast(mask, tf.bool)
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
            right = tf.debugging.assert_equal(
                mask,
                tf.sequence_mask(lengths, shape[1]),
                "Padding has to be on the right of each row.",
            )
            # Nothing is returned where there is no graph.
            with tf.control_dependencies([] if right is None else [right]):
                sequences = tf.identity(sequences)
        turned = tf.reverse_sequence(sequences, lengths, seq_axis=1)
        forward, backward = (
            self._direction(cell, side)
            for cell, side in zip(self.cells, (sequences, turned))
        )
        backward = tf.reverse_sequence(backward, lengths, seq_axis=1)
        states = tf.concat([forward, backward], axis=-1)
        if mask is None:
            return states
        return states * tf.cast(mask, states.dtype)[..., tf.newaxis]

    def _direction(self, cell, sequences):
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

    def compute_output_shape(self, sequences_shape, mask_shape=None):
        """The shape of `[batch, length, 2 * units]`."""
        return (*sequences_shape[:-1], 2 * self.units)


def with_block_lstms(model):
    """Gives a model with the same layers, its bidirectional LSTMs as blocks.

    Args:
        model: A functional `keras.Model` that is built.

    Returns:
        Another model; the model itself, if there is nothing to replace, or a
        GPU, for which Keras has a faster one.
    """
    if tf.config.list_logical_devices("GPU"):
        return model
    return replace_layers(model, is_block_lstm, BlockLSTM)


def is_block_lstm(layer):
    """Says whether `BlockLSTM` computes what a layer does in training."""
    return (
        is_plain_bidirectional(layer)
        and isinstance(layer.forward_layer, keras.layers.LSTM)
        and layer.forward_layer.compute_dtype == "float32"
        and not any(
            cell.dropout or cell.recurrent_dropout
            for cell in (layer.forward_layer.cell, layer.backward_layer.cell)
        )
    )


def _in_order(weights):
    """Keras has the gates as i, f, c, o; the operation as i, c, f, o."""
    i, f, c, o = tf.split(weights, 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
