"""Soft targets of independent labels against a float64 oracle."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.losses.sigmoid_soft_targets import SigmoidSoftTargets
from keras_kd.losses.sigmoid_soft_targets import bernoulli_divergence
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.schedules import CosineSchedule
from keras_kd.schedules import LinearSchedule
from tests.losses.cases import weighted_mean

TEMPERATURES = [0.5, 1.0, 2.0, 8.0, 30.0]


def log_sigmoid(logits):
    return -np.logaddexp(0.0, -np.float64(logits))


def oracle(student, teacher, temperature):
    """The docstring's equation in float64, T^2 included."""
    s, t = np.float64(student) / temperature, np.float64(teacher) / temperature
    p = np.exp(log_sigmoid(t))
    yes = p * (log_sigmoid(t) - log_sigmoid(s))
    no = (1 - p) * (log_sigmoid(-t) - log_sigmoid(-s))
    return temperature**2 * (yes + no).sum(axis=-1)


def numerical_gradient(function, values, width=1e-5):
    """Central differences of a sum, in float64."""
    values = np.float64(values)
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        shift = np.zeros_like(values)
        shift[index] = width
        difference = function(values + shift) - function(values - shift)
        gradient[index] = difference.sum() / (2 * width)
    return gradient


def call(loss, student, teacher, **kwargs):
    values = loss({"logits": student}, {"logits": teacher}, **kwargs)
    return keras.ops.convert_to_numpy(values)


def gradient(loss, student, teacher, weights=None, **kwargs):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss({"logits": student}, {"logits": teacher}, **kwargs)
        total = (
            keras.ops.sum(values)
            if weights is None
            else weighted_mean(values, weights)
        )
    return tf.convert_to_tensor(tape.gradient(total, student)).numpy()


def logits(*shape, seed=0, dtype="float32"):
    values = np.random.default_rng(seed).normal(scale=3.0, size=shape)
    return values.astype(dtype)


