"""A straight line from one value to another."""

import keras
from keras import ops

from keras_kd.schedules.values import check_steps
from keras_kd.schedules.values import check_values


@keras.saving.register_keras_serializable(package="keras_kd")
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Goes linearly from `start` to `end`, up or down, and stays there.

    With step $t$ and $n$ steps:

    $$v(t) = s + (e - s) \\cdot \\min(t / n, 1)$$

    Args:
        start: The value at step 0.
        end: The value from step `steps` on.
        steps: Steps until `end` is reached.

    Raises:
        ValueError: A value is not finite, or `steps` is below 1.

    Example:

    A temperature that falls from 8 to 1, as in Jafari et al. 2021, "Annealing
    Knowledge Distillation":

    >>> temperature = LinearSchedule(8.0, 1.0, steps=7)
    >>> [float(temperature(step)) for step in (0, 1, 6, 7, 100)]
    [8.0, 7.0, 2.0, 1.0, 1.0]
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
        # Not `start + (end - start) * share`, which rounds past the end.
        return self.start * (1.0 - share) + self.end * share

    def get_config(self):
        return {"start": self.start, "end": self.end, "steps": self.steps}
