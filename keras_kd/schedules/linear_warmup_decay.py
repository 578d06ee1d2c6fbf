"""The schedule that BERT is fine-tuned with."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_kd")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, then falls linearly to `final_value`.

    The schedule that BERT is fine-tuned with (Devlin et al. 2019, A.2). With
    step $t$, warm-up $w$ and total $n$:

    $$v(t) = p \\cdot t / w \\quad (t < w), \\qquad
      v(t) = f + (p - f) \\cdot (n - t) / (n - w) \\quad (w \\le t \\le n)$$

    Args:
        peak: The value at the end of the warm-up.
        total_steps: Steps until `final_value` is reached. It stays there.
        warmup_steps: Steps of the rise.
        final_value: The value at the end.

    Raises:
        ValueError: `total_steps` is not above `warmup_steps`.

    Example:

    >>> schedule = LinearWarmupDecay(1.0, total_steps=10, warmup_steps=2)
    >>> [float(schedule(step)) for step in (0, 1, 2, 6, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(self, peak, total_steps, warmup_steps=0, final_value=0.0):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "`total_steps` must be above `warmup_steps`, and that must not "
                f"be negative. Received: total_steps={total_steps}, "
                f"warmup_steps={warmup_steps}."
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.final_value = final_value

    @property
    def lowest(self):
        """The lowest value at any step."""
        first = 0.0 if self.warmup_steps else self.peak
        return min(first, self.peak, self.final_value)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = self.peak * step / max(self.warmup_steps, 1)
        left = (self.total_steps - step) / (
            self.total_steps - self.warmup_steps
        )
        fall = self.final_value + (self.peak - self.final_value) * ops.clip(
            left, 0.0, 1.0
        )
        return ops.where(step < self.warmup_steps, rise, fall)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final_value": self.final_value,
        }