def test_by_hand():
    # p = 3/4 against 1/2, and a label on which both agree.
    # 3/4 ln(3/2) + 1/4 ln(1/2) = 0.130812
    loss = SigmoidSoftTargets(1.0)
    values = call(loss, [[0.0, 5.0]], [[np.log(3.0), 5.0]])
    assert values[0] == pytest.approx(0.130812, abs=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("labels", [1, 2, 20])
def test_value_and_gradient_of_the_oracle(temperature, labels):
    student, teacher = logits(6, labels), logits(6, labels, seed=1)
    loss = SigmoidSoftTargets(temperature)
    # The sum of float32 terms that nearly cancel is only then scaled by T^2.
    np.testing.assert_allclose(
        call(loss, student, teacher),
        oracle(student, teacher, temperature),
        rtol=1e-5,
        atol=temperature**2 * 3e-7,
    )
    np.testing.assert_allclose(
        gradient(loss, student, teacher),
        numerical_gradient(
            lambda values: oracle(values, teacher, temperature), student
        ),
        rtol=1e-3,
        atol=2e-5,
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_in_float64_it_is_the_oracle_to_nine_digits(temperature):
    student, teacher = (logits(6, 5, seed=s, dtype="float64") for s in (0, 1))
    loss = SigmoidSoftTargets(temperature)
    values = call(loss, student, teacher)
    assert values.dtype == "float64"
    np.testing.assert_allclose(
        values, oracle(student, teacher, temperature), rtol=1e-9
    )
    np.testing.assert_allclose(
        gradient(loss, student, teacher),
        numerical_gradient(
            lambda values: oracle(values, teacher, temperature), student
        ),
        rtol=1e-6,
        atol=1e-8,
    )


def test_one_label_is_two_classes():
    # sigmoid(z) is the softmax of (z, 0).
    student, teacher = logits(7, 1), logits(7, 1, seed=1)
    pad = ((0, 0), (0, 1))
    np.testing.assert_allclose(
        call(SigmoidSoftTargets(3.0), student, teacher),
        call(SoftTargets(3.0), np.pad(student, pad), np.pad(teacher, pad)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_labels_do_not_compete():
    student, teacher = logits(4, 3), logits(4, 3, seed=1)
    loss = SigmoidSoftTargets(2.0)
    apart = [
        call(loss, student[:, i : i + 1], teacher[:, i : i + 1])
        for i in range(3)
    ]
    np.testing.assert_allclose(
        call(loss, student, teacher), np.sum(apart, axis=0), rtol=1e-5
    )


def test_the_gradient_does_not_shrink_with_the_temperature():
    student, teacher = logits(6, 4), logits(6, 4, seed=1)
    limit = (np.float64(student) - teacher) / 4
    for temperature in (1.0, 10.0, 100.0):
        scaled = gradient(SigmoidSoftTargets(temperature), student, teacher)
        plain = gradient(
            SigmoidSoftTargets(temperature, scale_by_temperature_squared=False),
            student,
            teacher,
        )
        np.testing.assert_allclose(
            plain * temperature**2, scaled, rtol=1e-3, atol=2e-5
        )
    np.testing.assert_allclose(scaled, limit, rtol=5e-3, atol=1e-3)


def test_a_model_with_itself():
    student = logits(5, 4)
    loss = SigmoidSoftTargets(4.0)
    np.testing.assert_array_equal(call(loss, student, student), 0.0)
    np.testing.assert_allclose(gradient(loss, student, student), 0.0, atol=1e-6)


def test_divergence_is_never_negative_and_has_a_direction():
    student, teacher = 2 * logits(200, 5), 2 * logits(200, 5, seed=1)
    forward = keras.ops.convert_to_numpy(
        bernoulli_divergence(student, teacher, 1.0)
    )
    assert (forward > 0).all()
    assert not np.allclose(forward, oracle(teacher, student, 1.0), rtol=0.1)


def test_certain_labels_stay_in_log_space():
    # sigmoid(200) is 1 in float32, and log(1 - 1) is minus infinity.
    student, teacher = [[-200.0, 200.0]], [[200.0, 200.0]]
    loss = SigmoidSoftTargets(1.0)
    np.testing.assert_allclose(call(loss, student, teacher), [200.0])
    np.testing.assert_allclose(
        gradient(loss, student, teacher), [[-1.0, 0.0]], atol=1e-6
    )


def test_rows_of_weight_zero_have_no_part():
    student, teacher = logits(3, 2), logits(3, 2, seed=1)
    loss = SigmoidSoftTargets(2.0)
    slopes = gradient(loss, student, teacher, weights=[1.0, 0.0, 1.0])
    np.testing.assert_array_equal(slopes[1], 0.0)
    rows = [0, 2]
    np.testing.assert_allclose(
        slopes[rows],
        gradient(loss, student[rows], teacher[rows], weights=[1.0, 1.0]),
        rtol=1e-5,
    )


def test_token_logits_are_averaged_over_real_positions():
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "int32")
    student, teacher = logits(3, 4, 5), logits(3, 4, 5, seed=1)
    positions = oracle(student, teacher, 2.0)
    loss = SigmoidSoftTargets(2.0)
    np.testing.assert_allclose(
        call(loss, student, teacher, mask=mask),
        [positions[0, :3].mean(), positions[1, 0], 0.0],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        call(loss, student, teacher), positions.mean(axis=1), rtol=1e-5
    )
    slopes = gradient(loss, student, teacher, mask=mask)
    np.testing.assert_array_equal(slopes[mask == 0], 0.0)
    assert np.abs(slopes[mask == 1]).min() > 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_half_precision_is_finite_and_is_computed_in_float32(
    dtype, temperature
):
    student = np.array([[400.0, -400.0], [3.0, 1.0]], "float32")
    teacher = np.array([[-400.0, 400.0], [60000.0, 0.5]], "float32")
    student, teacher = (keras.ops.cast(a, dtype) for a in (student, teacher))
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(a, "float32"))
        for a in (student, teacher)
    ]
    loss = SigmoidSoftTargets(temperature)
    values = call(loss, student, teacher)
    assert values.dtype == "float32"
    np.testing.assert_allclose(values, oracle(*rounded, temperature), rtol=1e-5)
    slopes = gradient(loss, student, teacher).astype("float32")
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0.1


def test_temperature_may_follow_a_schedule():
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    loss = SigmoidSoftTargets(temperature=LinearSchedule(4.0, 1.0, 3))
    for step, temperature in enumerate((4.0, 3.0, 2.0, 1.0, 1.0)):
        np.testing.assert_allclose(
            call(loss, student, teacher, step=step),
            oracle(student, teacher, temperature),
            rtol=1e-5,
        )


class TestRefusals:
    @pytest.mark.parametrize("temperature", [0, -2.0, float("nan")])
    def test_temperatures(self, temperature):
        with pytest.raises(ValueError, match="must be above 0 and finite"):
            SigmoidSoftTargets(temperature)

    def test_a_schedule_that_ends_at_zero(self):
        with pytest.raises(ValueError, match="0 at the lowest of CosineSch"):
            SigmoidSoftTargets(CosineSchedule(4.0, 0.0, 10))

    def test_other_numbers_of_labels(self):
        loss = SigmoidSoftTargets()
        with pytest.raises(ValueError, match="3 logits of the student and 4"):
            call(loss, logits(2, 3), logits(2, 4))


def test_config_round_trip():
    loss = SigmoidSoftTargets(
        LinearSchedule(4.0, 1.0, 3),
        weight=0.7,
        scale_by_temperature_squared=False,
        name="labels",
    )
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert isinstance(again, SigmoidSoftTargets)
    assert (again.name, again.weight) == ("labels", 0.7)
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    np.testing.assert_array_equal(
        call(again, student, teacher, step=1),
        call(loss, student, teacher, step=1),
    )
    assert SigmoidSoftTargets().name == "sigmoid_soft_targets"
