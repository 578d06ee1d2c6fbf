"""The base class of losses that own projections."""

import keras

from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import wide_dtype

PROJECTIONS = ("linear", "relu", "tanh")


class ProjectedLoss(DistillationLoss):
    """A loss that makes a student's states as wide as the teacher's.

    Where their widths differ the student's states go through a dense layer,
    which is trained with the student, kept in the Distiller's checkpoints, and
    is no part of the student that is saved and exported. A loss with such
    layers belongs to one Distiller; a second one refuses it.

    Args:
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states, or a list with one for each
            pair of outputs; needed only where they come from the cache.
        weight: Number or schedule that multiplies the loss.
        name: The name under which the loss is logged.

    Raises:
        ValueError: The projection is none of those, or `teacher_dim` is a list
            of another length.
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
        if not self.projects:
            return []
        if self._projections:
            # They are trained with another student, and would begin, and be
            # changed, with both.
            raise ValueError(
                f"Loss '{self.name}' has projections of its own, which belong "
                "to the Distiller that it was given to first. Received: a "
                "second Distiller. Make a new loss for each Distiller."
            )
        pairs = self.compared_outputs
        widths = [
            self._teacher_width(pair, given, student_outputs, teacher_outputs)
            for pair, given in zip(pairs, self._given_widths(len(pairs)))
        ]
        for (student, teacher), width in zip(pairs, widths):
            states = student_outputs[student]
            if states.shape[-1] != width:
                layer = keras.layers.Dense(
                    width,
                    activation=self.projection,
                    dtype=wide_dtype(states),
                    name=f"{self.name}_{student.replace('/', '_')}_"
                    f"{teacher.replace('/', '_')}",
                )
                layer.build(states.shape)
                self._projections[student, teacher] = layer
        # A Distiller is loaded without its teacher, whose layers may be of
        # several widths, as those of several teachers are.
        self.teacher_dim = widths[0] if len(set(widths)) == 1 else widths
        return list(self._projections.values())

    def _given_widths(self, pairs):
        """What `teacher_dim` says of each pair of outputs."""
        if not isinstance(self.teacher_dim, (list, tuple)):
            return [self.teacher_dim] * pairs
        if len(self.teacher_dim) != pairs:
            raise ValueError(
                f"`teacher_dim` of loss '{self.name}' must be one number, or "
                f"one for each of its {pairs} pairs of outputs. Received: "
                f"{list(self.teacher_dim)}."
            )
        return self.teacher_dim

    def _teacher_width(self, pair, given, student_outputs, teacher_outputs):
        """The teacher's own width where there is one, else the given one."""
        student, teacher = pair
        if teacher in teacher_outputs:
            return teacher_outputs[teacher].shape[-1]
        if given is None:
            raise ValueError(
                f"Loss '{self.name}' has to know how wide the teacher's "
                f"'{teacher}' is, to compare it with the student's "
                f"{student_outputs[student].shape[-1]}. Received no teacher. "
                "Give `teacher_dim`."
            )
        return given

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
