"""The base class of losses that own projections."""

import keras

from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import wide_dtype

PROJECTIONS = ("linear", "relu", "tanh")


class ProjectedLoss(DistillationLoss):
    """A loss that makes a student's states as wide as the teacher's.

    Where their widths differ the student's states go through a dense layer,
    which is trained with the student, kept in the Distiller's checkpoints, and
    is no part of the student that is saved and exported.

    Args:
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: The name under which the loss is logged.

    Raises:
        ValueError: The projection is none of those.
    """

    projects = True

    def __init__(
        self, projection="linear", teacher_dim=None, weight=1.0, name=None
    ):
        super().__init__(weight=weight, name=name)
        if projection not in PROJECTIONS:
            raise ValueError(
                f"`projection` must be one of {list(PROJECTIONS)}. Received: "
                f"{projection!r}."
            )
        self.projection = projection
        self.teacher_dim = teacher_dim
        self._projections = {}

    @property
    def compared_outputs(self):
        """Pairs of names: a student's output, a teacher's beside it."""
        return list(zip(self.student_outputs, self.teacher_outputs))

    def build(self, student_outputs, teacher_outputs):
        if not self.projects or self._projections:
            return list(self._projections.values())
        for student, teacher in self.compared_outputs:
            states = student_outputs[student]
            if teacher in teacher_outputs:
                self.teacher_dim = teacher_outputs[teacher].shape[-1]
            if self.teacher_dim is None:
                raise ValueError(
                    f"Loss '{self.name}' has to know how wide the teacher's "
                    f"'{teacher}' is, to compare it with the student's "
                    f"{states.shape[-1]}. Received no teacher. Give "
                    "`teacher_dim`."
                )
            if states.shape[-1] != self.teacher_dim:
                layer = keras.layers.Dense(
                    self.teacher_dim,
                    activation=self.projection,
                    dtype=wide_dtype(states),
                    name=f"{self.name}_{student.replace('/', '_')}_"
                    f"{teacher.replace('/', '_')}",
                )
                layer.build(states.shape)
                self._projections[student, teacher] = layer
        return list(self._projections.values())

    def project(self, states, student, teacher):
        """A student's states, as wide as the teacher's."""
        layer = self._projections.get((student, teacher))
        return states if layer is None else layer(states)

    def get_config(self):
        config = super().get_config()
        if self.projects:
            config["projection"] = self.projection
            config["teacher_dim"] = self.teacher_dim
        return config
