"""The angle between the mean states of a text, however it was cut."""

import keras
from keras import ops

from keras_kd.losses.hidden_state_cosine import unit_vectors
from keras_kd.losses.masking import count_real
from keras_kd.losses.masking import without_padding
from keras_kd.losses.projected_loss import ProjectedLoss

MEAN_STATE = "mean_state"


def mean_state(states, mask):
    """The mean of `[batch, length, width]` over real tokens."""
    count = ops.maximum(count_real(states, mask), 1.0)
    total = ops.sum(without_padding(states, mask), axis=1)
    return total / ops.expand_dims(count, -1)


@keras.saving.register_keras_serializable(package="keras_kd")
class MeanStateCosine(ProjectedLoss):
    """Turns the mean state of a text into the direction of the teacher's.

    Student and teacher may have different vocabularies: their tokens are not
    those of each other, so that neither logits nor the states of single
    positions can be compared, but the text is the same.

    $$L = 1 - \\cos\\left(W \\frac{1}{|V|} \\sum_{i \\in V} h^S_i,\\;
      \\frac{1}{|U|} \\sum_{j \\in U} h^T_j\\right)$$

    with the real tokens V of the student and U of the teacher; W is a dense
    layer where the student's width is another.

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `mean_state` | `[batch, teacher_dim]` | teacher |

    Source: as Reimers and Gurevych 2020, "Making Monolingual Sentence
    Embeddings Multilingual", who compare mean states of a student with another
    vocabulary by their distance.

    Args:
        layer: Number of the student's layer.
        projection, teacher_dim, weight, name: As for `ProjectedLoss`.

    Example:

    >>> loss = MeanStateCosine(layer=1)
    >>> values = loss({"hidden_states/1": [[[3.0, 4.0], [9.0, 9.0]]]},
    ...               {"mean_state": [[2.0, 0.0]]}, mask=[[1, 0]])
    >>> [round(float(value), 4) for value in values]
    [0.4]
    """

    teacher_outputs = (MEAN_STATE,)

    def __init__(
        self,
        layer,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name=None,
    ):
        super().__init__(projection, teacher_dim, weight, name)
        self.layer = layer

    @property
    def student_outputs(self):
        return (f"hidden_states/{self.layer}",)

    def per_example(self, student, teacher, context):
        (name,) = self.student_outputs
        mean = mean_state(student[name], context.mask)
        mean = self.project(mean, name, MEAN_STATE)
        return 1.0 - ops.sum(
            unit_vectors(mean) * unit_vectors(teacher[MEAN_STATE]), axis=-1
        )

    def get_config(self):
        return {**super().get_config(), "layer": self.layer}
