"""The divergence of attention."""

import keras
from keras import ops

from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding

# What a score is where no attention goes; float32 holds differences of it.
NOWHERE = -1e9


def attention_divergence(student_scores, teacher_scores, mask=None):
    """`KL(teacher || student)` of where each token looks, for each example.

    Args:
        student_scores: `[batch, heads, length, length]`, before the softmax.
        teacher_scores: `[batch, heads, length, length]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch]` tensor: summed over the tokens that are looked at, the mean
        over heads and valid tokens that look.
    """
    student, teacher = (
        log_attention(scores, mask)
        for scores in (student_scores, teacher_scores)
    )
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return masked_mean(ops.mean(divergence, axis=1), mask)


def log_attention(scores, mask):
    """Logarithms of the attention on the real tokens."""
    if mask is not None:
        looked_at = ops.cast(ops.expand_dims(mask, (1, 2)), "bool")
        scores = without_padding(scores, mask, axes=(2, 3))
        scores = ops.where(looked_at, scores, NOWHERE * ops.ones_like(scores))
    return ops.log_softmax(scores, axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class AttentionKL(LayerLoss):
    """Matches where each token looks, as a distribution over the tokens.

    Unlike `AttentionMSE` it weighs what the teacher looks at, and leaves alone
    a constant that all scores of a token share.

    $$L = \\sum_{(m, n)} \\frac{1}{H |V|} \\sum_{h = 1}^H \\sum_{i \\in V}
      \\sum_{j \\in V} a^T_{n,h,i,j}
      \\log \\frac{a^T_{n,h,i,j}}{a^S_{m,h,i,j}}$$

    over pairs of layers $(m, n)$, heads and valid positions $V$; $a$ is the
    softmax of the scores over $V$. A cross-entropy, as others have it, is this
    and the teacher's entropy, which has no gradient.

    | input | shape | from |
    |---|---|---|
    | `attention_scores/m` | `[batch, heads, length, length]` | student |
    | `attention_scores/n` | `[batch, heads, length, length]` | teacher |

    Both models must have the same number of heads; `SelfAttentionRelations`
    does without. It is for models in which every token sees all others.

    Source: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation",
    equation 5 (the last layers alone); `attention_ce` of TextBrewer.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them, counted from 1.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"attention_kl"`.

    Raises:
        ValueError: `layers` is not a list of pairs, or the models have other
            numbers of heads or read other tokens.

    Example:

    >>> loss = AttentionKL(layers=[(1, 2)])
    >>> values = loss({"attention_scores/1": [[[[0.0, 0.0], [0.0, 0.0]]]]},
    ...               {"attention_scores/2": [[[[9.0, -9.0], [0.0, 0.0]]]]})
    >>> [round(float(value), 4) for value in values]
    [0.3466]
    """

    feature = "attention_scores"
    projects = False

    def __init__(self, layers, weight=1.0, name="attention_kl"):
        super().__init__(layers, weight=weight, name=name)

    def pair(self, student, teacher, context):
        return attention_divergence(student, teacher, context.mask)
