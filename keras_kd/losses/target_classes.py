"""The right class of each row, for losses on logits that ask for it."""

from keras import ops


def target_classes(teacher_logits, context):
    """The labels, and the teacher's best class where there is none.

    Args:
        teacher_logits: `[batch, classes]` or `[batch, length, classes]`.
        context: `LossContext`; its labels are numbers of classes (negative
            where a token has none), or one-hot.

    Returns:
        Integers of the shape of the logits, without their last axis.
    """
    best = ops.cast(ops.argmax(teacher_logits, axis=-1), "int32")
    if context.labels is None:
        return best
    labels = ops.convert_to_tensor(context.labels)
    if len(labels.shape) == len(teacher_logits.shape) and labels.shape[-1] != 1:
        labels = ops.argmax(labels, axis=-1)
    labels = ops.cast(ops.reshape(labels, ops.shape(best)), "int32")
    known = labels >= 0
    if context.label_weight is not None:
        weight = ops.reshape(
            ops.convert_to_tensor(context.label_weight),
            (-1, *[1] * (len(best.shape) - 1)),
        )
        known = ops.logical_and(known, weight > 0)
    return ops.where(known, labels, best)


def is_class(logits, classes):
    """Whether an entry is that of the class, as `logits` are laid out."""
    numbers = ops.arange(logits.shape[-1], dtype="int32")
    return ops.equal(ops.expand_dims(classes, -1), numbers)


def probability_shift(logits, classes):
    """Logits in which the right class is the best one.

    The logit of the class, and the largest, change places: a teacher that is
    wrong no longer teaches its mistake, but how sure it is.

    Args:
        logits: `[..., classes]`.
        classes: `[...]` integers.

    Returns:
        `[..., classes]` tensor.

    Example:

    >>> shifted = probability_shift([[1.0, 3.0, 2.0], [4.0, 0.0, 2.0]], [2, 0])
    >>> [[float(logit) for logit in row] for row in shifted]
    [[1.0, 2.0, 3.0], [4.0, 0.0, 2.0]]

    Source: Wen et al. 2019, "Preparing Lessons: Improve Knowledge Distillation
    with Better Supervision".
    """
    logits = ops.convert_to_tensor(logits)
    classes = ops.cast(classes, "int32")
    right = is_class(logits, classes)
    best = is_class(logits, ops.cast(ops.argmax(logits, axis=-1), "int32"))
    of_right = ops.sum(
        ops.where(right, logits, ops.zeros_like(logits)), -1, keepdims=True
    )
    highest = ops.max(logits, axis=-1, keepdims=True)
    return ops.where(right, highest, ops.where(best, of_right, logits))
