"""The angle between hidden states."""

import keras
from keras import ops

from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding


def unit_vectors(vectors, axis=-1):
    """Vectors of length 1. One of length 0 stays so, and has no gradient."""
    squares = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    # The gradient of a square root is infinite at 0.
    lengths = ops.sqrt(ops.where(squares > 0, squares, ops.ones_like(squares)))
    return vectors / lengths


def cosine_distance(student_states, teacher_states, mask=None):
    """1 minus the cosine of hidden states, one value an example.

    Args:
        student_states: `[batch, length, width]`.
        teacher_states: `[batch, length, width]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.

    Returns:
        `[batch]` tensor: the mean over valid positions.
    """
    student, teacher = (
        unit_vectors(without_padding(states, mask))
        for states in (student_states, teacher_states)
    )
    return masked_mean(1.0 - ops.sum(student * teacher, axis=-1), mask)


@keras.saving.register_keras_serializable(package="keras_kd")
class HiddenStateCosine(LayerLoss):
    """Turns hidden states of the student into the teacher's directions.

    As `HiddenStateMSE`, but only the direction of a state counts. A student
    whose layer normalisation has another scale than the teacher's need not
    learn that scale.

    $$L = \\sum_{(m, n)} \\frac{1}{|V|} \\sum_{i \\in V} \\left(1 -
      \\cos(W_m h^S_{m,i}, h^T_{n,i}) \\right)$$

    over pairs of layers $(m, n)$ and valid positions $V$; $W_m$ is a dense
    layer where the student's width is another.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, teacher_dim]` | teacher |

    Source: Sanh et al. 2019, "DistilBERT, a distilled version of BERT",
    section 3 (the last layer alone).

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"hidden_state_cosine"`.

    Raises:
        ValueError: `layers` is not a list of pairs, or the states can't be
            compared.

    Example:

    >>> loss = HiddenStateCosine(layers=[(1, 2)])
    >>> values = loss({"hidden_states/1": [[[3.0, 4.0], [9.0, 9.0]]]},
    ...               {"hidden_states/2": [[[2.0, 0.0], [0.0, 0.0]]]},
    ...               mask=[[1, 0]])
    >>> [round(float(value), 4) for value in values]
    [0.4]
    """

    def pair(self, student, teacher, context):
        return cosine_distance(student, teacher, context.mask)
