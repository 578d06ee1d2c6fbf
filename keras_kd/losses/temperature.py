"""The temperature of a loss: a number, or a schedule above 0."""

import keras
from keras import ops

from keras_kd.schedules import lowest_value
from keras_kd.schedules import value_at


def check_temperature(temperature):
    """Refuses a temperature that is not above 0 at every step.

    At 0 the loss is NaN, and a schedule that gets there does so hours later.
    """
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


def temperature_config(temperature):
    """The temperature as it stands in a configuration."""
    if callable(temperature):
        return keras.saving.serialize_keras_object(temperature)
    return temperature
