"""What padding must never change: values and means over real positions.

Padding is put aside *before* anything is computed with it. Infinity is usual
there, in attention scores for example, and its gradient, 0 times infinity,
would be NaN even where the value itself is left out afterwards.
"""

from keras import ops


def without_padding(values, mask, axes=(1,)):
    """The values, and 0 wherever one of some axes is at padding.

    Args:
        values: `[batch, ...]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.
        axes: The axes of `values` that are of `length`.
    """
    if mask is None:
        return values
    for axis in axes:
        real = ops.cast(mask, "bool")
        for other in range(1, len(values.shape)):
            if other != axis:
                real = ops.expand_dims(real, other)
        values = ops.where(real, values, ops.zeros_like(values))
    return values


def count_real(values, mask):
    """`[batch]`: how many positions of `[batch, length, ...]` are real."""
    if mask is None:
        mask = ops.ones(ops.shape(values)[:2], values.dtype)
    return ops.sum(ops.cast(mask, values.dtype), axis=1)


def masked_mean(values, mask):
    """Mean of `[batch, length]` over the positions where `mask` is 1."""
    return ops.divide_no_nan(
        ops.sum(without_padding(values, mask), axis=1),
        count_real(values, mask),
    )


def masked_pair_mean(values, mask):
    """Mean of `[batch, length, length]` over the pairs of real positions."""
    return ops.divide_no_nan(
        ops.sum(without_padding(values, mask, axes=(1, 2)), axis=(1, 2)),
        ops.square(count_real(values, mask)),
    )
