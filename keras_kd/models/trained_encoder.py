"""Transformer layers as TensorFlow trains them fastest on a CPU."""

import math

import keras
import tensorflow as tf

from keras_kd.models.inference_encoder import InferenceEncoder
from keras_kd.models.inference_encoder import is_plain_encoder

# Random bits of a number that dropout may drop: 2 for a float32's 4 bytes.
BITS = 16
SCALE = math.sqrt(0.5)


class TrainedEncoder(InferenceEncoder):
    """A KerasHub `TransformerEncoder` that is trained in fewer operations.

    Nearly half of a step with Keras' layers is no product of matrices, and
    half of that is dropout. Here it draws half the bits, and what it keeps is
    one factor, forward and backward; the gradients of softmax, normalisation
    and GELU are written out. The numbers are those of the layer, but for what
    dropout draws: other values from the same seeds, which go on as they would.

    Args:
        layer: A built layer of which `computes_the_same` is true.

    Example:

    >>> import keras_hub
    >>> layer = keras_hub.layers.TransformerEncoder(16, num_heads=2)
    >>> layer.build((None, None, 8))
    >>> TrainedEncoder(layer).compute_output_shape((3, 5, 8))
    (3, 5, 8)
    """

    @classmethod
    def computes_the_same(cls, layer):
        """Says whether this is what a layer computes in training."""
        return is_plain_encoder(layer) and layer.dropout < 1

    def call(
        self, states, padding_mask=None, attention_mask=None, training=None
    ):
        """Gives the states after the layer: `[batch, tokens, width]`."""
        layer, shape = self.layer, tf.shape(states)

        def add_to(states, change, dropout, norm):
            if training and dropout.rate:
                kept, scale = draw(tf.shape(change), dropout)
                change *= kept * scale
            return _normalized(states + change, norm)

        scores, value = self.attention_scores(
            states, padding_mask, attention_mask
        )
        dropout = layer._self_attention_layer._dropout_layer
        if training and dropout.rate:
            kept, scale = draw(tf.shape(scores), dropout)
            context = tf.matmul(_dropped_softmax(scores, kept), value * scale)
        else:
            context = tf.matmul(tf.nn.softmax(scores), value)
        states = add_to(
            tf.reshape(states, [-1, states.shape[-1]]),
            self.attention_output(context),
            layer._self_attention_dropout,
            layer._self_attention_layer_norm,
        )
        states = add_to(
            states,
            self._feed_forward(states),
            layer._feedforward_dropout,
            layer._feedforward_layer_norm,
        )
        return tf.reshape(states, shape)

    def _feed_forward(self, states):
        inner = self.layer._feedforward_intermediate_dense
        outer = self.layer._feedforward_output_dense
        if inner.activation is not keras.activations.gelu:
            return outer(inner(states))
        # gelu(x) = s * t * erfc(-t) with t = s * x and s = sqrt(1/2). Kernels
        # are smaller than states, and take the factors.
        inner, inner_bias = (SCALE * w for w in (inner.kernel, inner.bias))
        hidden = _scaled_gelu(tf.matmul(states, inner) + inner_bias)
        return tf.matmul(hidden, SCALE * outer.kernel) + outer.bias


def draw(shape, dropout):
    """What a dropout layer keeps (1) and drops (0), and the factor for it.

    Args:
        shape: Of what is dropped from, an int32 tensor.
        dropout: `keras.layers.Dropout`, whose random state is moved on.

    Returns:
        float32 tensor of that shape, and a number.
    """
    seed = tf.cast(dropout.seed_generator.next(), tf.int32)
    dropped = round(dropout.rate * 2**BITS)
    size = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform(
        [(size + 1) // 2], seed, minval=None, maxval=None, dtype=tf.int32
    )
    bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
    kept = tf.cast(bits >= tf.constant(dropped, tf.uint16), tf.float32)
    return tf.reshape(kept, shape), 1 / (1 - dropped / 2**BITS)


@tf.custom_gradient
def _dropped_softmax(scores, kept):
    """`softmax(scores) * kept`."""
    probabilities = tf.nn.softmax(scores)
    dropped = probabilities * kept

    def gradient(upstream):
        own = upstream * dropped
        total = tf.reduce_sum(own, axis=-1, keepdims=True)
        return own - probabilities * total, None

    return dropped, gradient


@tf.custom_gradient
def _scaled_gelu(states):
    """`t * erfc(-t)`: Hendrycks and Gimpel 2016, up to factors."""
    twice_below = tf.math.erfc(-states)

    def gradient(upstream):
        density = 2 / math.sqrt(math.pi) * tf.exp(-tf.square(states))
        return upstream * (twice_below + states * density)

    return states * twice_below, gradient


def _normalized(states, norm):
    """Layer normalisation: Ba et al. 2016."""

    @tf.custom_gradient
    def normalize(states, gamma, beta):
        centred = states - tf.reduce_mean(states, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        inverse = tf.math.rsqrt(variance + norm.epsilon)
        normal = centred * inverse

        def gradient(upstream):
            both = upstream * normal
            share = gamma[:, tf.newaxis] / gamma.shape[0]
            mean, along = tf.matmul(upstream, share), tf.matmul(both, share)
            return (
                inverse * (upstream * gamma - mean - normal * along),
                tf.reduce_sum(both, axis=0),
                tf.reduce_sum(upstream, axis=0),
            )

        return normal * gamma + beta, gradient

    gamma, beta = map(tf.convert_to_tensor, (norm.gamma, norm.beta))
    return normalize(states, gamma, beta)
