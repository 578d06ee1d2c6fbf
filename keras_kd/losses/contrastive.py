"""Telling a text from the others of its batch, as the teacher sees them."""

import keras
from keras import ops

from keras_kd.losses.hidden_state_cosine import unit_vectors
from keras_kd.losses.present_rows import present_pairs
from keras_kd.losses.present_rows import present_rows
from keras_kd.losses.projected_loss import ProjectedLoss
from keras_kd.losses.relational_loss import row_vectors
from keras_kd.losses.temperature import check_temperature
from keras_kd.losses.temperature import temperature_at
from keras_kd.losses.temperature import temperature_config


def contrastive_divergence(student, teacher, present, temperature):
    """`-log` of the chance to pick out the teacher's vector of the same row.

    Args:
        student: `[batch, width]`.
        teacher: `[batch, width]`.
        present: `[batch]`, true where a row is there.
        temperature: Divides the cosines.

    Returns:
        `[batch]` tensor, 0 where a row is not there.
    """
    student, teacher = unit_vectors(student), unit_vectors(teacher)
    cosines = ops.matmul(student, ops.transpose(teacher)) / temperature
    of_same = ops.sum(student * teacher, axis=-1) / temperature
    # Of the others, those that are there; with the same row they make up the
    # denominator, so that a row alone in its batch has the loss 0.
    others = ops.where(
        present_pairs(present), cosines, -1e9 * ops.ones_like(cosines)
    )
    everything = ops.concatenate([ops.expand_dims(of_same, 1), others], axis=1)
    values = ops.logsumexp(everything, axis=1) - of_same
    return ops.where(present, values, ops.zeros_like(values))


@keras.saving.register_keras_serializable(package="keras_kd")
class Contrastive(ProjectedLoss):
    """Has the student tell each text from the rest of the batch (InfoNCE).

    Of all the teacher's vectors of a batch, the student's has to be nearest to
    that of the same text. What tells texts apart is learned, and what they
    have in common, which dominates a squared distance, is not.

    $$L_i = -\\log \\frac{\\exp(\\cos(W s_i, t_i) / \\tau)}
      {\\sum_{j \\in B} \\exp(\\cos(W s_i, t_j) / \\tau)}$$

    for each row $i$ of a batch $B$; $W$ is a dense layer where the student's
    width is another. It is the in-batch form of CRD, without its memory of
    negatives: take large batches. It does not go to 0: with $n$ rows, vectors
    that tell nothing apart give $\\log n$.

    | input | shape | from |
    |---|---|---|
    | `output` | `[batch, width]` or `[batch, length, width]` | student |
    | `teacher_output` | `[batch, dim]` or `[batch, length, dim]` | teacher |

    Of `[batch, length, width]` it is the first position. Rows of weight 0 take
    no part, also not as negatives. Rows are compared within one micro-batch on
    one device.

    Source: Tian, Krishnan and Isola 2020, "Contrastive Representation
    Distillation"; van den Oord et al. 2018, "Representation Learning with
    Contrastive Predictive Coding", equation 4.

    Args:
        output: Name of the student's output, by default `"pooled"`.
        teacher_output: Name of the teacher's, where it is another.
        temperature: Number or schedule $\\tau$, above 0 at every step.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layer.
        teacher_dim: Width of the teacher's output; needed only where it comes
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"contrastive"`.

    Raises:
        ValueError: An output is not of two or three axes, widths differ
            without a projection, or `temperature` is not above 0 at some step.

    Example:

    >>> loss = Contrastive("pooled", temperature=1.0)
    >>> values = loss({"pooled": [[2.0, 0.0], [0.0, 1.0]]},
    ...               {"pooled": [[1.0, 0.0], [1.0, 0.0]]})
    >>> [round(float(value), 4) for value in values]
    [0.6931, 0.6931]
    """

    def __init__(
        self,
        output="pooled",
        teacher_output=None,
        temperature=0.1,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name="contrastive",
    ):
        super().__init__(projection, teacher_dim, weight, name)
        check_temperature(temperature)
        self.output = output
        self.teacher_output = teacher_output
        self.temperature = temperature

    @property
    def student_outputs(self):
        return (self.output,)

    @property
    def teacher_outputs(self):
        return (self.teacher_output or self.output,)

    def per_example(self, student, teacher, context):
        (names,) = self.compared_outputs
        student, teacher = student[names[0]], teacher[names[1]]
        present = present_rows(student, context.sample_weight)
        student = self.project(row_vectors(self.name, student, present), *names)
        teacher = row_vectors(self.name, teacher, present)
        if student.shape[-1] != teacher.shape[-1]:
            raise ValueError(
                f"Loss '{self.name}' compares '{names[0]}' of the student with "
                f"'{names[1]}' of the teacher. Received: widths "
                f"{student.shape[-1]} and {teacher.shape[-1]}. Build the "
                "Distiller with the teacher, or give `teacher_dim`, so that "
                "the student's is projected."
            )
        temperature = temperature_at(
            self.temperature, context.step, student.dtype
        )
        return contrastive_divergence(student, teacher, present, temperature)

    def get_config(self):
        return {
            **super().get_config(),
            "output": self.output,
            "teacher_output": self.teacher_output,
            "temperature": temperature_config(self.temperature),
        }
