"""A temperature by how much student and teacher differ."""

import keras
from keras import ops

from keras_kd.losses.example_temperature import ExampleTemperature

EPSILON = 1e-4


@keras.saving.register_keras_serializable(package="keras_kd")
class FocalTemperature(ExampleTemperature):
    """Sharpens the targets of examples on which the two models differ.

    $$T_i = T + \\beta (\\bar{w} - w_i), \\quad
      w_i = (1 - \\cos(z_{s,i}, z_{t,i}))^\\gamma$$

    Where student and teacher disagree $w_i$ is large and the temperature low:
    the student is told what the answer is. Where they agree it is high, and
    the student sees how the other classes relate. The mean $\\bar{w}$ is over
    the rows of a micro-batch, on one device.

    It is the `temperature` of `SoftTargets` and `SoftCrossEntropy`.

    Source: Wen et al. 2019, "Preparing Lessons: Improve Knowledge Distillation
    with Better Supervision", section 3.3; `flsw` of TextBrewer.

    Args:
        temperature: The temperature of an average example.
        beta: How far the difference moves it.
        gamma: Power of the difference; above 1 it is the outliers that count.
        lowest: No example's temperature falls below it.

    Raises:
        ValueError: `temperature`, `gamma` or `lowest` is not above 0, or
            `beta` is below 0.

    Example:

    >>> from keras_kd.losses.soft_targets import SoftTargets
    >>> loss = SoftTargets(FocalTemperature(4.0, beta=1.0, gamma=2.0))
    >>> values = loss({"logits": [[1.0, 0.0], [1.0, 0.0]]},
    ...               {"logits": [[2.0, 0.0], [0.0, 2.0]]})
    >>> [round(float(value), 2) for value in values]
    [0.12, 1.09]
    """

    def __init__(self, temperature, beta=1.0, gamma=1.0, lowest=0.5):
        super().__init__(temperature, beta, lowest)
        if not 0 < gamma < float("inf"):
            raise ValueError(f"`gamma` must be above 0. Received: {gamma}")
        self.gamma = gamma

    def hardness(self, student_logits, teacher_logits):
        student, teacher = (
            logits / (ops.norm(logits, axis=-1, keepdims=True) + EPSILON)
            for logits in (student_logits, teacher_logits)
        )
        difference = 1.0 - ops.sum(student * teacher, axis=-1)
        # Rounding takes it below 0, which has no power of its own.
        return ops.maximum(difference, 0.0) ** self.gamma

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
