"""Soft targets: the teacher's tempered distribution."""

import keras
from keras import ops

from keras_kd.losses.target_classes import probability_shift
from keras_kd.losses.target_classes import target_classes
from keras_kd.losses.tempered_loss import TemperedLoss


def soft_target_divergence(student_logits, teacher_logits, temperature):
    """`KL(teacher || student)` of tempered distributions, one value a row.

    Both sides stay in log space: a probability that underflows would make
    `log(softmax(x))` minus infinity, or, clipped, a wrong gradient of zero.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: `[..., classes]`.
        temperature: Divides both logits: a number, or `[...]`.

    Returns:
        `[...]` tensor: the sum over the classes.
    """
    student = tempered_log_softmax(student_logits, temperature)
    teacher = tempered_log_softmax(teacher_logits, temperature)
    return ops.sum(pointwise_divergence(teacher, student), axis=-1)


def pointwise_divergence(teacher, student):
    """$p \\log (p / q)$ of each entry, from the logarithms of both.

    It is 0 where $p$ is: also of a class that the teacher rules out, by a
    logit of minus infinity.
    """
    probability = ops.exp(teacher)
    difference = ops.where(
        probability > 0, teacher - student, ops.zeros_like(teacher)
    )
    return probability * difference


def tempered_log_softmax(logits, temperature):
    """Log-probabilities at a temperature: a number, or one for each row."""
    if hasattr(temperature, "shape") and len(temperature.shape) > 0:
        temperature = ops.expand_dims(temperature, -1)
    return ops.log_softmax(logits / temperature, axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class SoftTargets(TemperedLoss):
    """Matches the student's class probabilities to the teacher's.

    The wrong classes' probabilities carry what the teacher knows beyond the
    label. A temperature above 1 makes them visible.

    $$L = T^2 \\sum_c p_c^T \\log (p_c^T / q_c^T), \\quad
      p^T = \\mathrm{softmax}(z_t / T), \\ q^T = \\mathrm{softmax}(z_s / T)$$

    The gradient of the divergence shrinks with $1/T^2$, so the factor $T^2$
    keeps the balance with other losses when the temperature is changed. KL and
    cross-entropy differ by the teacher's entropy, which has no gradient.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, classes]` or `[batch, length, classes]` | both |

    Token logits are averaged over valid positions.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a
    Neural Network", section 2.

    Args:
        temperature: Number or schedule, above 0 at every step; or
            `FocalTemperature` or `ConfidenceTemperature`, one for each
            example.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$. Switch it
            off to reproduce work that leaves it out.
        probability_shift: Whether the label and the best class of the teacher
            change places first, as `probability_shift` does. Rows without a
            label stay as they are.
        name: Defaults to `"soft_targets"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, `weight` is
            negative, or the two have different numbers of classes, or only
            one.

    Example:

    >>> loss = SoftTargets(temperature=2.0)
    >>> values = loss({"logits": [[4.0, 0.0, -4.0]]},
    ...               {"logits": [[-4.0, 0.0, 4.0]]})
    >>> round(float(values[0]), 3)
    13.615
    """

    of_examples = True
    least_outputs = 2

    def __init__(
        self,
        temperature=2.0,
        weight=1.0,
        scale_by_temperature_squared=True,
        probability_shift=False,
        name=None,
    ):
        super().__init__(
            temperature, weight, scale_by_temperature_squared, name
        )
        self.probability_shift = probability_shift

    def prepare(self, student, teacher, context):
        student, teacher = super().prepare(student, teacher, context)
        if self.probability_shift:
            classes = target_classes(teacher, context)
            teacher = probability_shift(teacher, classes)
        return student, teacher

    def compare(self, student, teacher, temperature, context):
        return soft_target_divergence(student, teacher, temperature)

    def get_config(self):
        shift = self.probability_shift
        return {**super().get_config(), "probability_shift": shift}
