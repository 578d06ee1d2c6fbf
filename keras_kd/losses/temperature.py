"""The temperature of a loss: a number, a schedule, or one for each example."""

import keras
from keras import ops

from keras_kd.losses.example_temperature import ExampleTemperature
from keras_kd.schedules import lowest_value
from keras_kd.schedules import value_at


def check_temperature(temperature, of_examples=False):
    """Refuses a temperature that is not above 0 at every step.

    At 0 the loss is NaN, and a schedule that gets there does so hours later.

    Args:
        temperature: Number, schedule or `ExampleTemperature`.
        of_examples: Whether each example may have one of its own.
    """
    if isinstance(temperature, ExampleTemperature):
        if of_examples:
            return
        raise ValueError(
            "This loss has one temperature for all examples. Received: "
            f"{type(temperature).__name__}. Give a number or a schedule, or "
            "take SoftTargets or SoftCrossEntropy."
        )
    lowest = lowest_value(temperature)
    if 0 < lowest < float("inf"):
        return
    if callable(temperature):
        raise ValueError(
            "`temperature` must be above 0 and finite at every step, also "
            "when its schedule is at its end or at its lowest. Received: "
            f"{lowest:g} at the lowest of {type(temperature).__name__}. Give "
            "it a lowest value of 1 or so (`final_value`, `end` or, in Keras' "
            "schedules, `alpha`)."
        )
    raise ValueError(
        "`temperature` must be above 0 and finite (1 leaves the distribution "
        f"as it is). Received: {temperature}"
    )


def temperature_at(temperature, step, dtype):
    """The temperature at a step, of the type that the loss is computed in."""
    value = value_at(temperature, step)
    return ops.cast(value, dtype) if callable(temperature) else value


def temperature_of(temperature, student_logits, teacher_logits, context):
    """The temperature of each example: `[...]`, or one for all of them."""
    if isinstance(temperature, ExampleTemperature):
        return temperature.at(student_logits, teacher_logits, context)
    return temperature_at(temperature, context.step, student_logits.dtype)


def temperature_config(temperature):
    """The temperature as it stands in a configuration."""
    if callable(temperature) or isinstance(temperature, ExampleTemperature):
        return keras.saving.serialize_keras_object(temperature)
    return temperature
