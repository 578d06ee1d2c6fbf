"""Soft targets of a language model, at the tokens that are told."""

import keras
from keras import ops

from keras_kd.batch import NO_TOKEN
from keras_kd.losses.soft_targets import soft_target_divergence
from keras_kd.losses.tempered_loss import TemperedLoss


def told_positions(context):
    """`[batch, places]`, true where a token is told; `None` without labels.

    Args:
        context: `LossContext`, whose labels are `NO_TOKEN` elsewhere.
    """
    if context.labels is None:
        return None
    return ops.not_equal(context.labels, NO_TOKEN)


@keras.saving.register_keras_serializable(package="keras_kd")
class MaskedSoftTargets(TemperedLoss):
    """Matches the words that a student and its teacher take for likely.

    `SoftTargets` at the places that a language model is asked about: the masks
    of a masked one, all tokens but the last of a causal one.

    $$L = \\frac{T^2}{|M|} \\sum_{i \\in M} \\sum_w p_{i,w}^T
      \\log (p_{i,w}^T / q_{i,w}^T)$$

    over the places M of a row whose label is not `NO_TOKEN`, and the words w
    of the vocabulary, with p and q as in `SoftTargets`.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, places, vocabulary]` | both |
    | labels | `[batch, places]`, `NO_TOKEN` where none is told | the batch |

    Source: Sanh et al. 2019, "DistilBERT, a distilled version of BERT",
    section 3 (`alpha_ce`, with `restrict_ce_to_mask`).

    Args:
        temperature: Number or schedule, above 0 at every step.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: Defaults to `"masked_soft_targets"`.

    Raises:
        ValueError: As `SoftTargets`.

    Example:

    >>> loss = MaskedSoftTargets(temperature=1.0)
    >>> values = loss(
    ...     {"logits": [[[0.0, 0.0], [9.0, 0.0]]]},
    ...     {"logits": [[[1.0, 1.0], [0.0, 9.0]]]},
    ...     labels=[[1, -1]],
    ... )
    >>> [float(value) for value in values]
    [0.0]
    """

    least_outputs = 2

    def compare(self, student, teacher, temperature, context):
        return soft_target_divergence(student, teacher, temperature)

    def token_mask(self, context):
        return told_positions(context)
