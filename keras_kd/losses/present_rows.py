"""Which rows of a batch are there, and what stands in those that are not."""

from keras import ops


def present_rows(values, sample_weight):
    """`[batch]`, true where a row has a weight above 0.

    A row of weight 0 is one that is not there: it fills up a micro-batch, or
    was taken out on purpose, and no other row is compared with it.

    Args:
        values: `[batch, ...]`.
        sample_weight: `[batch]`, or `None` where all rows count.
    """
    if sample_weight is None:
        return ops.ones(ops.shape(values)[:1], "bool")
    weight = ops.convert_to_tensor(sample_weight)
    return ops.reshape(weight, (-1,)) > 0


def without_absent_rows(values, sample_weight):
    """The values, and 0 in rows of weight 0, whatever stands there.

    As with padding it has to go before anything is computed: 0 times NaN, of a
    teacher that failed on the row, is NaN.

    Args:
        values: `[batch, ...]`.
        sample_weight: `[batch]`, or `None` where all rows count.
    """
    if sample_weight is None:
        return values
    shape = (-1, *[1] * (len(values.shape) - 1))
    there = ops.not_equal(ops.reshape(sample_weight, shape), 0)
    return ops.where(there, values, ops.zeros_like(values))


def present_pairs(present):
    """`[batch, batch]`, true for two different rows that are both there."""
    index = ops.cumsum(ops.ones_like(ops.cast(present, "int32")))
    different = ops.not_equal(
        ops.expand_dims(index, 0), ops.expand_dims(index, 1)
    )
    both = ops.logical_and(
        ops.expand_dims(present, 0), ops.expand_dims(present, 1)
    )
    return ops.logical_and(different, both)
