"""The relations of queries, of keys and of values with one another."""

import math

import keras
from keras import ops

from keras_kd.losses.attention_kl import attention_divergence
from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.layer_loss import check_same_tokens
from keras_kd.losses.masking import without_padding

RELATIONS = ("queries", "keys", "values")


def relation_divergence(student, teacher, relation_heads, mask=None):
    """`KL(teacher || student)` of self-attention relations, for each example.

    Args:
        student: Queries, keys or values, `[batch, length, heads, width]`.
        teacher: The teacher's, of any number of heads and any width.
        relation_heads: Number of heads that both are split into anew.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch]` tensor: the mean over relation heads and valid tokens.
    """
    student, teacher = (
        relation_scores(without_padding(vectors, mask), relation_heads)
        for vectors in (student, teacher)
    )
    return attention_divergence(student, teacher, mask)


def relation_scores(vectors, relation_heads):
    """Scaled products of vectors with one another.

    Args:
        vectors: `[batch, length, heads, width]`.
        relation_heads: Number of heads that they are split into anew.

    Returns:
        `[batch, relation_heads, length, length]`.
    """
    size = vectors.shape[2] * vectors.shape[3] // relation_heads
    vectors = ops.reshape(
        vectors, (-1, ops.shape(vectors)[1], relation_heads, size)
    )
    return ops.einsum("bihd,bjhd->bhij", vectors, vectors) / size**0.5


def common_heads(student, teacher):
    """The most relation heads that suit both, up to the teacher's heads.

    Args:
        student: Queries, keys or values, `[batch, length, heads, width]`.
        teacher: The teacher's.

    Returns:
        The largest common divisor of both widths over all heads that is not
        above the teacher's number of heads.
    """
    width = math.gcd(
        *(vectors.shape[2] * vectors.shape[3] for vectors in (student, teacher))
    )
    heads = range(teacher.shape[2], 0, -1)
    return next(number for number in heads if width % number == 0)


@keras.saving.register_keras_serializable(package="keras_kd")
class SelfAttentionRelations(LayerLoss):
    """Matches how queries, keys and values relate to one another (MiniLMv2).

    Neither the widths nor the numbers of heads of the two models need agree:
    the heads are laid side by side and split anew, into `relation_heads` of
    each model. Matched in one layer it leaves the student's other layers free.

    $$L = \\sum_{(m, n)} \\sum_{r} \\frac{1}{A |V|} \\sum_{a = 1}^A
      \\sum_{i \\in V} KL(R^T_{n,r,a,i} \\,\\Vert\\, R^S_{m,r,a,i}), \\quad
      R_{r,a} = \\mathrm{softmax}\\left(
      \\frac{X_{r,a} X_{r,a}^\\top}{\\sqrt{d}} \\right)$$

    over pairs of layers $(m, n)$, relations $r$, relation heads $a$ of width
    $d$ and valid positions $V$; $X_r$ are the queries, keys or values.

    | input | shape | from |
    |---|---|---|
    | `queries/m`, ... | `[batch, length, heads, width]` | student |
    | `queries/n`, ... | `[batch, length, heads, width]` | teacher |

    MiniLM (Wang et al. 2020) is `AttentionKL` and
    `SelfAttentionRelations(relations=["values"])` on the last layers, of two
    models with the same number of heads.

    Source: Wang et al. 2021, "MiniLMv2: Multi-Head Self-Attention Relation
    Distillation for Compressing Pretrained Transformers", equations 6 to 9; it
    has 48 relation heads for a base teacher, and not the last layer of a large
    one.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, counted from 1,
            for example `keras_kd.layer_mapping.last_only(6, 12)`.
        relation_heads: Number of relation heads; must divide the widths of
            both models. `None` takes the largest that does, up to the
            teacher's number of heads.
        relations: Which relations; of `"queries"`, `"keys"` and `"values"`.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"self_attention_relations"`.

    Raises:
        ValueError: `layers` is not a list of pairs, other `relations`,
            `relation_heads` does not divide a width, or the models read other
            tokens.

    Example:

    >>> loss = SelfAttentionRelations(
    ...     layers=[(1, 2)], relation_heads=1, relations=["values"]
    ... )
    >>> values = loss({"values/1": [[[[1.0]], [[1.0]]]]},
    ...               {"values/2": [[[[2.0, 0.0]], [[0.0, 2.0]]]]})
    >>> [round(float(value), 4) for value in values]
    [0.4779]
    """

    projects = False

    def __init__(
        self,
        layers,
        relation_heads=None,
        relations=RELATIONS,
        weight=1.0,
        name="self_attention_relations",
    ):
        super().__init__(layers, weight=weight, name=name)
        if not relations or not set(relations) <= set(RELATIONS):
            raise ValueError(
                f"`relations` must be some of {list(RELATIONS)}. Received: "
                f"{relations!r}."
            )
        if relation_heads is not None and (
            not isinstance(relation_heads, int) or relation_heads < 1
        ):
            raise ValueError(
                "`relation_heads` must be a whole number, 1 or more, or None. "
                f"Received: {relation_heads!r}."
            )
        self.relation_heads = relation_heads
        self.relations = list(relations)

    @property
    def student_outputs(self):
        return tuple(
            f"{relation}/{student}"
            for student, _ in self.layers
            for relation in self.relations
        )

    @property
    def teacher_outputs(self):
        return tuple(
            f"{relation}/{teacher}"
            for _, teacher in self.layers
            for relation in self.relations
        )

    def check_pair(self, names, student, teacher):
        check_same_tokens(self.name, names, student, teacher)
        widths = [
            vectors.shape[2] * vectors.shape[3]
            for vectors in (student, teacher)
        ]
        heads = self.relation_heads
        if heads is not None and any(width % heads for width in widths):
            raise ValueError(
                f"`relation_heads` of loss '{self.name}' must divide the "
                f"widths of both models. Received: {heads}, for widths "
                f"{widths[0]} of the student and {widths[1]} of the teacher. "
                f"Give a divisor of {math.gcd(*widths)}, or leave it out."
            )

    def pair(self, student, teacher, context):
        heads = self.relation_heads or common_heads(student, teacher)
        return relation_divergence(student, teacher, heads, context.mask)

    def get_config(self):
        return {
            **super().get_config(),
            "relation_heads": self.relation_heads,
            "relations": self.relations,
        }
