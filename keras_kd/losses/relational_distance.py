"""How far the rows of a batch are from one another."""

import keras
from keras import ops

from keras_kd.losses.present_rows import present_pairs
from keras_kd.losses.relational_loss import RelationalLoss


def distance_differences(student, teacher, present):
    """How much the rows' relative distances differ, one value a row.

    Args:
        student: `[batch, width]`.
        teacher: `[batch, another width]`.
        present: `[batch]`, true where a row is there.

    Returns:
        `[batch]` tensor: the mean, over all other rows, of Huber's loss.
    """
    pairs = present_pairs(present)
    student, teacher = (
        relative_distances(vectors, pairs) for vectors in (student, teacher)
    )
    counts = ops.cast(pairs, student.dtype)
    values = huber(student - teacher) * counts
    return ops.divide_no_nan(ops.sum(values, axis=1), ops.sum(counts, axis=1))


def relative_distances(vectors, pairs):
    """`[batch, batch]` distances over their mean; 0 where there is no pair."""
    differences = ops.expand_dims(vectors, 1) - ops.expand_dims(vectors, 0)
    squares = ops.sum(ops.square(differences), axis=-1)
    # The gradient of a square root is infinite at 0: of a row with itself,
    # and of two equal rows.
    apart = ops.logical_and(pairs, squares > 0)
    ones = ops.ones_like(squares)
    distances = ops.where(
        apart, ops.sqrt(ops.where(apart, squares, ones)), 0 * ones
    )
    mean = ops.divide_no_nan(
        ops.sum(distances), ops.sum(ops.cast(pairs, squares.dtype))
    )
    return ops.divide_no_nan(distances, mean)


def huber(differences):
    """Half the square up to 1, and linear from there on."""
    size = ops.absolute(differences)
    return ops.where(size < 1, 0.5 * ops.square(differences), size - 0.5)


@keras.saving.register_keras_serializable(package="keras_kd")
class RelationalDistance(RelationalLoss):
    """Places the rows of a batch as far apart as the teacher does (RKD-D).

    Not where a text lies is learned, but which texts are near. The widths of
    the two models need not agree, and the student is free to turn and to scale
    its space.

    $$L_i = \\frac{1}{|B| - 1} \\sum_{j \\ne i}
      \\ell \\left( \\frac{\\lVert s_i - s_j \\rVert_2}{\\mu_S} -
      \\frac{\\lVert t_i - t_j \\rVert_2}{\\mu_T} \\right)$$

    for each row $i$ of a batch $B$; $\\mu$ is the mean distance of two rows,
    and $\\ell$ Huber's loss. A batch of one row gives 0.

    | input | shape | from |
    |---|---|---|
    | `output` | `[batch, width]` or `[batch, length, width]` | student |
    | `teacher_output` | the same, of any width | teacher |

    Of `[batch, length, width]` it is the first position. Rows of weight 0 take
    no part. Rows are compared within one micro-batch on one device, with
    memory of `batch ** 2 * width`.

    Source: Park et al. 2019, "Relational Knowledge Distillation", equations 5
    to 7.

    Args:
        output: Name of the student's output, by default `"pooled"`.
        teacher_output: Name of the teacher's, where it is another.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"relational_distance"`.

    Raises:
        ValueError: An output is not of two or three axes.

    Example:

    >>> loss = RelationalDistance("pooled")
    >>> values = loss({"pooled": [[0.0], [1.0], [3.0]]},
    ...               {"pooled": [[0.0], [1.0], [2.0]]})
    >>> [round(float(value), 4) for value in values]
    [0.0156, 0.0312, 0.0156]
    """

    def rows(self, student, teacher, present):
        return distance_differences(student, teacher, present)
