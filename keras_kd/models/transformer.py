"""The Transformer student."""

import keras
from keras import layers

from keras_kd import batch
from keras_kd.models.heads import classification_head
from keras_kd.models.heads import masked_pool
from keras_kd.models.recurrent import token_inputs
from keras_kd.models.token_convolution import convolve_tokens


def transformer_student(
    vocabulary_size,
    num_outputs,
    num_layers=1,
    hidden_dim=128,
    num_heads=4,
    intermediate_dim=None,
    max_length=512,
    dropout=0.1,
    pooling="mean",
    convolution=None,
):
    """Builds a small Transformer encoder as a student.

    The layers are KerasHub's, with the exact GELU of BERT, so that a saved
    student loads with Keras and KerasHub alone.

    Args:
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        num_layers: Number of encoder layers.
        hidden_dim: Width of embeddings and hidden states.
        num_heads: Attention heads; must divide `hidden_dim`.
        intermediate_dim: Width of the feed-forward layers, by default four
            times `hidden_dim`.
        max_length: Rows of the position table.
        dropout: Rate everywhere.
        pooling: `"mean"`, `"max"` or `"first"`; `None` gives logits
            `[batch, length, num_outputs]`, for each token.
        convolution: Tokens that a convolution before the first layer sees at
            once, such as 3; see `keras_kd.models.token_convolution`. `None`
            for none.

    Returns:
        A functional `keras.Model`: int32 `token_ids` and `padding_mask`, both
        `[batch, length]`, to logits `[batch, num_outputs]`.

    Raises:
        ValueError: `num_heads` does not divide `hidden_dim`, less than one
            layer, another pooling, or a convolution over a single token.

    Source: Vaswani et al. 2017; the arrangement of Devlin et al. 2019.
    """
    from keras_hub.layers import PositionEmbedding
    from keras_hub.layers import TransformerEncoder

    if hidden_dim % num_heads:
        raise ValueError(
            "`num_heads` must divide `hidden_dim`. Received: num_heads="
            f"{num_heads}, hidden_dim={hidden_dim}."
        )
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more, not {num_layers}.")

    def initializer():
        # A new one for each table: an instance repeats its values.
        return keras.initializers.TruncatedNormal(stddev=0.02)

    inputs = token_inputs()
    tokens = layers.Embedding(
        vocabulary_size,
        hidden_dim,
        embeddings_initializer=initializer(),
        name="token_embedding",
    )(inputs[batch.TOKEN_IDS])
    positions = PositionEmbedding(
        max_length, initializer=initializer(), name="position_embedding"
    )(tokens)
    x = layers.Add(name="embeddings_add")([tokens, positions])
    x = layers.LayerNormalization(epsilon=1e-12, name="embeddings_layer_norm")(
        x
    )
    x = layers.Dropout(dropout, name="embeddings_dropout")(x)
    x = convolve_tokens(x, inputs[batch.PADDING_MASK], convolution, dropout)
    for index in range(num_layers):
        x = TransformerEncoder(
            intermediate_dim or 4 * hidden_dim,
            num_heads,
            dropout=dropout,
            activation="gelu",
            layer_norm_epsilon=1e-12,
            kernel_initializer=initializer(),
            name=f"transformer_layer_{index}",
        )(x, padding_mask=inputs[batch.PADDING_MASK])
    x = masked_pool(x, inputs[batch.PADDING_MASK], pooling)
    logits = classification_head(x, num_outputs, dropout)
    return keras.Model(inputs, logits, name=f"transformer_{num_layers}")
