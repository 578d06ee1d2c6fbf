"""The squared distance of hidden states."""

import keras
from keras import ops

from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding


def hidden_state_distance(student_states, teacher_states, mask=None):
    """The mean squared difference of hidden states, one value an example.

    Args:
        student_states: `[batch, length, width]`.
        teacher_states: `[batch, length, width]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch]` tensor: the mean over valid positions and features.
    """
    student, teacher = (
        without_padding(states, mask)
        for states in (student_states, teacher_states)
    )
    squares = ops.square(student - teacher)
    return masked_mean(ops.mean(squares, axis=-1), mask)


@keras.saving.register_keras_serializable(package="keras_kd")
class HiddenStateMSE(LayerLoss):
    """Matches hidden states of the student to those of the teacher.

    What the teacher makes of every token on the way to its answer, not of the
    answer alone: the strongest signal for a student of the same kind, and one
    that needs no labels.

    $$L = \\sum_{(m, n)} \\frac{1}{|V| D} \\sum_{i \\in V} \\lVert
      W_m h^S_{m,i} - h^T_{n,i} \\rVert_2^2$$

    over pairs of layers $(m, n)$ and valid positions $V$; $D$ is the teacher's
    width, and $W_m$ a dense layer where the student's is another.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, teacher_dim]` | teacher |

    Source: Romero et al. 2015, "FitNets", equation 3; Jiao et al. 2020,
    "TinyBERT", equations 9 and 10 (the pair (0, 0) is its embedding loss).

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"hidden_state_mse"`.

    Raises:
        ValueError: `layers` is not a list of pairs, or the states can't be
            compared.

    Example:

    >>> loss = HiddenStateMSE(layers=[(1, 2)])
    >>> values = loss({"hidden_states/1": [[[1.0, 1.0], [9.0, 9.0]]]},
    ...               {"hidden_states/2": [[[2.0, 4.0], [0.0, 0.0]]]},
    ...               mask=[[1, 0]])
    >>> [float(value) for value in values]
    [5.0]
    """

    def pair(self, student, teacher, context):
        return hidden_state_distance(student, teacher, context.mask)
