"""Half a cosine wave from one value to another."""

import math

import keras
from keras import ops

from keras_kd.schedules.values import check_steps
from keras_kd.schedules.values import check_values


@keras.saving.register_keras_serializable(package="keras_kd")
class CosineSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Goes from `start` to `end` slowly, fast, slowly, and stays there.

    With step $t$ and $n$ steps:

    $$v(t) = e + (s - e) \\cdot \\tfrac{1}{2}
      (1 + \\cos(\\pi \\cdot \\min(t / n, 1)))$$

    Args:
        start: The value at step 0.
        end: The value from step `steps` on.
        steps: Steps until `end` is reached.

    Raises:
        ValueError: A value is not finite, or `steps` is below 1.

    Example:

    >>> schedule = CosineSchedule(1.0, 0.0, steps=6)
    >>> [round(float(schedule(step)), 6) for step in (0, 2, 3, 4, 6, 100)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Source: Loshchilov and Hutter 2017, "SGDR", section 3, one cycle.
    """

    def __init__(self, start, end, steps):
        check_values(start=start, end=end)
        check_steps(steps=steps)
        self.start = start
        self.end = end
        self.steps = steps

    @property
    def lowest(self):
        """The lowest value at any step."""
        return min(self.start, self.end)

    def __call__(self, step):
        share = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        left = 0.5 * (1.0 + ops.cos(math.pi * share))
        return self.start * left + self.end * (1.0 - left)

    def get_config(self):
        return {"start": self.start, "end": self.end, "steps": self.steps}
