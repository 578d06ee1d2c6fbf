"""Schedules one after the other."""

import keras
from keras import ops

from keras_kd.schedules.constant import ConstantSchedule
from keras_kd.schedules.values import lowest_value


@keras.saving.register_keras_serializable(package="keras_kd")
class JoinedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Follows one schedule after the other, each from its own step 0.

    Args:
        schedules: List of schedules and numbers; a number stays as it is.
        boundaries: Step at which each but the first begins, rising.

    Raises:
        ValueError: There is not one boundary between any two schedules, or the
            boundaries do not rise from above 0.

    Example:

    A loss that is off for 10 steps, fades in over 4, and stays:

    >>> from keras_kd.schedules import LinearSchedule
    >>> weight = JoinedSchedule(
    ...     [0.0, LinearSchedule(0.0, 1.0, steps=4)], boundaries=[10]
    ... )
    >>> [float(weight(step)) for step in (0, 9, 10, 11, 14, 100)]
    [0.0, 0.0, 0.0, 0.25, 1.0, 1.0]
    """

    def __init__(self, schedules, boundaries):
        schedules, boundaries = list(schedules), list(boundaries)
        if len(schedules) != len(boundaries) + 1:
            raise ValueError(
                "`boundaries` must have one step between any two schedules. "
                f"Received: {len(schedules)} schedules and {len(boundaries)} "
                f"boundaries: {boundaries}."
            )
        if any(b <= a for a, b in zip([0, *boundaries], boundaries)):
            raise ValueError(
                "`boundaries` must rise, and begin above 0. Received: "
                f"{boundaries}"
            )
        self.schedules = [
            schedule if callable(schedule) else ConstantSchedule(schedule)
            for schedule in schedules
        ]
        self.boundaries = boundaries

    @property
    def lowest(self):
        """The lowest value of any part, also where it is not reached."""
        return min(lowest_value(schedule) for schedule in self.schedules)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        value = self.schedules[0](step)
        for begin, schedule in zip(self.boundaries, self.schedules[1:]):
            # A schedule is not asked about the steps before it begins.
            later = schedule(ops.maximum(step - begin, 0.0))
            value = ops.where(step >= begin, later, value)
        return value

    def get_config(self):
        return {
            "schedules": [
                keras.saving.serialize_keras_object(schedule)
                for schedule in self.schedules
            ],
            "boundaries": self.boundaries,
        }

    @classmethod
    def from_config(cls, config):
        schedules = [
            keras.saving.deserialize_keras_object(schedule)
            for schedule in config["schedules"]
        ]
        return cls(schedules, config["boundaries"])
