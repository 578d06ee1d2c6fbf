"""The BERT student: BERT itself, in small."""

from keras_kd.models.bert import BertSettings
from keras_kd.models.bert import bert


def bert_student(
    vocabulary_size,
    num_outputs,
    num_layers=1,
    hidden_dim=128,
    num_heads=4,
    intermediate_dim=None,
    max_length=512,
    dropout=0.1,
    pooling="first",
):
    """Builds a BERT of any size, from scratch.

    Unlike `transformer_student` it has all that BERT has: token types, and the
    first position through a pooler. A student of the teacher's own layers is
    made by `keras_kd.init_from_teacher`.

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
        pooling: `"first"`; `None` gives logits `[batch, length, num_outputs]`,
            for each token.

    Returns:
        A functional `keras.Model`: int32 `token_ids`, `segment_ids` and
        `padding_mask`, all `[batch, length]`, to logits `[batch,
        num_outputs]`.

    Raises:
        ValueError: `num_heads` does not divide `hidden_dim`, or less than one
            layer.

    Example:

    >>> tinybert = bert_student(1000, 2, 4, 312, 12, 1200, max_length=64)
    >>> tinybert.get_layer("transformer_layer_3").output.shape
    (None, None, 312)

    Source: Devlin et al. 2019; the shape of the example is that of Jiao et al.
    2020, "TinyBERT".
    """
    if hidden_dim % num_heads:
        raise ValueError(
            "`num_heads` must divide `hidden_dim`. Received: num_heads="
            f"{num_heads}, hidden_dim={hidden_dim}."
        )
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more, not {num_layers}.")
    settings = BertSettings(
        name=f"bert_{num_layers}",
        vocabulary_size=vocabulary_size,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=intermediate_dim or 4 * hidden_dim,
        max_length=max_length,
        num_segments=2,
        activation="gelu",
        head_activation="tanh",
        masked_lm_activation="gelu",
        layer_norm_epsilon=1e-12,
        dropout=dropout,
        head_dropouts={"sequence": dropout, "token": dropout},
        initializer_range=0.02,
    )
    head = "token" if pooling is None else "sequence"
    return bert(settings, head, num_outputs)
