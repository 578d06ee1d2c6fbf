"""Soft targets over the tokens at which an answer may start and end."""

import keras
from keras import ops

from keras_kd.losses.soft_targets import soft_target_divergence
from keras_kd.losses.span_cross_entropy import over_tokens
from keras_kd.losses.tempered_loss import TemperedLoss


@keras.saving.register_keras_serializable(package="keras_kd")
class SpanSoftTargets(TemperedLoss):
    """Matches where the teacher thinks that an answer starts, and ends.

    The logits of a row are one distribution over its tokens for the start and
    one for the end. Tokens that no answer can stand at, those of the question
    and of padding, are left out before the softmax, of both models.

    $$L = \\frac{T^2}{2} \\left( KL(p^{start} \\Vert q^{start}) +
      KL(p^{end} \\Vert q^{end}) \\right), \\quad
      p = \\mathrm{softmax}_i(z_{t,i} / T),\\
      q = \\mathrm{softmax}_i(z_{s,i} / T)$$

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, length, 2]` | both |
    | `token_mask` | `[batch, length]` | the batch; else the padding mask |

    Source: Hinton, Vinyals and Dean 2015; for spans as in Sanh et al. 2019,
    "DistilBERT", section 3.

    Args:
        temperature: Number or schedule, above 0 at every step.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: Defaults to `"span_soft_targets"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, `weight` is
            negative, or the logits are not `[batch, length, outputs]`.

    Example:

    >>> loss = SpanSoftTargets(temperature=1.0)
    >>> values = loss({"logits": [[[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]]]},
    ...               {"logits": [[[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]},
    ...               token_mask=[[1, 1, 0]])
    >>> round(float(values[0]), 4)
    0.1639
    """

    def prepare(self, student, teacher, context):
        student, teacher = super().prepare(student, teacher, context)
        if len(student.shape) != 3:
            raise ValueError(
                f"Loss '{self.name}' needs logits `[batch, length, outputs]`. "
                f"Received: {tuple(student.shape)}. Take SoftTargets for "
                "classes."
            )
        mask = context.logits_mask
        return over_tokens(student, mask), over_tokens(teacher, mask)

    def compare(self, student, teacher, temperature, context):
        # Of the start and of the end, which are the outputs.
        values = soft_target_divergence(student, teacher, temperature)
        return ops.mean(values, axis=-1)
