"""The squared distance of logits."""

import keras
from keras import ops

from keras_kd.batch import LOGITS
from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import check_same_last_axis
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding


def squared_distance(student_logits, teacher_logits):
    """The squared Euclidean distance of logits, one value a row.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: `[..., classes]`.

    Returns:
        `[...]` tensor: the sum over the classes.
    """
    return ops.sum(ops.square(student_logits - teacher_logits), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class LogitsMSE(DistillationLoss):
    """Matches the student's logits to the teacher's.

    Regression on the logits, without a softmax: nothing is lost where the
    teacher is nearly certain, and there is no temperature to choose. With one
    output it distils a regression, such as the similarity of two sentences.

    $$L = \\lVert z_s - z_t \\rVert_2^2 = \\sum_c (z_{s,c} - z_{t,c})^2$$

    summed over the classes and averaged over the examples. A mean over the
    classes, as some write it, is this with `weight=1 / classes`. `SoftTargets`
    with a high temperature nears half of it over the number of classes, if both
    logits are centred (Hinton et al. 2015, equation 4).

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, classes]` or `[batch, length, classes]` | both |

    Token logits are averaged over valid positions.

    Source: Ba and Caruana 2014, "Do Deep Nets Really Need to be Deep?" (with a
    factor of one half); Tang et al. 2019, "Distilling Task-Specific Knowledge
    from BERT into Simple Neural Networks".

    Args:
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"logits_mse"`.

    Raises:
        ValueError: `weight` is negative, or the two have different numbers of
            outputs.

    Example:

    >>> loss = LogitsMSE()
    >>> values = loss({"logits": [[1.0, 2.0], [0.0, 0.0]]},
    ...               {"logits": [[1.0, -1.0], [2.0, 1.0]]})
    >>> [float(value) for value in values]
    [9.0, 5.0]
    """

    outputs = (LOGITS,)

    def per_example(self, student, teacher, context):
        student, teacher = student[LOGITS], teacher[LOGITS]
        check_same_last_axis(self.name, student, teacher)
        if len(student.shape) == 2:
            return squared_distance(student, teacher)
        mask = context.logits_mask
        values = squared_distance(
            without_padding(student, mask), without_padding(teacher, mask)
        )
        return masked_mean(values, mask)
