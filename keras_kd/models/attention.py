"""The attention student: self-attention without feed-forward layers."""

import keras
from keras import layers
from keras import ops

from keras_kd import batch
from keras_kd.models.heads import classification_head
from keras_kd.models.heads import masked_pool
from keras_kd.models.recurrent import token_inputs
from keras_kd.models.token_convolution import convolve_tokens


def attention_student(
    vocabulary_size,
    num_outputs,
    num_layers=1,
    hidden_dim=128,
    num_heads=4,
    max_length=512,
    dropout=0.2,
    pooling="mean",
    convolution=None,
):
    """Builds a student of self-attention alone.

    A Transformer without its feed-forward layers, which hold two thirds of a
    Transformer layer's weights: token and position embeddings, then layers of
    multi-head self-attention, each with a residual connection and layer
    normalisation. Stock Keras layers only: the saved model loads wherever
    Keras does.

    Args:
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        num_layers: Number of attention layers.
        hidden_dim: Width of embeddings and hidden states.
        num_heads: Attention heads; must divide `hidden_dim`.
        max_length: Rows of the position table. Texts must not be longer.
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

    Example:

    >>> student = attention_student(1000, 2, hidden_dim=8, num_heads=2)
    >>> student.output.shape
    (None, 2)

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
    """
    if hidden_dim % num_heads:
        raise ValueError(
            "`num_heads` must divide `hidden_dim`. Received: num_heads="
            f"{num_heads}, hidden_dim={hidden_dim}."
        )
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more, not {num_layers}.")

    def embedding(rows, name):
        return layers.Embedding(
            rows,
            hidden_dim,
            embeddings_initializer=keras.initializers.TruncatedNormal(
                stddev=0.02
            ),
            name=name,
        )

    def normalization(name):
        return layers.LayerNormalization(epsilon=1e-12, name=name)

    inputs = token_inputs()
    token_ids = inputs[batch.TOKEN_IDS]
    # 0, 1, 2, ... for a length that is not known yet.
    positions = ops.cumsum(ops.ones_like(token_ids), axis=1) - 1
    # [batch, 1, length]: each position sees the real tokens.
    mask = ops.expand_dims(ops.cast(inputs[batch.PADDING_MASK], "bool"), 1)
    x = layers.Add(name="embeddings_add")(
        [
            embedding(vocabulary_size, "token_embedding")(token_ids),
            embedding(max_length, "position_embedding")(positions),
        ]
    )
    x = normalization("embeddings_layer_norm")(x)
    x = layers.Dropout(dropout, name="embeddings_dropout")(x)
    x = convolve_tokens(x, inputs[batch.PADDING_MASK], convolution, dropout)
    for index in range(num_layers):
        attended = layers.MultiHeadAttention(
            num_heads,
            hidden_dim // num_heads,
            dropout=dropout,
            name=f"attention_layer_{index}",
        )(x, x, attention_mask=mask)
        attended = layers.Dropout(dropout, name=f"dropout_{index}")(attended)
        x = layers.Add(name=f"add_{index}")([x, attended])
        x = normalization(f"layer_norm_{index}")(x)
    x = masked_pool(x, inputs[batch.PADDING_MASK], pooling)
    logits = classification_head(x, num_outputs, dropout)
    return keras.Model(inputs, logits, name=f"attention_{num_layers}")
