"""Soft targets in two parts: the right class, and the others."""

import keras
from keras import ops

from keras_kd.losses.distillation_loss import check_weight
from keras_kd.losses.soft_targets import pointwise_divergence
from keras_kd.losses.target_classes import is_class
from keras_kd.losses.target_classes import target_classes
from keras_kd.losses.temperature import temperature_config
from keras_kd.losses.tempered_loss import TemperedLoss
from keras_kd.schedules import value_at

# A logit of a class that is left out; its probability is 0 in any type.
LEFT_OUT = -1e9


def decoupled_divergences(student_logits, teacher_logits, classes, temperature):
    """The two parts of `KL(teacher || student)`, one value a row each.

    With $p_t$ the teacher's probability of the right class, the divergence is
    the first and $1 - p_t$ times the second.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: `[..., classes]`.
        classes: `[...]` integers, the right classes.
        temperature: Divides both logits.

    Returns:
        Two `[...]` tensors: the divergence of the right class against all
        others, and that among the others.
    """
    right = is_class(student_logits, classes)

    def parts(logits):
        logits = logits / temperature
        nothing = LEFT_OUT * ops.ones_like(logits)
        everything = ops.log_softmax(logits, axis=-1)
        of_right = ops.sum(
            ops.where(right, everything, ops.zeros_like(logits)), axis=-1
        )
        # Not log(1 - p), which is minus infinity where the model is sure.
        of_others = ops.logsumexp(
            ops.where(right, nothing, everything), axis=-1
        )
        among = ops.log_softmax(ops.where(right, nothing, logits), axis=-1)
        return of_right, of_others, among

    student, teacher = parts(student_logits), parts(teacher_logits)
    of_target, of_others, among = map(pointwise_divergence, teacher, student)
    # The right class has all of it where the teacher rules all others out.
    among = ops.where(right, ops.zeros_like(among), among)
    return of_target + of_others, ops.sum(among, axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class DecoupledKD(TemperedLoss):
    """Weighs what the teacher says of the wrong classes by itself (DKD).

    In soft targets the wrong classes' share is multiplied by $1 - p_t$: the
    surer the teacher is of the right class, the less is learned about the
    others, though a sure teacher is the one to listen to. Here that factor is
    a weight of your own. Of two classes one is left, and nothing to tell apart:
    the second part is 0.

    $$L = T^2 \\left( \\alpha\\, KL(b^T \\Vert b^S) +
      \\beta\\, KL(\\hat{p}^T \\Vert \\hat{p}^S) \\right)$$

    with $b = (p_t, 1 - p_t)$ and $\\hat{p}$ the distribution among the other
    classes, all at temperature $T$. With $\\alpha = 1$ and
    $\\beta = 1 - p_t^T$ it would be `SoftTargets`.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, classes]` or `[batch, length, classes]` | both |
    | labels | `[batch]` or `[batch, length]` | the batch |

    The right class is the label; where a row has none, the teacher's best
    class. Token logits are averaged over valid positions.

    Source: Zhao et al. 2022, "Decoupled Knowledge Distillation", equation 7.

    Args:
        temperature: Number or schedule, above 0 at every step.
        target_weight: $\\alpha$, of the right class against the others; a
            number or a schedule.
        other_weight: $\\beta$, of the other classes among themselves; a number
            or a schedule.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: Defaults to `"decoupled_kd"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, a weight is
            negative, or the two have different numbers of classes, or only
            one.

    Example:

    >>> loss = DecoupledKD(temperature=1.0, other_weight=2.0)
    >>> values = loss({"logits": [[0.0, 0.0, 0.0]]},
    ...               {"logits": [[2.0, 1.0, 0.0]]}, labels=[0])
    >>> round(float(values[0]), 4)
    0.451
    """

    least_outputs = 2

    def __init__(
        self,
        temperature=4.0,
        target_weight=1.0,
        other_weight=8.0,
        weight=1.0,
        scale_by_temperature_squared=True,
        name="decoupled_kd",
    ):
        super().__init__(
            temperature, weight, scale_by_temperature_squared, name
        )
        check_weight("`target_weight`", target_weight)
        check_weight("`other_weight`", other_weight)
        self.target_weight = target_weight
        self.other_weight = other_weight

    def compare(self, student, teacher, temperature, context):
        of_target, of_others = decoupled_divergences(
            student, teacher, target_classes(teacher, context), temperature
        )
        target_weight, other_weight = (
            ops.cast(value_at(weight, context.step), student.dtype)
            for weight in (self.target_weight, self.other_weight)
        )
        return target_weight * of_target + other_weight * of_others

    def get_config(self):
        return {
            **super().get_config(),
            "target_weight": temperature_config(self.target_weight),
            "other_weight": temperature_config(self.other_weight),
        }
