"""The squared distance of logits against a float64 oracle."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.distiller import Distiller
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.logits_mse import squared_distance
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.schedules import LinearSchedule
from keras_kd.schedules import value_at
from tests.losses.cases import weighted_mean


def oracle(student, teacher):
    """The docstring's equation in float64."""
    return ((np.float64(student) - np.float64(teacher)) ** 2).sum(axis=-1)


def call(student, teacher, loss=None, **kwargs):
    values = (loss or LogitsMSE())(
        {"logits": student}, {"logits": teacher}, **kwargs
    )
    return keras.ops.convert_to_numpy(values)


def gradient(student, teacher, weights=None, loss=None, **kwargs):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = (loss or LogitsMSE())(
            {"logits": student}, {"logits": teacher}, **kwargs
        )
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
    # (1 - 1)^2 + (2 + 1)^2, and 2^2 + 1^2.
    values = call([[1.0, 2.0], [0.0, 0.0]], [[1.0, -1.0], [2.0, 1.0]])
    np.testing.assert_array_equal(values, [9.0, 5.0])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)]
)
@pytest.mark.parametrize("classes", [1, 2, 50])
def test_value_of_the_oracle(classes, dtype, tolerance):
    student, teacher = (logits(6, classes, seed=s, dtype=dtype) for s in (0, 1))
    values = call(student, teacher)
    assert values.dtype == dtype
    np.testing.assert_allclose(values, oracle(student, teacher), rtol=tolerance)
    np.testing.assert_array_equal(
        values, keras.ops.convert_to_numpy(squared_distance(student, teacher))
    )


def test_gradient_by_finite_differences():
    student, teacher = (logits(4, 3, seed=s, dtype="float64") for s in (0, 1))
    expected, width = np.zeros_like(student), 1e-5
    for index in np.ndindex(student.shape):
        shift = np.zeros_like(student)
        shift[index] = width
        difference = oracle(student + shift, teacher) - oracle(
            student - shift, teacher
        )
        expected[index] = difference.sum() / (2 * width)
    np.testing.assert_allclose(gradient(student, teacher), expected, rtol=1e-7)
    np.testing.assert_allclose(
        gradient(student.astype("float32"), teacher.astype("float32")),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_model_with_itself():
    student = logits(5, 4)
    np.testing.assert_array_equal(call(student, student), 0.0)
    np.testing.assert_array_equal(gradient(student, student), 0.0)


def test_soft_targets_of_a_high_temperature_near_half_of_its_mean():
    student, teacher = logits(5, 4), logits(5, 4, seed=1)
    student, teacher = (
        z - z.mean(-1, keepdims=True) for z in (student, teacher)
    )
    soft = call(student, teacher, loss=SoftTargets(100.0))
    np.testing.assert_allclose(soft, call(student, teacher) / 8, rtol=0.05)


def test_rows_of_weight_zero_have_no_part():
    student, teacher = logits(3, 2), logits(3, 2, seed=1)
    slopes = gradient(student, teacher, weights=[1.0, 0.0, 1.0])
    np.testing.assert_array_equal(slopes[1], 0.0)
    rows = [0, 2]
    np.testing.assert_allclose(
        slopes[rows],
        gradient(student[rows], teacher[rows], weights=[1.0, 1.0]),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        slopes[rows], student[rows] - teacher[rows], rtol=1e-6
    )


class TestTokenLogits:
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "int32")

    def test_average_over_real_positions(self):
        student, teacher = logits(3, 4, 5), logits(3, 4, 5, seed=1)
        positions = oracle(student, teacher)
        np.testing.assert_allclose(
            call(student, teacher, mask=self.mask),
            [positions[0, :3].mean(), positions[1, 0], 0.0],
            rtol=1e-5,
        )
        slopes = gradient(student, teacher, mask=self.mask)
        np.testing.assert_array_equal(slopes[self.mask == 0], 0.0)
        assert np.abs(slopes[self.mask == 1]).min() > 0

    def test_without_a_mask_every_position_counts(self):
        student, teacher = logits(3, 4, 5), logits(3, 4, 5, seed=1)
        np.testing.assert_allclose(
            call(student, teacher),
            oracle(student, teacher).mean(axis=1),
            rtol=1e-5,
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_finite_and_is_computed_in_float32(dtype):
    # The square of 1000 is above the largest float16.
    student = np.array([[1000.0, 0.0], [3.0, 1.0]], "float32")
    teacher = np.array([[-1000.0, 0.0], [2.0, 1.0]], "float32")
    student, teacher = (keras.ops.cast(a, dtype) for a in (student, teacher))
    values = call(student, teacher)
    assert values.dtype == "float32"
    np.testing.assert_array_equal(values, [4e6, 1.0])
    slopes = gradient(student, teacher).astype("float32")
    np.testing.assert_allclose(slopes, [[4000.0, 0], [2, 0]], rtol=1e-2)


def test_it_distils_a_regression():
    # Teacher and student are lines: one output, no softmax to take away.
    x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    inputs = keras.Input((1,), name="x")
    student = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    distiller = Distiller(student, losses=[LogitsMSE()])
    distiller.compile(keras.optimizers.SGD(0.2))
    targets = {"teacher": {"logits": 3 * x - 2}}
    distiller.fit(x, targets, epochs=40, batch_size=8, verbose=0)
    kernel, bias = student.get_weights()
    np.testing.assert_allclose(kernel, [[3.0]], atol=1e-3)
    np.testing.assert_allclose(bias, [-2.0], atol=1e-3)


class TestRefusals:
    def test_other_numbers_of_outputs(self):
        with pytest.raises(ValueError, match="3 logits of the student and 4"):
            call(logits(2, 3), logits(2, 4))

    def test_a_teacher_without_the_last_axis(self):
        # It would be compared with all rows.
        with pytest.raises(ValueError, match=r"shapes \(4, 1\) and \(4,\)"):
            call(logits(4, 1), logits(4))

    def test_token_logits_against_those_of_a_row(self):
        with pytest.raises(ValueError, match="Loss 'logits_mse' needs"):
            call(logits(4, 5, 3), logits(4, 3))

    def test_weights_that_come_to_be_negative(self):
        with pytest.raises(ValueError, match="Received: -1 at its lowest"):
            LogitsMSE(weight=LinearSchedule(1.0, -1.0, 5))


def test_config_round_trip():
    loss = LogitsMSE(weight=LinearSchedule(1.0, 0.0, 4), name="distance")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert isinstance(again, LogitsMSE)
    assert again.name == "distance"
    assert float(value_at(again.weight, 1)) == 0.75
    assert LogitsMSE().name == "logits_mse"
