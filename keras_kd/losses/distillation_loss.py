"""The base class of all distillation losses."""

import re

import keras
from keras import ops

from keras_kd.losses.loss_context import LossContext
from keras_kd.losses.present_rows import without_absent_rows
from keras_kd.schedules import lowest_value


class DistillationLoss:
    """A weighted loss between a student's and a teacher's named outputs.

    A subclass is a small shell around a pure per-example function. It says
    which outputs it reads (`outputs`, or `student_outputs` and
    `teacher_outputs` where they differ, by the names of
    `keras_kd.models.layer_outputs`), and gives one value an example; masks,
    sample weights, the weighted mean and the schedules are handled here and in
    the `Distiller`, once for all losses.

    Args:
        weight: Number or schedule that multiplies the loss in the total.
        name: The name under which the loss is logged.

    Raises:
        ValueError: A weight that is negative, or a schedule that comes to be.

    Example:

    >>> class Distance(DistillationLoss):
    ...     outputs = ("logits",)
    ...
    ...     def per_example(self, student, teacher, context):
    ...         gaps = student["logits"] - teacher["logits"]
    ...         return ops.sum(ops.abs(gaps), axis=-1)
    >>> values = Distance()({"logits": [[1.0, 2.0]]}, {"logits": [[1.0, -1.0]]})
    >>> [float(value) for value in values]
    [3.0]
    """

    outputs = ()  # Names of the outputs that student and teacher must have.
    same_width = True  # Whether these are equally wide in both.

    def __init__(self, weight=1.0, name=None):
        check_weight("The weight of a loss", weight)
        self.weight = weight
        # A run of capitals is one word: HiddenStateMSE is hidden_state_mse.
        words = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
        self.name = name or re.sub(words, "_", type(self).__name__).lower()

    @property
    def student_outputs(self):
        """Names of the student's outputs that the loss reads."""
        return self.outputs

    @property
    def teacher_outputs(self):
        """Names of the teacher's outputs that the loss reads."""
        return self.outputs

    def build(self, student_outputs, teacher_outputs):
        """Makes what the loss itself trains, once the shapes are known.

        Args:
            student_outputs: The student's outputs by name, as `KerasTensor`s.
            teacher_outputs: The teacher's; empty where they come from the
                cache.

        Returns:
            List of Keras layers, which are trained and kept in checkpoints.
        """
        return []

    def per_example(self, student, teacher, context):
        """The loss of each example.

        Args:
            student: Dictionary of the student's outputs, float32 (or float64,
                where the student computes in it).
            teacher: Dictionary of the teacher's outputs, of the same type.
            context: `LossContext`.

        Returns:
            `[batch]` tensor.
        """
        raise TypeError(f"{type(self).__name__} must define `per_example`.")

    def __call__(self, student, teacher, **context):
        """The loss of each example; takes what `LossContext` has."""
        if not (self.student_outputs or self.teacher_outputs):
            raise ValueError(
                f"Loss '{self.name}' must say what it reads. Received: no "
                f"names. Give {type(self).__name__} the names of outputs, for "
                'example outputs = ("logits",).'
            )
        context = LossContext(**context)
        student = self._outputs_of("student", student, self.student_outputs)
        teacher = self._outputs_of("teacher", teacher, self.teacher_outputs)
        wide = {wide_dtype(value) for value in student.values()}
        dtype = "float64" if "float64" in wide else "float32"
        student, teacher = (
            {
                name: without_absent_rows(
                    ops.cast(value, dtype), context.sample_weight
                )
                for name, value in outputs.items()
            }
            for outputs in (student, teacher)
        )
        values = ops.convert_to_tensor(
            self.per_example(student, teacher, context)
        )
        if len(values.shape) != 1:
            raise ValueError(
                f"`per_example` of loss '{self.name}' must give one value an "
                "example, `[batch]`. Received the shape "
                f"{tuple(values.shape)}. Take the mean, or the sum, over all "
                "other axes alone."
            )
        return values

    def _outputs_of(self, role, outputs, names):
        missing = [name for name in names if name not in outputs]
        if missing:
            raise ValueError(
                f"Loss '{self.name}' reads {list(names)} of the {role}. "
                f"Received: {sorted(outputs)}. Missing: {missing}. Let the "
                "model (or the cache of teacher targets) give them, or take "
                "the loss out."
            )
        return {name: ops.convert_to_tensor(outputs[name]) for name in names}

    def get_config(self):
        weight = self.weight
        if callable(weight):
            weight = keras.saving.serialize_keras_object(weight)
        return {"weight": weight, "name": self.name}

    @classmethod
    def from_config(cls, config):
        config = {
            key: keras.saving.deserialize_keras_object(value)
            if isinstance(value, dict)
            else value
            for key, value in config.items()
        }
        return cls(**config)


def check_weight(what, weight):
    """Refuses a weight that is, or at some step comes to be, negative."""
    lowest = lowest_value(weight)
    if not 0 <= lowest < float("inf"):
        when = " at its lowest" if callable(weight) else ""
        raise ValueError(
            f"{what} must be zero or more. Received: {lowest:g}{when}. "
            "0 switches a loss off."
        )


def wide_dtype(tensor):
    """The type that a loss is computed in.

    Half precision has too few digits for differences of logits.
    """
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return "float64" if dtype == "float64" else "float32"


def check_same_last_axis(loss, student, teacher, least=1):
    """Refuses outputs that can't be compared entry by entry.

    Broadcasting would make a number of a tensor of another shape without a
    word: `[batch]` against `[batch, 1]` compares all rows with one another.
    """
    shapes = [tuple(tensor.shape) for tensor in (student, teacher)]
    sizes = [shape[-1] if shape else 0 for shape in shapes]
    if (
        len(shapes[0]) != len(shapes[1])
        or sizes[0] != sizes[1]
        or len(shapes[0]) not in (2, 3)
        or sizes[0] < least
    ):
        few = ", two or more," if least == 2 else ""
        raise ValueError(
            f"Loss '{loss}' needs the same outputs{few} from both models, "
            "`[batch, outputs]` or `[batch, length, outputs]`. Received: "
            f"{sizes[0]} logits of the student and {sizes[1]} of the teacher, "
            f"of shapes {shapes[0]} and {shapes[1]}. Build the student with "
            "the teacher's number of outputs."
        )


def weighted_sums(values, weights=None):
    """`(sum(w * v), sum(w))`, for a mean over several batches or replicas.

    Dividing by the weights, not by the batch, makes an example of weight 0 the
    same as one that is not there.
    """
    values = ops.convert_to_tensor(values)
    values = ops.cast(values, wide_dtype(values))
    if weights is None:
        weights = ops.ones_like(values)
    weights = ops.broadcast_to(
        ops.cast(ops.reshape(weights, (-1,)), values.dtype), ops.shape(values)
    )
    return (
        ops.sum(without_absent_rows(values, weights) * weights),
        ops.sum(weights),
    )
