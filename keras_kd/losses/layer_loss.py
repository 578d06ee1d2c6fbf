"""The base class of losses between layers."""

import keras
from keras import ops

from keras_kd.layer_mapping import check_pairs
from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import wide_dtype

PROJECTIONS = ("linear", "relu", "tanh")


class LayerLoss(DistillationLoss):
    """A loss between layers of a student and layers of a teacher.

    A subclass says what of a layer it reads (`feature`) and gives the loss of
    one pair of layers; the losses of all pairs are added up. Where
    `projects`, a student's states that are of another width than the teacher's
    go through a dense layer, which is trained with the student, kept in
    checkpoints, and never exported.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states, for projections; needed
            only where they come from the cache.
        weight: Number or schedule that multiplies the loss.
        name: The name under which the loss is logged.

    Raises:
        ValueError: `layers` is not a list of pairs, or the projection is none
            of those.
    """

    feature = "hidden_states"
    projects = False

    def __init__(
        self,
        layers,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name=None,
    ):
        super().__init__(weight=weight, name=name)
        if projection not in PROJECTIONS:
            raise ValueError(
                f"`projection` must be one of {list(PROJECTIONS)}. Received: "
                f"{projection!r}."
            )
        self.layers = check_pairs(layers)
        self.projection = projection
        self.teacher_dim = teacher_dim
        self._projections = {}

    @property
    def student_outputs(self):
        return tuple(f"{self.feature}/{student}" for student, _ in self.layers)

    @property
    def teacher_outputs(self):
        return tuple(f"{self.feature}/{teacher}" for _, teacher in self.layers)

    def build(self, student_outputs, teacher_outputs):
        if not self.projects or self._projections:
            return list(self._projections.values())
        for student, teacher in zip(self.student_outputs, self.teacher_outputs):
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

    def per_example(self, student, teacher, context):
        total = 0.0
        for names in zip(self.student_outputs, self.teacher_outputs):
            states, targets = student[names[0]], teacher[names[1]]
            states = self.project(states, *names)
            check_same_shape(self.name, names, states, targets, self.projects)
            total = total + self.pair(states, targets, context)
        return total

    def pair(self, student, teacher, context):
        """The loss of one pair of layers.

        Args:
            student: What the student's layer gives, projected.
            teacher: What the teacher's layer gives.
            context: `LossContext`.

        Returns:
            `[batch]` tensor.
        """
        raise TypeError(f"{type(self).__name__} must define `pair`.")

    def get_config(self):
        return {
            **super().get_config(),
            "layers": self.layers,
            "projection": self.projection,
            "teacher_dim": self.teacher_dim,
        }


def check_same_shape(loss, names, student, teacher, projects):
    """Refuses layers that can't be compared entry by entry."""
    pairs = list(zip(student.shape, teacher.shape))
    same = len(student.shape) == len(teacher.shape)
    if same and all(a == b for a, b in pairs if None not in (a, b)):
        return
    remedy = (
        "Build the Distiller with the teacher, or give `teacher_dim`, so that "
        "the states are projected."
        if projects
        else "A loss on relations, such as SelfAttentionRelations, compares "
        "models with other numbers of heads."
    )
    raise ValueError(
        f"Loss '{loss}' compares '{names[0]}' of the student with "
        f"'{names[1]}' of the teacher, which must be of one shape, and read "
        f"the same tokens. Received: {tuple(student.shape)} and "
        f"{tuple(teacher.shape)}. {remedy}"
    )


def masked_square_mean(values, mask):
    """Mean of `[batch, heads, length, length]` over valid pairs and heads."""
    values = ops.mean(values, axis=1)
    if mask is None:
        return ops.mean(values, axis=(1, 2))
    mask = ops.cast(mask, values.dtype)
    # Padding may hold anything; an infinity times 0 would be NaN.
    both = ops.expand_dims(mask, 1) * ops.expand_dims(mask, 2)
    values = ops.where(both > 0, values, ops.zeros_like(values))
    return ops.divide_no_nan(
        ops.sum(values, axis=(1, 2)), ops.sum(both, axis=(1, 2))
    )
