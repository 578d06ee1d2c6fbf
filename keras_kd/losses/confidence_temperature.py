"""A temperature by how sure the student is."""

import keras
from keras import ops

from keras_kd.losses.example_temperature import ExampleTemperature

EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="keras_kd")
class ConfidenceTemperature(ExampleTemperature):
    """Sharpens the targets of examples on which the student is unsure.

    $$T_i = T + \\beta (\\bar{w} - w_i), \\quad
      w_i = \\frac{1}{\\max_c \\mathrm{softmax}(z_{s,i})_c}$$

    An unsure student has a large $w_i$ and is told, at a low temperature, what
    the answer is; one that is sure sees how the other classes relate. The mean
    $\\bar{w}$ is over the rows of a micro-batch, on one device.

    It is the `temperature` of `SoftTargets` and `SoftCrossEntropy`.

    Source: Wen et al. 2019, "Preparing Lessons: Improve Knowledge Distillation
    with Better Supervision", section 3.3; `cwsm` of TextBrewer.

    Args:
        temperature: The temperature of an average example.
        beta: How far the student's doubt moves it.
        lowest: No example's temperature falls below it.

    Raises:
        ValueError: `temperature` or `lowest` is not above 0, or `beta` is
            below 0.

    Example:

    >>> from keras_kd.losses.soft_targets import SoftTargets
    >>> loss = SoftTargets(ConfidenceTemperature(4.0, beta=2.0))
    >>> values = loss({"logits": [[0.0, 0.0], [9.0, 0.0]]},
    ...               {"logits": [[2.0, 0.0], [2.0, 0.0]]})
    >>> [round(float(value), 2) for value in values]
    [0.47, 5.04]
    """

    def hardness(self, student_logits, teacher_logits):
        probabilities = ops.softmax(student_logits, axis=-1)
        return 1.0 / (ops.max(probabilities, axis=-1) + EPSILON)
