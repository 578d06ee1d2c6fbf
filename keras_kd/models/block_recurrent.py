"""Bidirectional RNNs of which TensorFlow computes many steps at once."""

import abc

import keras
import tensorflow as tf

from keras_kd.models.bidirectional import is_plain_bidirectional


class BlockRecurrent(keras.layers.Layer, abc.ABC):
    """A `Bidirectional` RNN that is trained faster than in Keras' loop.

    Keras runs some thirty operations a token and direction, and as many
    backward. What stands for them gives the same numbers, reads the variables
    of the layer, and is in the graph that is trained alone: no model is saved
    with it.

    Padding has to be on the right. States there are zeros, as in Keras.

    Args:
        layer: A built layer of which `computes_the_same` is true.

    Raises:
        tf.errors.InvalidArgumentError: A mask with padding elsewhere.
    """

    # The RNN that it stands for, in both directions.
    rnn: type

    def __init__(self, layer):
        super().__init__(
            name=layer.name,
            trainable=False,
            # Not the policy of now, which may be another one.
            dtype=layer.forward_layer.dtype_policy,
        )
        self.supports_masking = True
        self.cells = [layer.forward_layer.cell, layer.backward_layer.cell]
        self.units = self.cells[0].units

    @classmethod
    def computes_the_same(cls, layer):
        """Says whether this is what a layer computes in training."""
        if not is_plain_bidirectional(layer):
            return False
        rnn = layer.forward_layer
        cells = (rnn.cell, layer.backward_layer.cell)
        return (
            isinstance(rnn, cls.rnn)
            and rnn.compute_dtype == "float32"
            and not any(c.dropout or c.recurrent_dropout for c in cells)
            and not any(
                one.activity_regularizer
                for one in (layer, rnn, layer.backward_layer)
            )
        )

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
        place = tf.range(shape[1])
        last = lengths[:, tf.newaxis] - 1
        turned = tf.where(place <= last, last - place, place)
        forward, backward = self.run_cells(
            sequences, _permute(sequences, turned)
        )
        backward = _permute(backward, turned)
        states = tf.concat([forward, backward], axis=-1)
        if mask is None:
            return states
        return states * tf.cast(mask, states.dtype)[..., tf.newaxis]

    @abc.abstractmethod
    def run_cells(self, forward, backward):
        """Runs each cell along its sequences.

        Args:
            forward: `[rows, length, width]`, for the first cell.
            backward: The same rows from their ends, for the second one.

        Returns:
            The states of both, `[rows, length, units]`.
        """

    def compute_output_shape(self, sequences_shape, mask_shape=None):
        """The shape of `[batch, length, 2 * units]`."""
        return (*sequences_shape[:-1], 2 * self.units)


@tf.custom_gradient
def _permute(sequences, places):
    """`tf.reverse_sequence`, some four times as fast.

    Args:
        sequences: `[rows, length, width]`.
        places: `[rows, length]`, where each token goes; twice gives the order
            before.
    """

    def gradient(upstream):
        return tf.gather(upstream, places, batch_dims=1), None

    return tf.gather(sequences, places, batch_dims=1), gradient
