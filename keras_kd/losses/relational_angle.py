"""The angles between the rows of a batch."""

import keras
from keras import ops

from keras_kd.losses.hidden_state_cosine import unit_vectors
from keras_kd.losses.present_rows import present_pairs
from keras_kd.losses.relational_distance import huber
from keras_kd.losses.relational_loss import RelationalLoss


def angle_differences(student, teacher, present):
    """How much the angles at each row differ, one value a row.

    Args:
        student: `[batch, width]`.
        teacher: `[batch, another width]`.
        present: `[batch]`, true where a row is there.

    Returns:
        `[batch]` tensor: the mean of Huber's loss, over all pairs of others.
    """
    pairs = present_pairs(present)
    differences = angle_cosines(student) - angle_cosines(teacher)
    # Of three rows, all there and no two the same; the first is the vertex.
    counts = ops.cast(
        ops.logical_and(
            ops.logical_and(
                ops.expand_dims(pairs, 2), ops.expand_dims(pairs, 1)
            ),
            ops.expand_dims(pairs, 0),
        ),
        differences.dtype,
    )
    values = huber(differences) * counts
    return ops.divide_no_nan(
        ops.sum(values, axis=(1, 2)), ops.sum(counts, axis=(1, 2))
    )


def angle_cosines(vectors):
    """`[vertex, row, row]`: cosines of the angles between the rows."""
    directions = unit_vectors(
        ops.expand_dims(vectors, 0) - ops.expand_dims(vectors, 1)
    )
    return ops.einsum("vid,vjd->vij", directions, directions)


@keras.saving.register_keras_serializable(package="keras_kd")
class RelationalAngle(RelationalLoss):
    """Gives the rows of a batch the angles that the teacher has (RKD-A).

    As `RelationalDistance`, of higher order: each three rows are a triangle,
    and its angles are matched. The paper found it to work better than
    distances, and both together best, with weights 1 and 2.

    $$L_j = \\frac{1}{(|B| - 1)(|B| - 2)} \\sum_{i \\ne k}
      \\ell \\left( \\langle e^S_{ij}, e^S_{kj} \\rangle -
      \\langle e^T_{ij}, e^T_{kj} \\rangle \\right), \\quad
      e_{ij} = \\frac{x_i - x_j}{\\lVert x_i - x_j \\rVert_2}$$

    for each row $j$ of a batch $B$, over two others; $\\ell$ is Huber's loss. A
    batch of two rows gives 0.

    | input | shape | from |
    |---|---|---|
    | `output` | `[batch, width]` or `[batch, length, width]` | student |
    | `teacher_output` | the same, of any width | teacher |

    Of `[batch, length, width]` it is the first position. Rows of weight 0 take
    no part. Rows are compared within one micro-batch on one device, with
    memory of `batch ** 2 * (batch + width)`.

    Source: Park et al. 2019, "Relational Knowledge Distillation", equations 8
    and 9.

    Args:
        output: Name of the student's output, by default `"pooled"`.
        teacher_output: Name of the teacher's, where it is another.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"relational_angle"`.

    Raises:
        ValueError: An output is not of two or three axes.

    Example:

    >>> loss = RelationalAngle("pooled")
    >>> values = loss({"pooled": [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]},
    ...               {"pooled": [[0.0], [1.0], [2.0]]})
    >>> [round(float(value), 4) for value in values]
    [0.5, 1.2071, 0.0429]
    """

    def rows(self, student, teacher, present):
        return angle_differences(student, teacher, present)
