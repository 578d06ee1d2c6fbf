"""BERT-like encoders and their heads, of Keras' and KerasHub's own layers."""

from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class BertSettings:
    """The sizes and rates of a BERT-like encoder.

    Args:
        name: str, the name of the model.
        vocabulary_size: int, rows of the token table.
        num_layers: int, transformer layers.
        num_heads: int, attention heads of a layer.
        hidden_dim: int, width of the hidden states.
        intermediate_dim: int, width inside the feed-forward blocks.
        max_length: int, the longest sequence.
        num_segments: int, token types; with more than one the model has the
            input `segment_ids`.
        activation: str or function, of the feed-forward blocks.
        head_activation: str, of the dense layer below the `"cls"` logits.
        masked_lm_activation: str or function, in the masked-LM head.
        layer_norm_epsilon: float.
        dropout: float, of embeddings and transformer layers.
        head_dropouts: dict from the name of a head to its rate.
        initializer_range: float, standard deviation of fresh weights.
    """

    name: str
    vocabulary_size: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    intermediate_dim: int
    max_length: int
    num_segments: int
    activation: object
    head_activation: str
    masked_lm_activation: object
    layer_norm_epsilon: float
    dropout: float
    head_dropouts: dict
    initializer_range: float


def bert(settings, task_head, num_outputs=None, pooling="cls"):
    """A BERT-like model with random weights.

    Args:
        settings: a `BertSettings`.
        task_head: `"sequence"`, `"token"`, `"span"`, `"masked_lm"`,
            `"pooler"` (hidden states and the pooled first position) or
            None (hidden states).
        num_outputs: int, outputs of a `"sequence"` or `"token"` head; a
            `"span"` head has 2.
        pooling: `"cls"` or `"mean"`, of a `"sequence"` head.

    Returns:
        A Functional `keras.Model`. See `keras_kd.models.pretrained` for its
        inputs and outputs.

    Raises:
        ImportError: if keras_hub is not installed.
    """
    # === Layers ===
    token_embedding, embeddings, encoder = _encoder_layers(settings)

    # === Functional Model ===
    inputs = {
        "token_ids": _integers("token_ids"),
        "padding_mask": _integers("padding_mask"),
    }
    tokens = token_embedding(inputs["token_ids"])
    parts = [tokens, embeddings["positions"](tokens)]
    if settings.num_segments > 1:
        inputs["segment_ids"] = _integers("segment_ids")
        parts.append(embeddings["segments"](inputs["segment_ids"]))
    x = keras.layers.Add(name="embeddings_add")(parts)
    x = embeddings["layer_norm"](x)
    x = embeddings["dropout"](x)
    for layer in encoder:
        x = layer(x, padding_mask=inputs["padding_mask"])

    if task_head == "sequence":
        if pooling == "mean":
            x = _masked_mean(x, inputs["padding_mask"])
        else:
            x = _pooled_dense(settings)(x[:, 0, :])
        outputs = _logits(x, settings, task_head, num_outputs)
    elif task_head in ("token", "span"):
        outputs = _logits(x, settings, task_head, num_outputs or 2)
    elif task_head == "masked_lm":
        outputs = _masked_lm(x, settings, token_embedding)
    else:
        outputs = {"sequence_output": _float32(x)}
        if task_head == "pooler":
            pooled = _pooled_dense(settings)(x[:, 0, :])
            outputs["pooled_output"] = _float32(pooled)
    return keras.Model(inputs, outputs, name=settings.name)


def _encoder_layers(settings):
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            "BERT-like models are made of KerasHub's layers: "
            "`pip install keras-hub`."
        ) from error

    token_embedding = keras_hub.layers.ReversibleEmbedding(
        settings.vocabulary_size,
        settings.hidden_dim,
        embeddings_initializer=_initializer(settings),
        name="token_embedding",
    )
    embeddings = {
        "positions": keras_hub.layers.PositionEmbedding(
            settings.max_length,
            initializer=_initializer(settings),
            name="position_embedding",
        ),
        "layer_norm": keras.layers.LayerNormalization(
            epsilon=settings.layer_norm_epsilon, name="embeddings_layer_norm"
        ),
        "dropout": keras.layers.Dropout(
            settings.dropout, name="embeddings_dropout"
        ),
    }
    if settings.num_segments > 1:
        embeddings["segments"] = keras.layers.Embedding(
            settings.num_segments,
            settings.hidden_dim,
            embeddings_initializer=_initializer(settings),
            name="segment_embedding",
        )
    encoder = [
        keras_hub.layers.TransformerEncoder(
            settings.intermediate_dim,
            settings.num_heads,
            dropout=settings.dropout,
            activation=settings.activation,
            layer_norm_epsilon=settings.layer_norm_epsilon,
            kernel_initializer=_initializer(settings),
            name=f"transformer_layer_{i}",
        )
        for i in range(settings.num_layers)
    ]
    return token_embedding, embeddings, encoder


def _integers(name):
    return keras.Input(shape=(None,), dtype="int32", name=name)


def _initializer(settings):
    # A new one for each layer: an instance without a seed repeats its values.
    return keras.initializers.TruncatedNormal(stddev=settings.initializer_range)


def _float32(x):
    return x if x.dtype == "float32" else ops.cast(x, "float32")


def _masked_mean(x, padding_mask):
    mask = ops.expand_dims(ops.cast(padding_mask, "float32"), axis=-1)
    total = ops.sum(_float32(x) * mask, axis=1)
    # A row that is all padding gives zeros rather than NaN.
    return total / ops.maximum(ops.sum(mask, axis=1), 1.0)


def _pooled_dense(settings):
    return keras.layers.Dense(
        settings.hidden_dim,
        activation=settings.head_activation,
        kernel_initializer=_initializer(settings),
        name="pooled_dense",
    )


def _logits(x, settings, task_head, num_outputs):
    rate = settings.head_dropouts[task_head]
    if rate:
        x = keras.layers.Dropout(rate, name="classifier_dropout")(x)
    return keras.layers.Dense(
        num_outputs,
        kernel_initializer=_initializer(settings),
        dtype="float32",
        name="logits",
    )(x)


def _masked_lm(x, settings, token_embedding):
    from keras_hub.layers import PositionEmbedding

    x = keras.layers.Dense(
        settings.hidden_dim,
        activation=settings.masked_lm_activation,
        kernel_initializer=_initializer(settings),
        name="masked_lm_dense",
    )(x)
    x = keras.layers.LayerNormalization(
        epsilon=settings.layer_norm_epsilon, name="masked_lm_layer_norm"
    )(x)
    x = token_embedding(x, reverse=True)
    # The table has no bias, and no stock layer is a bias alone. The embedding
    # of a single position is one: a vector that does not depend on the input.
    bias = PositionEmbedding(1, initializer="zeros", name="masked_lm_bias")
    return keras.layers.Add(dtype="float32", name="logits")(
        [x, bias(x[:, :1, :])]
    )
