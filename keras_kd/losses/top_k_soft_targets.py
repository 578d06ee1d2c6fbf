"""Soft targets of a teacher's most likely words, and of the rest as one."""

import keras
from keras import ops

from keras_kd.batch import LOGITS
from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.masked_soft_targets import told_positions
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding
from keras_kd.losses.soft_targets import pointwise_divergence
from keras_kd.losses.temperature import check_temperature

TOP_LOGITS = "top_logits"
TOP_IDS = "top_ids"
REST = "rest"


def log_sum_of_rest(logits, ids):
    """`log sum exp` over the classes that are not among `ids`.

    One minus the sum of the others would lose all digits where the others
    have nearly everything.

    Args:
        logits: `[..., classes]`.
        ids: `[..., k]` integers, all different; k is less than the classes.

    Returns:
        `[...]` tensor.
    """
    classes, k = logits.shape[-1], ids.shape[-1]
    flat = ops.reshape(logits, (-1, classes))
    columns = ops.reshape(ops.cast(ids, "int32"), (-1, 1))
    rows = ops.cumsum(ops.ones_like(ops.reshape(ids, (-1, k)), "int32"), 0) - 1
    indices = ops.concatenate([ops.reshape(rows, (-1, 1)), columns], axis=-1)
    least = ops.full((1,), -1e30, logits.dtype)
    without = ops.scatter_update(
        flat, indices, ops.broadcast_to(least, ops.shape(indices)[:1])
    )
    return ops.reshape(ops.logsumexp(without, axis=-1), ops.shape(logits)[:-1])


def folded_divergence(student_logits, top_logits, ids, rest, temperature):
    """`KL(teacher || student)` over the teacher's k classes and the rest.

    Args:
        student_logits: `[..., classes]`.
        top_logits: `[..., k]`, the teacher's logits of `ids`.
        ids: `[..., k]` integers.
        rest: `[...]`, the logarithm of the sum of `exp(logit / temperature)`
            over the teacher's other classes.
        temperature: Divides the logits: a number.

    Returns:
        `[...]` tensor.
    """
    student = student_logits / temperature
    folded = [
        ops.concatenate([top, ops.expand_dims(other, -1)], axis=-1)
        for top, other in (
            (
                ops.take_along_axis(student, ops.cast(ids, "int32"), axis=-1),
                log_sum_of_rest(student, ids),
            ),
            (top_logits / temperature, rest),
        )
    ]
    q, p = (ops.log_softmax(values, axis=-1) for values in folded)
    return ops.sum(pointwise_divergence(p, q), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class TopKSoftTargets(DistillationLoss):
    """As `MaskedSoftTargets`, of a teacher whose best words alone were kept.

    A vocabulary of 30,000 logits for each masked token is more than any disk
    holds. The teacher's k best are, and its other words are one more class,
    with all their probability:

    $$L = \\frac{T^2}{|M|} \\sum_{i \\in M} \\left( \\sum_{w \\in K_i} p_{i,w}
      \\log \\frac{p_{i,w}}{q_{i,w}} + p_{i,r} \\log
      \\frac{p_{i,r}}{q_{i,r}} \\right), \\quad
      p_{i,r} = 1 - \\sum_{w \\in K_i} p_{i,w}$$

    It is never above the divergence over all words: how the student shares
    out the rest is left to it.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, places, vocabulary]` | student |
    | `top_logits`, `top_ids` | `[batch, places, k]` | teacher |
    | `rest` | `[batch, places]`, at the same temperature | teacher |
    | labels | `[batch, places]`, `NO_TOKEN` where none is told | the batch |

    Source: Tan et al. 2019, "Multilingual Neural Machine Translation with
    Knowledge Distillation", section 3, keep the k best, and normalise them
    again; here what they leave is a class.

    Args:
        temperature: Number above 0: that which the targets were made with.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"top_k_soft_targets"`.

    Raises:
        ValueError: `temperature` is not a number above 0, or `weight` is
            negative.

    Example:

    >>> loss = TopKSoftTargets(temperature=1.0)
    >>> values = loss(
    ...     {"logits": [[[2.0, 0.0, 0.0]]]},
    ...     {"top_logits": [[[2.0]]], "top_ids": [[[0.0]]],
    ...      "rest": [[0.69314718]]},
    ...     labels=[[0]],
    ... )
    >>> abs(round(float(values[0]), 5))
    0.0
    """

    student_outputs = (LOGITS,)
    teacher_outputs = (TOP_LOGITS, TOP_IDS, REST)

    def __init__(self, temperature=2.0, weight=1.0, name=None):
        super().__init__(weight=weight, name=name)
        check_temperature(temperature)
        if callable(temperature):
            raise ValueError(
                "The rest was added up at one temperature, which can't change "
                f"any more. Received: {type(temperature).__name__}. Give a "
                "number."
            )
        self.temperature = temperature

    def per_example(self, student, teacher, context):
        told = told_positions(context)
        values = folded_divergence(
            without_padding(student[LOGITS], told),
            without_padding(teacher[TOP_LOGITS], told),
            teacher[TOP_IDS],
            without_padding(teacher[REST], told),
            self.temperature,
        )
        return masked_mean(values * self.temperature**2, told)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}
