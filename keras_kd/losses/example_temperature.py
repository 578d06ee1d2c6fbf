"""The base class of temperatures that each example has of its own."""

from keras import ops

from keras_kd.losses.masking import without_padding
from keras_kd.losses.present_rows import present_rows


class ExampleTemperature:
    """A temperature that is lower for the examples that are harder.

    $$T_i = T + \\beta (\\bar{w} - w_i)$$

    with a hardness $w_i$ that a subclass defines, and its mean $\\bar{w}$ over
    the rows (and tokens) that are there: padding and rows of weight 0 do not
    count. It is the mean of one device's micro-batch. Temperatures have no
    gradient.

    Args:
        temperature: The temperature of an example of average hardness.
        beta: How far the hardness moves it.
        lowest: No example's temperature falls below it.

    Raises:
        ValueError: `temperature` or `lowest` is not above 0, or `beta` is
            below 0.
    """

    def __init__(self, temperature, beta=1.0, lowest=0.5):
        for name, value in (("temperature", temperature), ("lowest", lowest)):
            if not 0 < value < float("inf"):
                raise ValueError(
                    f"`{name}` must be above 0 and finite. Received: {value}"
                )
        if not 0 <= beta < float("inf"):
            raise ValueError(f"`beta` must be 0 or more. Received: {beta}")
        self.temperature = temperature
        self.beta = beta
        self.lowest = lowest

    def hardness(self, student_logits, teacher_logits):
        """How hard each example is: `[...]`, from `[..., classes]`."""
        raise TypeError(f"{type(self).__name__} must define `hardness`.")

    def at(self, student_logits, teacher_logits, context):
        """The temperatures: `[...]`, from logits `[..., classes]`.

        Args:
            student_logits: `[batch, classes]` or `[batch, length, classes]`.
            teacher_logits: As the student's.
            context: `LossContext`.
        """
        hardness = self.hardness(
            ops.stop_gradient(student_logits),
            ops.stop_gradient(teacher_logits),
        )
        there = ops.reshape(
            present_rows(hardness, context.sample_weight),
            (-1, *[1] * (len(hardness.shape) - 1)),
        )
        counts = ops.cast(there, hardness.dtype) * ops.ones_like(hardness)
        if len(hardness.shape) == 2:
            counts = without_padding(counts, context.logits_mask)
        total = ops.sum(
            ops.where(counts > 0, hardness, ops.zeros_like(hardness))
        )
        mean = ops.divide_no_nan(total, ops.sum(counts))
        return ops.maximum(
            self.temperature + self.beta * (mean - hardness), self.lowest
        )

    def get_config(self):
        return {
            "temperature": self.temperature,
            "beta": self.beta,
            "lowest": self.lowest,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
