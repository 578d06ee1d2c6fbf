"""Recurrent students: BiGRU and BiLSTM."""

import keras
from keras import layers
from keras import ops

from keras_kd import batch
from keras_kd.models.heads import classification_head
from keras_kd.models.heads import masked_pool

CELLS = {"gru": layers.GRU, "lstm": layers.LSTM}


def recurrent_student(
    vocabulary_size,
    num_outputs,
    cell="gru",
    num_layers=1,
    units=128,
    embedding_dim=128,
    dropout=0.2,
    pooling="max",
):
    """Builds a bidirectional recurrent student.

    Small in parameters (most of them the embedding table), and the student of
    Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple
    Neural Networks". Stock Keras layers only: the saved model loads wherever
    Keras does.

    Args:
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        cell: `"gru"` or `"lstm"`.
        num_layers: Number of bidirectional layers.
        units: Width of each direction.
        embedding_dim: Width of the embeddings.
        dropout: Rate after the embeddings, between layers and in the head.
        pooling: `"max"` or `"mean"` over the real tokens' states; `None` gives
            logits `[batch, length, num_outputs]`, for each token.

    Returns:
        A functional `keras.Model`: int32 `token_ids` and `padding_mask`, both
        `[batch, length]`, to logits `[batch, num_outputs]`.

    Raises:
        ValueError: Another cell or pooling, or less than one layer.

    Example:

    >>> student = recurrent_student(1000, 2, num_layers=2, units=8)
    >>> student.output.shape
    (None, 2)
    """
    if cell not in CELLS:
        raise ValueError(
            f"`cell` must be one of {sorted(CELLS)}. Received: {cell}"
        )
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more, not {num_layers}.")
    inputs = token_inputs()
    mask = ops.cast(inputs[batch.PADDING_MASK], "bool")
    x = layers.Embedding(
        vocabulary_size, embedding_dim, name="token_embedding"
    )(inputs[batch.TOKEN_IDS])
    for index in range(num_layers):
        x = layers.Dropout(dropout, name=f"dropout_{index}")(x)
        x = layers.Bidirectional(
            CELLS[cell](units, return_sequences=True, use_cudnn=False),
            name=f"recurrent_layer_{index}",
        )(x, mask=mask)
    x = masked_pool(x, inputs[batch.PADDING_MASK], pooling)
    logits = classification_head(x, num_outputs, dropout)
    return keras.Model(inputs, logits, name=f"bi{cell}_{num_layers}")


def token_inputs():
    """The inputs that every student has, under the names of a batch."""
    return {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in (batch.TOKEN_IDS, batch.PADDING_MASK)
    }
