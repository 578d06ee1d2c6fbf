"""The distance of normalised hidden states: patient distillation."""

import keras
from keras import ops

from keras_kd.losses.hidden_state_cosine import unit_vectors
from keras_kd.losses.layer_loss import LayerLoss
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding

POSITIONS = ("first", "all")


def patient_distance(
    student_states, teacher_states, mask=None, positions="first"
):
    """The squared distance of states of length 1, one value an example.

    Args:
        student_states: `[batch, length, width]`.
        teacher_states: `[batch, length, width]`.
        mask: `[batch, length]`, 1 on real tokens, or `None`.
        positions: `"first"`, that of [CLS], or `"all"`.

    Returns:
        `[batch]` tensor: the sum over features, of the first position or as
        the mean over all valid ones.
    """
    student, teacher = (
        unit_vectors(without_padding(states, mask))
        for states in (student_states, teacher_states)
    )
    squares = ops.sum(ops.square(student - teacher), axis=-1)
    return squares[:, 0] if positions == "first" else masked_mean(squares, mask)


@keras.saving.register_keras_serializable(package="keras_kd")
class PatientKnowledge(LayerLoss):
    """Matches what [CLS] has gathered, layer by layer (PKD).

    A classifier reads [CLS] alone, so that is where a student of the same kind
    should learn to gather the same things, in several layers and not in the
    last one only. Take it for models that classify by their first position.

    $$L = \\sum_{(m, n)} \\left\\lVert
      \\frac{W_m h^S_m}{\\lVert W_m h^S_m \\rVert_2} -
      \\frac{h^T_n}{\\lVert h^T_n \\rVert_2} \\right\\rVert_2^2$$

    over pairs of layers $(m, n)$, with the states $h$ of the first position;
    $W_m$ is a dense layer where the student's width is another. With
    `positions="all"` it is the mean over all valid positions, which is twice
    `HiddenStateCosine`.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, teacher_dim]` | teacher |

    Source: Sun et al. 2019, "Patient Knowledge Distillation for BERT Model
    Compression", equation 7. Its PKD-skip is `layer_mapping.uniform`, its
    PKD-last `layer_mapping.last`, both without the last pair.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        positions: `"first"` or `"all"`.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"patient_knowledge"`.

    Raises:
        ValueError: `layers` is not a list of pairs, other `positions`, or the
            states can't be compared.

    Example:

    >>> loss = PatientKnowledge(layers=[(1, 2)])
    >>> values = loss({"hidden_states/1": [[[3.0, 4.0], [9.0, 9.0]]]},
    ...               {"hidden_states/2": [[[2.0, 0.0], [0.0, 0.0]]]})
    >>> [round(float(value), 4) for value in values]
    [0.8]
    """

    def __init__(
        self,
        layers,
        positions="first",
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name="patient_knowledge",
    ):
        super().__init__(
            layers,
            projection=projection,
            teacher_dim=teacher_dim,
            weight=weight,
            name=name,
        )
        if positions not in POSITIONS:
            raise ValueError(
                f"`positions` must be one of {list(POSITIONS)}. Received: "
                f"{positions!r}."
            )
        self.positions = positions

    def pair(self, student, teacher, context):
        return patient_distance(student, teacher, context.mask, self.positions)

    def get_config(self):
        return {**super().get_config(), "positions": self.positions}
