"""A value that stays."""

import keras
from keras import ops

from keras_kd.schedules.values import check_values


@keras.saving.register_keras_serializable(package="keras_kd")
class ConstantSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The same value at every step, as a part of a `JoinedSchedule`.

    A plain number does the same wherever a schedule may stand alone.

    Args:
        value: The value.

    Raises:
        ValueError: `value` is not finite.

    Example:

    >>> schedule = ConstantSchedule(0.5)
    >>> [float(schedule(step)) for step in (0, 1000)]
    [0.5, 0.5]
    """

    def __init__(self, value):
        check_values(value=value)
        self.value = value

    @property
    def lowest(self):
        """The lowest value at any step."""
        return self.value

    def __call__(self, step):
        return ops.full((), self.value, dtype="float32")

    def get_config(self):
        return {"value": self.value}
