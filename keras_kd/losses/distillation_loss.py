"""The base class of all distillation losses."""

import re

import keras
from keras import ops

from keras_kd.schedules import value_at


class DistillationLoss:
    """A weighted loss between a student's and a teacher's named outputs.

    A subclass is a small shell around a pure per-example function. It says
    which outputs it reads (`outputs`), and gives one value an example; masks,
    sample weights, the weighted mean and the schedules are handled here and in
    the `Distiller`, once for all losses.

    Args:
        weight: Number or schedule that multiplies the loss in the total.
        name: The name under which the loss is logged.

    Raises:
        ValueError: A negative weight.
    """

    outputs = ()  # Names of the outputs that student and teacher must have.

    def __init__(self, weight=1.0, name=None):
        if not callable(weight) and not weight >= 0:
            raise ValueError(
                f"The weight of a loss must be zero or more. Received: {weight}"
            )
        self.weight = weight
        self.name = (
            name or re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        )

    def per_example(self, student, teacher, mask, step):
        """The loss of each example.

        Args:
            student: Dictionary of the student's outputs, float32.
            teacher: Dictionary of the teacher's outputs, float32.
            mask: `[batch, length]`, 1 on real tokens; `None` where the inputs
                have no padding.
            step: The optimizer's step, for schedules.

        Returns:
            `[batch]` tensor.
        """
        raise TypeError(f"{type(self).__name__} must define `per_example`.")

    def __call__(self, student, teacher, mask=None, step=0):
        for role, outputs in (("student", student), ("teacher", teacher)):
            missing = [name for name in self.outputs if name not in outputs]
            if missing:
                raise ValueError(
                    f"Loss '{self.name}' reads {list(self.outputs)} of the "
                    f"{role}. Received: {sorted(outputs)}. Missing: {missing}. "
                    "Let the model (or the cache of teacher targets) give "
                    "them, or take the loss out."
                )
        # Half precision has too few digits for differences of logits.
        student, teacher = (
            {name: ops.cast(o[name], "float32") for name in self.outputs}
            for o in (student, teacher)
        )
        return self.per_example(student, teacher, mask, step)

    def weight_at(self, step):
        """The weight of the loss at a step."""
        return value_at(self.weight, step)

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


def weighted_mean(values, weights=None):
    """`sum(w * v) / sum(w)` over examples, and 0 where all weights are 0.

    Dividing by the weights, not by the batch, makes an example of weight 0 the
    same as one that is not there.
    """
    numerator, denominator = weighted_sums(values, weights)
    return ops.divide_no_nan(numerator, denominator)


def weighted_sums(values, weights=None):
    """`(sum(w * v), sum(w))`, for a mean over several batches or replicas."""
    values = ops.cast(values, "float32")
    if weights is None:
        weights = ops.ones_like(values)
    weights = ops.broadcast_to(
        ops.cast(ops.reshape(weights, (-1,)), "float32"), ops.shape(values)
    )
    return ops.sum(values * weights), ops.sum(weights)
