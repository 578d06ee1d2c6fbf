"""Bidirectional layers without a loop, for clients that take no loops."""

import keras
import tensorflow as tf

from keras_kd.export.recurrent_lowering import BidirectionalLoop
from keras_kd.models.bidirectional import is_plain_bidirectional
from keras_kd.models.layer_replacement import replace_layers


class UnrolledRecurrence(BidirectionalLoop):
    """A `BidirectionalLoop` whose steps are written out, for one length.

    MediaPipe takes files of one subgraph, and the body of a loop is another
    one. Keras can unroll its layers too, but with a mask and
    `return_sequences` it gives zeros for the wrong tokens.

    A step does the forward direction of a token and the backward one of its
    mirror image, and leaves the states as they are where that is padding. The
    backward direction so passes all padding, on the right, before the text.

    Args:
        layer: A built layer of which `is_plain_bidirectional` is true.

    Example:

    >>> layer = keras.layers.Bidirectional(
    ...     keras.layers.GRU(4, return_sequences=True)
    ... )
    >>> layer.build((1, None, 3))
    >>> UnrolledRecurrence(layer)(keras.ops.ones((1, 9, 3))).shape
    TensorShape([1, 9, 8])
    """

    def call(self, sequences, mask=None):
        """Gives the states at every token."""
        x = sequences[0]
        steps = x.shape[0]
        mask = (
            tf.ones([steps, 1])
            if mask is None
            else tf.cast(mask[0], tf.float32)[:, tf.newaxis]
        )
        projected = tf.stack(
            [
                tf.matmul(side, kernel) + bias
                for side, kernel, bias in zip(
                    (x, tf.reverse(x, [0])),
                    self._kernels,
                    self._biases,
                    strict=True,
                )
            ],
            axis=1,
        )
        present = tf.stack([mask, tf.reverse(mask, [0])], axis=1)
        states = (tf.zeros([2, self.units]),) * self._states
        outputs = []
        for step, is_text in zip(
            tf.unstack(projected), tf.unstack(present), strict=True
        ):
            new = self._step(step, *states)
            states = tuple(
                old + is_text * (value - old)
                for old, value in zip(states, new, strict=True)
            )
            outputs.append(states[0])
        outputs = tf.stack(outputs)
        backward = tf.reverse(outputs[:, 1], [0])
        return (tf.concat([outputs[:, 0], backward], axis=1) * mask)[tf.newaxis]


def with_unrolled_recurrence(model):
    """Gives a model with the same weights and without loops, for one row.

    Args:
        model: A functional `keras.Model` that is built.

    Raises:
        ValueError: It has a recurrent layer that is not one of ours.
    """
    others = [
        layer.name
        for layer in model.layers
        if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))
        and not is_plain_bidirectional(layer)
    ]
    if others:
        raise ValueError(
            "Only bidirectional GRU and LSTM layers that give every state, "
            "with Keras' own activations, become files without a loop. "
            f"Received: {others}. Build the student with `recurrent_student`."
        )
    return replace_layers(model, is_plain_bidirectional, UnrolledRecurrence)
