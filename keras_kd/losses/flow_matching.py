"""What happens between two layers: the flow of the solution procedure."""

import keras
from keras import ops

from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import count_real
from keras_kd.losses.masking import without_padding


def flow_distance(student_flow, teacher_flow):
    """The mean squared difference of two flows, one value an example.

    Args:
        student_flow: `[batch, width, width]`, as `flow` gives it.
        teacher_flow: `[batch, width, width]`.

    Returns:
        `[batch]` tensor.
    """
    return ops.mean(ops.square(student_flow - teacher_flow), axis=(1, 2))


def flow(first, second, mask=None):
    """The products of one layer's features with another's, over positions.

    Args:
        first: `[batch, length, width]`.
        second: `[batch, length, width]`, of a later layer.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch, width, width]`: the mean over valid positions.
    """
    count = ops.reshape(count_real(first, mask), (-1, 1, 1))
    first, second = (without_padding(s, mask) for s in (first, second))
    return ops.divide_no_nan(ops.einsum("bif,big->bfg", first, second), count)


@keras.saving.register_keras_serializable(package="keras_kd")
class FlowMatching(LayerLoss):
    """Matches how one layer's features turn into another's (FSP).

    Not the states are matched but the way from one layer to the next: which
    features of the first go with which of the second.

    $$L = \\sum_k \\frac{1}{D^2} \\left\\lVert
      G(h^S_{m_k}, h^S_{m_{k+1}}) - G(h^T_{n_k}, h^T_{n_{k+1}})
      \\right\\rVert_F^2, \\quad
      G(a, b) = \\frac{1}{|V|} \\sum_{i \\in V} a_i b_i^\\top$$

    over neighbours in the list of pairs of layers $(m_k, n_k)$, with valid
    positions $V$ and the teacher's width $D$; a student's states of another
    width go through a dense layer first.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, teacher_dim]` | teacher |

    It takes memory of `batch * teacher_dim ** 2` for each flow.

    Source: Yim et al. 2017, "A Gift from Knowledge Distillation: Fast
    Optimization, Network Minimization and Transfer Learning", equation 2; the
    mean over features is TextBrewer's (`fsp`).

    Args:
        layers: List of two or more pairs `(student layer, teacher layer)`: the
            flows are those from each pair to the next one. 0 is the
            embeddings.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"flow_matching"`.

    Raises:
        ValueError: `layers` is not a list of two or more pairs, or the states
            can't be compared.

    Example:

    >>> loss = FlowMatching(layers=[(0, 0), (1, 2)])
    >>> values = loss(
    ...     {"hidden_states/0": [[[1.0]]], "hidden_states/1": [[[2.0]]]},
    ...     {"hidden_states/0": [[[3.0]]], "hidden_states/2": [[[4.0]]]},
    ... )
    >>> [float(value) for value in values]
    [100.0]
    """

    def __init__(
        self,
        layers,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name="flow_matching",
    ):
        super().__init__(
            layers,
            projection=projection,
            teacher_dim=teacher_dim,
            weight=weight,
            name=name,
        )
        if len(self.layers) < 2:
            raise ValueError(
                "A flow goes from one pair of `layers` to the next. Received: "
                f"{layers!r}. Give two pairs or more, such as "
                "`[(0, 0), (2, 4)]`."
            )

    def per_example(self, student, teacher, context):
        pairs = list(self.compared(student, teacher))
        return sum(
            flow_distance(
                *(
                    flow(first, second, context.mask)
                    for first, second in zip(pair, following)
                )
            )
            for pair, following in zip(pairs, pairs[1:])
        )
