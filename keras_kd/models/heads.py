"""Pooling over real tokens, and the head of a student."""

from keras import layers
from keras import ops

POOLINGS = ("max", "mean", "first")


def masked_pool(hidden_states, padding_mask, pooling):
    """Pools `[batch, length, width]` over the positions that are not padding.

    `GlobalMaxPooling1D` ignores masks, so the mask is applied by hand, with
    operations that every runtime on a phone has.

    Args:
        hidden_states: `[batch, length, width]`.
        padding_mask: `[batch, length]`, 1 on real tokens.
        pooling: `"max"`, `"mean"` or `"first"`; `None` leaves the positions as
            they are, for logits of each token.

    Raises:
        ValueError: Another pooling.
    """
    if pooling is None:
        return hidden_states
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {list(POOLINGS)}, or None. Received: "
            f"{pooling}"
        )
    if pooling == "first":
        return hidden_states[:, 0, :]
    mask = ops.cast(ops.expand_dims(padding_mask, -1), hidden_states.dtype)
    if pooling == "max":
        # A number that float16 holds, and that no hidden state reaches.
        return ops.max(hidden_states * mask - (1.0 - mask) * 1e4, axis=1)
    return ops.sum(hidden_states * mask, axis=1) / ops.maximum(
        ops.sum(mask, axis=1), 1.0
    )


def classification_head(pooled, num_outputs, dropout):
    """Dropout and a Dense layer that gives float32 logits."""
    pooled = layers.Dropout(dropout, name="head_dropout")(pooled)
    return layers.Dense(num_outputs, dtype="float32", name="logits")(pooled)
