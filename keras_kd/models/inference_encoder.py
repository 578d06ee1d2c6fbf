"""Transformer layers as they are computed fastest where nothing is trained."""

import keras
from keras import ops

from keras_kd.models.layer_replacement import replace_layers

# Added to the scores of padding: exp() of it is 0.
NEVER = -1e9


class InferenceEncoder(keras.layers.Layer):
    """A KerasHub `TransformerEncoder`, in few and large operations.

    Three projections are one, products are of matrices with a bias behind
    them, which TensorFlow and LiteRT then compute in one go, and padding is
    masked by a sum. It reads the variables of the layer and gives the same
    numbers, up to the order of sums; no model is saved with it.

    Args:
        layer: A built layer of which `is_plain_encoder` is true.

    Example:

    >>> import keras_hub
    >>> layer = keras_hub.layers.TransformerEncoder(16, num_heads=2)
    >>> layer.build((None, None, 8))
    >>> InferenceEncoder(layer).compute_output_shape((3, 5, 8))
    (3, 5, 8)
    """

    def __init__(self, layer):
        super().__init__(name=layer.name, trainable=False, dtype="float32")
        self.layer = layer
        self.supports_masking = True  # As the layer does.

    def call(
        self, states, padding_mask=None, attention_mask=None, training=None
    ):
        """Gives the states after the layer: `[batch, tokens, width]`."""
        shape = ops.shape(states)
        scores, value = self.attention_scores(
            states, padding_mask, attention_mask
        )
        context = ops.matmul(ops.softmax(scores, axis=-1), value)
        states = ops.reshape(states, [-1, states.shape[-1]])
        states = _normalized(
            self.attention_output(context) + states,
            self.layer._self_attention_layer_norm,
        )
        hidden = self.layer._feedforward_intermediate_dense(states)
        hidden = self.layer._feedforward_output_dense(hidden)
        states = _normalized(
            hidden + states, self.layer._feedforward_layer_norm
        )
        return ops.reshape(states, shape)

    def attention_scores(self, states, padding_mask, attention_mask):
        """Masked scores `[batch, heads, tokens, tokens]`, and the values.

        Args:
            states: `[batch, tokens, width]`.
            padding_mask: `[batch, tokens]`, or `None`: that which Keras hands
                on from an embedding with `mask_zero`, if there is one.
            attention_mask: `[batch, tokens, tokens]`, or `None`.
        """
        if padding_mask is None:
            padding_mask = getattr(states, "_keras_mask", None)
        shape = ops.shape(states)
        attention = self.layer._self_attention_layer
        heads, width = self.layer.num_heads, states.shape[-1]
        scale = (width // heads) ** -0.5
        parts = [
            attention._query_dense,
            attention._key_dense,
            attention._value_dense,
        ]
        kernels = [ops.reshape(part.kernel, [width, width]) for part in parts]
        biases = [ops.reshape(part.bias, [width]) for part in parts]
        kernel = ops.concatenate([kernels[0] * scale, *kernels[1:]], axis=1)
        bias = ops.concatenate([biases[0] * scale, *biases[1:]], axis=0)
        projected = ops.reshape(
            ops.matmul(ops.reshape(states, [-1, width]), kernel) + bias,
            [shape[0], shape[1], 3 * heads, width // heads],
        )
        projected = ops.transpose(projected, [0, 2, 1, 3])
        query, key, value = ops.split(projected, 3, axis=1)
        scores = ops.matmul(query, ops.transpose(key, [0, 1, 3, 2]))
        for mask, axes in ((padding_mask, [1, 2]), (attention_mask, [1])):
            if mask is not None:
                hidden = ops.expand_dims(1 - ops.cast(mask, scores.dtype), axes)
                scores += NEVER * hidden
        return scores, value

    def attention_output(self, context):
        """`[batch * tokens, width]` of what the heads have read."""
        output = self.layer._self_attention_layer._output_dense
        width = output.bias.shape[-1]
        context = ops.reshape(ops.transpose(context, [0, 2, 1, 3]), [-1, width])
        kernel = ops.reshape(output.kernel, [width, width])
        return ops.matmul(context, kernel) + output.bias

    def compute_output_shape(
        self, states_shape, padding_mask_shape=None, attention_mask_shape=None
    ):
        """The shape of the states."""
        return states_shape


def for_inference(model):
    """Gives a model with the same weights that is faster, but not to train.

    Args:
        model: A functional `keras.Model` that is built.

    Returns:
        The model itself where there is nothing to make faster.
    """
    return replace_layers(model, is_plain_encoder, InferenceEncoder)


def is_plain_encoder(layer):
    """Whether it is a float32 `TransformerEncoder` that normalises last.

    A model that is given its attention scores, too, is not helped, nor one
    whose heads don't divide its width, or that regularises what it gives.
    """
    kind = type(layer)
    return (
        kind.__name__ == "TransformerEncoder"
        and kind.__module__.startswith("keras_hub.")
        and layer.compute_dtype == "float32"
        and not layer.normalize_first
        and not layer.activity_regularizer
        # Keras cuts the heads' width down to a whole number.
        and layer._feedforward_output_dense.units % layer.num_heads == 0
        and not any(
            node.arguments.kwargs.get("return_attention_scores")
            for node in layer._inbound_nodes
        )
    )


def _normalized(states, norm):
    centred = states - ops.mean(states, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred * ops.rsqrt(variance + norm.epsilon) * norm.gamma + norm.beta
