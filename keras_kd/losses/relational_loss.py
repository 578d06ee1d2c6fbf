"""The base class of losses that compare the rows of a batch."""

from keras import ops

from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.present_rows import present_rows


class RelationalLoss(DistillationLoss):
    """A loss on how the rows of a batch lie to one another.

    Each row gets its share of it. Rows of weight 0 take no part, also not as
    what others are compared with. Rows are compared within one micro-batch on
    one device: with `accumulation_steps` or several devices there are fewer to
    compare with than in the whole batch.

    Args:
        output: Name of the output that is read, of both models. Of hidden
            states, `[batch, length, width]`, it is the first position.
        teacher_output: Its name in the teacher, where it is another.
        weight: Number or schedule that multiplies the loss.
        name: The name under which the loss is logged.
    """

    def __init__(
        self, output="pooled", teacher_output=None, weight=1.0, name=None
    ):
        super().__init__(weight=weight, name=name)
        self.output = output
        self.teacher_output = teacher_output

    @property
    def student_outputs(self):
        return (self.output,)

    @property
    def teacher_outputs(self):
        return (self.teacher_output or self.output,)

    def per_example(self, student, teacher, context):
        (student,), (teacher,) = student.values(), teacher.values()
        present = present_rows(student, context.sample_weight)
        return self.rows(
            row_vectors(self.name, student, present),
            row_vectors(self.name, teacher, present),
            present,
        )

    def rows(self, student, teacher, present):
        """The share of each row.

        Args:
            student: `[batch, width]`, 0 where a row is not there.
            teacher: `[batch, another width]`, likewise.
            present: `[batch]`, true where a row is there.

        Returns:
            `[batch]` tensor.
        """
        raise TypeError(f"{type(self).__name__} must define `rows`.")

    def get_config(self):
        return {
            **super().get_config(),
            "output": self.output,
            "teacher_output": self.teacher_output,
        }


def row_vectors(loss, values, present):
    """One vector a row; the first position's, where there are several."""
    if len(values.shape) not in (2, 3):
        raise ValueError(
            f"Loss '{loss}' compares rows by one vector each: `[batch, width]` "
            "or `[batch, length, width]`, of which it takes the first "
            f"position. Received: {tuple(values.shape)}. Take 'pooled' or one "
            "of the 'hidden_states/...'."
        )
    if len(values.shape) == 3:
        values = values[:, 0]
    return ops.where(
        ops.expand_dims(present, 1), values, ops.zeros_like(values)
    )
