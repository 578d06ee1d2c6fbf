"""Schedules against the equation, evaluated by hand."""

import keras
import numpy as np
import pytest

from keras_kd.schedules import LinearWarmupDecay
from keras_kd.schedules import value_at


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 0.0), (1, 1.0), (3, 3.0), (4, 4.0), (8, 3.0), (12, 2.0), (99, 2.0)],
)
def test_rises_falls_and_stays(step, value):
    # 4 steps up to 4, then 8 steps down to 2: a quarter a step.
    schedule = LinearWarmupDecay(
        4.0, total_steps=12, warmup_steps=4, final_value=2.0
    )
    assert float(schedule(step)) == pytest.approx(value, abs=1e-6)


def test_without_warm_up_it_starts_at_the_peak():
    schedule = LinearWarmupDecay(3.0, total_steps=3)
    values = [float(schedule(step)) for step in range(5)]
    np.testing.assert_allclose(values, [3.0, 2.0, 1.0, 0.0, 0.0], atol=1e-6)


def test_a_final_value_above_the_peak_rises():
    schedule = LinearWarmupDecay(1.0, total_steps=2, final_value=3.0)
    values = [float(schedule(step)) for step in range(4)]
    np.testing.assert_allclose(values, [1.0, 2.0, 3.0, 3.0], atol=1e-6)


@pytest.mark.parametrize(
    "steps", [{"total_steps": 5, "warmup_steps": 5}, {"total_steps": 0},
              {"total_steps": 5, "warmup_steps": -1}],
)  # fmt: skip
def test_steps_that_leave_no_decay_are_refused(steps):
    with pytest.raises(ValueError, match="Received: total_steps="):
        LinearWarmupDecay(1.0, **steps)


def test_config_round_trip():
    schedule = LinearWarmupDecay(4.0, 12, warmup_steps=4, final_value=2.0)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, LinearWarmupDecay)
    assert again.get_config() == schedule.get_config()
    assert float(again(6)) == pytest.approx(3.5)


def test_an_optimizer_follows_it():
    optimizer = keras.optimizers.SGD(LinearWarmupDecay(1.0, 4, warmup_steps=2))
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    path = [0.0]
    for _ in range(5):
        optimizer.apply([np.array([-1.0], "float32")], [variable])
        path.append(float(variable.numpy()[0]))
    np.testing.assert_allclose(np.diff(path), [0, 0.5, 1.0, 0.5, 0], atol=1e-6)


def test_numbers_and_schedules_are_read_alike():
    assert value_at(0.7, 123) == 0.7
    assert value_at(lambda step: step / 2, 3) == 1.5
    cosine = keras.optimizers.schedules.CosineDecay(2.0, 10)
    assert float(value_at(cosine, 5)) == pytest.approx(1.0)
