"""Schedules against the equation, evaluated by hand."""

import keras
import numpy as np
import pytest

from keras_kd.schedules import ConstantSchedule
from keras_kd.schedules import CosineSchedule
from keras_kd.schedules import JoinedSchedule
from keras_kd.schedules import LinearSchedule
from keras_kd.schedules import LinearWarmupDecay
from keras_kd.schedules import lowest_value
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


def values_of(schedule, steps):
    return [float(schedule(step)) for step in steps]


class TestByHand:
    def test_constant(self):
        assert values_of(ConstantSchedule(0.3), (0, 7)) == pytest.approx(
            [0.3, 0.3]
        )

    def test_linear(self):
        # 3 down in 4 steps, then 1 up in 2.
        down = values_of(LinearSchedule(4.0, 1.0, 4), (0, 1, 2, 4, 5, 10**9))
        assert down == [4.0, 3.25, 2.5, 1.0, 1.0, 1.0]
        assert values_of(LinearSchedule(0, 1, 2), (0, 1, 2, 3)) == [
            0,
            0.5,
            1,
            1,
        ]

    def test_linear_ends_exactly(self):
        # 0.1 + (0.7 - 0.1) is more than 0.7 in float32.
        for start, end in ((0.1, 0.7), (8.0, 0.3), (1e6, 1e-6)):
            assert float(LinearSchedule(start, end, 3)(3)) == np.float32(end)

    def test_cosine(self):
        # 2 + 3 (1 + cos(pi t / 6)) / 2: cos is 1, 1/2, 0, -1/2 and -1.
        schedule = CosineSchedule(5.0, 2.0, 6)
        np.testing.assert_allclose(
            values_of(schedule, (0, 2, 3, 4, 6, 7, 500)),
            [5.0, 4.25, 3.5, 2.75, 2.0, 2.0, 2.0],
            atol=1e-6,
        )

    def test_joined(self):
        schedule = JoinedSchedule(
            [1.0, LinearSchedule(1.0, 3.0, 2), CosineSchedule(3.0, 0.0, 2)],
            boundaries=[2, 5],
        )
        np.testing.assert_allclose(
            values_of(schedule, range(9)),
            [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 1.5, 0.0, 0.0],
            atol=1e-6,
        )

    def test_joined_with_a_schedule_of_keras(self):
        # It has no values before its step 0 that are asked for.
        decay = keras.optimizers.schedules.PolynomialDecay(4.0, 2, 2.0)
        schedule = JoinedSchedule([8.0, decay], boundaries=[3])
        assert values_of(schedule, range(6)) == [8.0, 8.0, 8.0, 4.0, 3.0, 2.0]


SCHEDULES = [
    ConstantSchedule(0.5),
    LinearSchedule(4.0, 1.0, 4),
    CosineSchedule(4.0, 1.0, 4),
    JoinedSchedule([2, LinearSchedule(1.0, 3.0, 2)], [3]),
    JoinedSchedule(
        [
            keras.optimizers.schedules.CosineDecay(2.0, 4),
            0.5,
            LinearSchedule(1, 2, 3),
        ],
        [3, 5],
    ),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_schedules_come_back_from_their_config(schedule):
    import json

    config = keras.saving.serialize_keras_object(schedule)
    config = json.loads(json.dumps(config))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert values_of(again, range(9)) == values_of(schedule, range(9))


class TestLowestValue:
    @pytest.mark.parametrize(
        ("value", "lowest"),
        [
            (0.7, 0.7),
            (ConstantSchedule(0.5), 0.5),
            (LinearSchedule(4.0, -1.0, 5), -1.0),
            (CosineSchedule(0.0, 2.0, 5), 0.0),
            (LinearWarmupDecay(4.0, 10), 0.0),
            (LinearWarmupDecay(4.0, 10, final_value=1.0), 1.0),
            (LinearWarmupDecay(4.0, 10, 2, final_value=1.0), 0.0),
            (JoinedSchedule([3.0, LinearSchedule(4.0, 2.0, 5)], [9]), 2.0),
        ],
    )
    def test_of_numbers_and_own_schedules(self, value, lowest):
        assert lowest_value(value) == lowest

    def test_of_others_is_seen_at_their_end(self):
        schedules = keras.optimizers.schedules
        assert lowest_value(schedules.PolynomialDecay(4.0, 10**6, -1.0)) == -1.0
        assert lowest_value(schedules.CosineDecay(4.0, 300, alpha=0.25)) == 1.0
        assert lowest_value(lambda step: 7.0 - step) < -(10**8)

    def test_a_value_that_is_not_a_number_is_the_lowest(self):
        def broken(step):
            return float("nan") if step == 3 else 1.0

        assert np.isnan(lowest_value(broken))
        assert np.isnan(lowest_value(float("nan")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSchedule(float("inf")), "`value` must be a finite"),
        (
            lambda: LinearSchedule(1.0, float("nan"), 3),
            "`end` must be a finite",
        ),
        (lambda: LinearSchedule(1.0, 2.0, 0), "1 or more. Received: 0"),
        (lambda: CosineSchedule(1.0, 2.0, -3), "1 or more. Received: -3"),
        (lambda: JoinedSchedule([1.0, 2.0], []), "2 schedules and 0 bound"),
        (lambda: JoinedSchedule([1, 2, 3], [5, 5]), r"must rise.*\[5, 5\]"),
        (lambda: JoinedSchedule([1, 2], [0]), "begin above 0"),
    ],
)
def test_what_makes_no_schedule_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
