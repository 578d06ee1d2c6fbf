"""Soft targets of tags for a student with a linear chain."""

import keras
from keras import ops

from keras_kd.losses.linear_chain import log_marginals
from keras_kd.losses.linear_chain import tag_count
from keras_kd.losses.soft_targets import pointwise_divergence
from keras_kd.losses.tempered_loss import TemperedLoss


@keras.saving.register_keras_serializable(package="keras_kd")
class ChainSoftTargets(TemperedLoss):
    """Matches the tag probabilities of a linear chain to the teacher's.

    What the chain says of one word is its marginal: the sum over all sequences
    of tags. The teacher may tag each word by itself, as BERT does, or be a
    chain, whose marginals are the targets then.

    $$L = \\frac{T^2}{n} \\sum_t KL(p_t \\Vert q_t)$$

    with the marginals $q_t$ of the student's potentials divided by $T$, and the
    teacher's distribution $p_t$ at the same temperature, over the $n$ words.

    | input | shape | from |
    |---|---|---|
    | `logits` | `[batch, length, (1 + tags) * tags]` | student |
    | `logits` | the same, or `[batch, length, tags]` | teacher |
    | `token_mask` | `[batch, length]` | the batch; else the padding mask |

    Source: Wang et al. 2020, "Structure-Level Knowledge Distillation For
    Multilingual Sequence Labeling", section 3.2, with the student's marginals
    in place of its own softmax.

    Args:
        temperature: Number or schedule, above 0 at every step.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: Defaults to `"chain_soft_targets"`.

    Raises:
        ValueError: `temperature` is not above 0 at some step, `weight` is
            negative, or the logits do not fit one another.

    Example:

    >>> loss = ChainSoftTargets(temperature=1.0)
    >>> values = loss({"logits": [[[0.0] * 6]]}, {"logits": [[[2.0, 0.0]]]},
    ...               token_mask=[[1]])
    >>> round(float(values[0]), 4)
    0.3278
    """

    # A teacher without a chain has fewer logits.
    same_width = False

    def prepare(self, student, teacher, context):
        tags = tag_count(student.shape[-1])
        if teacher.shape[-1] not in (tags, student.shape[-1]):
            raise ValueError(
                f"Loss '{self.name}' needs a teacher of {tags} tags, or of "
                f"their {student.shape[-1]} potentials. Received: "
                f"{teacher.shape[-1]} logits."
            )
        return student, teacher

    def compare(self, student, teacher, temperature, context):
        tags = tag_count(student.shape[-1])
        mask = context.logits_mask
        if mask is None:
            mask = ops.ones(ops.shape(student)[:2], "int32")

        def log_probabilities(logits):
            if logits.shape[-1] == tags:
                return ops.log_softmax(logits / temperature, axis=-1)
            return log_marginals(logits / temperature, mask)

        own, target = log_probabilities(student), log_probabilities(teacher)
        return ops.sum(pointwise_divergence(target, own), axis=-1)
