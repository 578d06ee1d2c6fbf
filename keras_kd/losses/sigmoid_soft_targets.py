"""Soft targets where every label is a yes or no of its own."""

import keras
from keras import ops

from keras_kd.losses.tempered_loss import TemperedLoss


def bernoulli_divergence(student_logits, teacher_logits, temperature):
    """`KL(teacher || student)` of tempered yes-or-no labels, summed over them.

    All four probabilities are taken in log space: `log(1 - sigmoid(20))` is
    minus infinity in float32, where `log_sigmoid(-20)` is -20.

    Args:
        student_logits: `[..., labels]`.
        teacher_logits: `[..., labels]`.
        temperature: Divides both logits.

    Returns:
        `[...]` tensor: the sum over the labels.
    """
    student = student_logits / temperature
    teacher = teacher_logits / temperature
    yes = ops.log_sigmoid(teacher) - ops.log_sigmoid(student)
    no = ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    return ops.sum(
        ops.sigmoid(teacher) * yes + ops.sigmoid(-teacher) * no, axis=-1
    )


@keras.saving.register_keras_serializable(package="keras_kd")
class SigmoidSoftTargets(TemperedLoss):
    """Matches the student's label probabilities in multi-label tasks.

    Each label is a Bernoulli variable of its own, so that probabilities need
    not sum to 1 and a row may have several labels, or none. `SoftTargets` would
    make the labels compete.

    $$L = T^2 \\sum_l \\left[ p_l \\log \\frac{p_l}{q_l}
      + (1 - p_l) \\log \\frac{1 - p_l}{1 - q_l} \\right], \\quad
      p = \\sigma(z_t / T), \\ q = \\sigma(z_s / T)$$

    The factor $T^2$ keeps the gradient from shrinking as the temperature
    rises: it nears $(z_s - z_t) / 4$.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, labels]` or `[batch, length, labels]` | both |

    Token logits are averaged over valid positions.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a
    Neural Network", section 2, for each label; Yang et al. 2023, "Multi-Label
    Knowledge Distillation".

    Args:
        temperature: Number or schedule, above 0 at every step.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: Defaults to `"sigmoid_soft_targets"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, `weight` is
            negative, or the two have different numbers of labels.

    Example:

    >>> loss = SigmoidSoftTargets(temperature=1.0)
    >>> values = loss({"logits": [[0.0, 3.0]]}, {"logits": [[2.0, 3.0]]})
    >>> round(float(values[0]), 4)
    0.3278
    """

    def __init__(
        self,
        temperature=1.0,
        weight=1.0,
        scale_by_temperature_squared=True,
        name=None,
    ):
        super().__init__(
            temperature, weight, scale_by_temperature_squared, name
        )

    def compare(self, student, teacher, temperature, context):
        return bernoulli_divergence(student, teacher, temperature)
