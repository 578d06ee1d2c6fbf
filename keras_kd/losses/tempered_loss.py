"""The base class of losses on logits that a temperature divides."""

from keras_kd.batch import LOGITS
from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import check_same_last_axis
from keras_kd.losses.masking import masked_mean
from keras_kd.losses.masking import without_padding
from keras_kd.losses.temperature import check_temperature
from keras_kd.losses.temperature import temperature_config
from keras_kd.losses.temperature import temperature_of


class TemperedLoss(DistillationLoss):
    """A loss between the logits of two models at a temperature.

    A subclass gives the loss of each row, or of each of its tokens
    (`compare`); the temperature, the factor $T^2$ and the mean over a row's
    tokens are handled here.

    Args:
        temperature: Number or schedule, above 0 at every step; where
            `of_examples` is set, also one for each example.
        weight: Number or schedule that multiplies the loss.
        scale_by_temperature_squared: Whether to multiply by $T^2$.
        name: The name under which the loss is logged.

    Raises:
        ValueError: `temperature` is not above 0 at some step, or `weight` is
            negative.
    """

    outputs = (LOGITS,)
    of_examples = False  # Whether each example may have its own temperature.
    least_outputs = 1

    def __init__(
        self,
        temperature=2.0,
        weight=1.0,
        scale_by_temperature_squared=True,
        name=None,
    ):
        super().__init__(weight=weight, name=name)
        check_temperature(temperature, self.of_examples)
        self.temperature = temperature
        self.scale_by_temperature_squared = scale_by_temperature_squared

    def prepare(self, student, teacher, context):
        """Both logits as they are compared; refuses those that can't be."""
        check_same_last_axis(self.name, student, teacher, self.least_outputs)
        return student, teacher

    def compare(self, student, teacher, temperature, context):
        """The loss of each row or token, before the factor.

        Args:
            student: The student's logits, `[batch, ..., outputs]`.
            teacher: The teacher's.
            temperature: A number, or `[batch, ...]`.
            context: `LossContext`.

        Returns:
            `[batch]` or `[batch, tokens]` tensor.
        """
        raise TypeError(f"{type(self).__name__} must define `compare`.")

    def token_mask(self, context):
        """`[batch, tokens]`, 1 on those that count; `None` where all do."""
        return context.logits_mask

    def per_example(self, student, teacher, context):
        mask = self.token_mask(context)
        student, teacher = (
            without_padding(logits, mask) if len(logits.shape) == 3 else logits
            for logits in (student[LOGITS], teacher[LOGITS])
        )
        student, teacher = self.prepare(student, teacher, context)
        temperature = temperature_of(
            self.temperature, student, teacher, context
        )
        values = self.compare(student, teacher, temperature, context)
        if self.scale_by_temperature_squared:
            values = values * temperature**2
        if len(values.shape) == 2:
            values = masked_mean(values, mask)
        return values

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": temperature_config(self.temperature),
            "scale_by_temperature_squared": self.scale_by_temperature_squared,
        }
