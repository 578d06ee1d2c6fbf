"""The base class of losses between layers."""

from keras_kd.layer_mapping import check_pairs
from keras_kd.losses.projected_loss import ProjectedLoss


class LayerLoss(ProjectedLoss):
    """A loss between layers of a student and layers of a teacher.

    A subclass says what of a layer it reads (`feature`) and gives the loss of
    one pair of layers; the losses of all pairs are added up. Where it
    `projects`, a student's states of another width than the teacher's go
    through a dense layer first.

    Args:
        layers: List of pairs `(student layer, teacher layer)`, as
            `keras_kd.layer_mapping` makes them; 0 is the embeddings.
        **options: As for `ProjectedLoss`.

    Raises:
        ValueError: `layers` is not a list of pairs, or the projection is none
            of those.
    """

    feature = "hidden_states"

    def __init__(
        self,
        layers,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name=None,
    ):
        super().__init__(projection, teacher_dim, weight, name)
        self.layers = check_pairs(layers)

    @property
    def student_outputs(self):
        return tuple(f"{self.feature}/{student}" for student, _ in self.layers)

    @property
    def teacher_outputs(self):
        return tuple(f"{self.feature}/{teacher}" for _, teacher in self.layers)

    def compared(self, student, teacher):
        """`(student's, teacher's)` states of each pair, projected."""
        for names in self.compared_outputs:
            states, targets = student[names[0]], teacher[names[1]]
            states = self.project(states, *names)
            self.check_pair(names, states, targets)
            yield states, targets

    def check_pair(self, names, student, teacher):
        """Refuses layers that can't be compared."""
        check_same_shape(self.name, names, student, teacher, self.projects)

    def per_example(self, student, teacher, context):
        return sum(
            self.pair(states, targets, context)
            for states, targets in self.compared(student, teacher)
        )

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
            "layers": [list(pair) for pair in self.layers],
        }


def check_same_shape(loss, names, student, teacher, projects):
    """Refuses layers that can't be compared entry by entry."""
    if same_sizes(student.shape, teacher.shape):
        return
    remedy = (
        "Build the Distiller with the teacher, or give `teacher_dim`, so that "
        "the states are projected."
        if projects
        else "SelfAttentionRelations compares models with other numbers of "
        "heads."
    )
    raise ValueError(
        f"Loss '{loss}' compares '{names[0]}' of the student with "
        f"'{names[1]}' of the teacher, which must be of one shape, and read "
        f"the same tokens. Received: {tuple(student.shape)} and "
        f"{tuple(teacher.shape)}. {remedy}"
    )


def check_same_tokens(loss, names, student, teacher):
    """Refuses layers `[batch, length, ...]` that read other tokens."""
    same_rank = len(student.shape) == len(teacher.shape)
    if same_rank and same_sizes(student.shape[:2], teacher.shape[:2]):
        return
    raise ValueError(
        f"Loss '{loss}' compares what '{names[0]}' of the student and "
        f"'{names[1]}' of the teacher make of the same tokens. Received: "
        f"{tuple(student.shape)} and {tuple(teacher.shape)}. Give both the "
        "same token ids, and padding to the same length."
    )


def same_sizes(shape, other):
    """Whether two shapes may be the same, as far as they are known."""
    return len(shape) == len(other) and all(
        a == b for a, b in zip(shape, other) if None not in (a, b)
    )
