"""The squared distance of attention."""

import keras
from keras import ops

from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import masked_pair_mean
from keras_kd.losses.masking import without_padding

KINDS = ("scores", "probabilities")


def attention_distance(student_attention, teacher_attention, mask=None):
    """The mean squared difference of attention, one value an example.

    Args:
        student_attention: `[batch, heads, length, length]`.
        teacher_attention: `[batch, heads, length, length]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch]` tensor: the mean over heads and pairs of valid positions.
    """
    # What a framework adds to mask a score, such as minus infinity, has to go
    # before it is squared.
    student, teacher = (
        without_padding(attention, mask, axes=(2, 3))
        for attention in (student_attention, teacher_attention)
    )
    squares = ops.square(student - teacher)
    return masked_pair_mean(ops.mean(squares, axis=1), mask)


@keras.saving.register_keras_serializable(package="keras_kd")
class AttentionMSE(LayerLoss):
    """Matches which tokens look at which, head by head.

    Scores, before the softmax, have a gradient also where the teacher does not
    look at all. TinyBERT found them faster to learn and better than
    probabilities.

    $$L = \\sum_{(m, n)} \\frac{1}{H |V|^2} \\sum_{h = 1}^H
      \\sum_{i, j \\in V} (A^S_{m,h,i,j} - A^T_{n,h,i,j})^2$$

    over pairs of layers $(m, n)$, heads and valid positions $V$.

    | input | shape | from |
    |---|---|---|
    | `attention_scores/m` | `[batch, heads, length, length]` | student |
    | `attention_scores/n` | `[batch, heads, length, length]` | teacher |

    or `attention_probabilities/m` and `/n`. Both models must have the same
    number of heads; `SelfAttentionRelations` does without.

    Source: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language
    Understanding", equation 7.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them, counted from 1.
        on: `"scores"`, the scaled products of queries and keys, or
            `"probabilities"`, after the softmax.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"attention_mse"`.

    Raises:
        ValueError: `layers` is not a list of pairs, `on` is another word, or
            the models have other numbers of heads or read other tokens.

    Example:

    >>> loss = AttentionMSE(layers=[(1, 2)])
    >>> values = loss({"attention_scores/1": [[[[1.0, 5.0], [5.0, 5.0]]]]},
    ...               {"attention_scores/2": [[[[4.0, 0.0], [0.0, 0.0]]]]},
    ...               mask=[[1, 0]])
    >>> [float(value) for value in values]
    [9.0]
    """

    projects = False

    def __init__(self, layers, on="scores", weight=1.0, name="attention_mse"):
        super().__init__(layers, weight=weight, name=name)
        if on not in KINDS:
            raise ValueError(
                f"`on` must be one of {list(KINDS)}. Received: {on!r}."
            )
        self.on = on
        self.feature = f"attention_{on}"

    def pair(self, student, teacher, context):
        return attention_distance(student, teacher, context.mask)

    def get_config(self):
        return {**super().get_config(), "on": self.on}
