"""The cross-entropy with the teacher's probabilities."""

import keras
from keras import ops

from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.soft_targets import tempered_log_softmax


def soft_cross_entropy(student_logits, teacher_logits, temperature):
    """The cross-entropy of tempered distributions, one value a row.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: `[..., classes]`.
        temperature: Divides both logits: a number, or `[...]`.

    Returns:
        `[...]` tensor: the sum over the classes.
    """
    student = tempered_log_softmax(student_logits, temperature)
    teacher = tempered_log_softmax(teacher_logits, temperature)
    return -ops.sum(ops.exp(teacher) * student, axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class SoftCrossEntropy(SoftTargets):
    """The cross-entropy of the student with the teacher's probabilities.

    $$L = -T^2 \\sum_c p_c^T \\log q_c^T, \\quad
      p^T = \\mathrm{softmax}(z_t / T), \\ q^T = \\mathrm{softmax}(z_s / T)$$

    `SoftTargets` and $T^2$ times the teacher's entropy: the same gradient, and
    so the same student. Its value does not go to 0, and changes with the
    temperature, so that `SoftTargets` is the one to watch. It is here for work
    that reports it, or that mixes it with the loss on labels.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, classes]` or `[batch, length, classes]` | both |

    Token logits are averaged over valid positions.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a
    Neural Network", section 2. TinyBERT and TextBrewer leave $T^2$ out.

    Args:
        temperature: Number or schedule, above 0 at every step; or
            `FocalTemperature` or `ConfidenceTemperature`, one for each
            example.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        probability_shift: Whether the label and the best class of the teacher
            change places first, as `probability_shift` does. Rows without a
            label stay as they are.
        name: Defaults to `"soft_cross_entropy"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, `weight` is
            negative, or the two have different numbers of classes, or only
            one.

    Example:

    >>> loss = SoftCrossEntropy(temperature=1.0)
    >>> values = loss({"logits": [[0.0, 0.0]]}, {"logits": [[3.0, 0.0]]})
    >>> round(float(values[0]), 4)
    0.6931
    """

    def compare(self, student, teacher, temperature, context):
        return soft_cross_entropy(student, teacher, temperature)
