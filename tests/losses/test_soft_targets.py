"""Soft targets against a float64 oracle, and against what others get wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.losses.masking import masked_mean
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.soft_targets import soft_target_divergence
from keras_kd.schedules import LinearWarmupDecay
from tests.losses.cases import weighted_mean

TEMPERATURES = [0.5, 1.0, 2.0, 8.0, 30.0]


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def oracle(student, teacher, temperature):
    """The docstring's equation in float64, T^2 included."""
    q = log_softmax(np.float64(student) / temperature)
    p = log_softmax(np.float64(teacher) / temperature)
    return temperature**2 * (np.exp(p) * (p - q)).sum(axis=-1)


def numerical_gradient(function, values, width=1e-5):
    """Central differences of a sum, in float64."""
    values = np.float64(values)
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        above, below = values.copy(), values.copy()
        above[index] += width
        below[index] -= width
        difference = function(above).sum() - function(below).sum()
        gradient[index] = difference / (2 * width)
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


def logits(*shape, seed=0, scale=3.0):
    values = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return values.astype("float32")


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [2, 3, 50])
def test_value_and_gradient_of_the_oracle(temperature, classes):
    student, teacher = logits(6, classes), logits(6, classes, seed=1)
    loss = SoftTargets(temperature)
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


def test_without_the_factor_the_gradient_shrinks_and_with_it_it_does_not():
    student, teacher = logits(6, 4), logits(6, 4, seed=1)
    # As T grows, T^2 KL nears half the squared distance of the centred logits
    # over the number of classes (Hinton et al. 2015, equation 4).
    difference = np.float64(student) - teacher
    limit = (difference - difference.mean(-1, keepdims=True)) / 4
    norms = {}
    for temperature in (1.0, 10.0, 100.0):
        scaled = gradient(SoftTargets(temperature), student, teacher)
        plain = gradient(
            SoftTargets(temperature, scale_by_temperature_squared=False),
            student,
            teacher,
        )
        np.testing.assert_allclose(
            plain * temperature**2, scaled, rtol=1e-4, atol=1e-6
        )
        norms[temperature] = np.linalg.norm(scaled)
    np.testing.assert_allclose(scaled, limit, atol=0.02)
    assert norms[100.0] > 0.8 * np.linalg.norm(limit)
    assert norms[100.0] > 0.5 * norms[1.0]


class TestWhatKerasDistillationGetsWrong:
    # keras.distillation.LogitsDistillation() takes the divergence of clipped
    # raw logits: its gradient is zero in the first case, its value in the
    # second.

    def test_opposite_logits(self):
        student = np.array([[4.0, 0.0, -4.0]], "float32")
        teacher = student[:, ::-1]
        loss = SoftTargets(temperature=2.0)
        assert call(loss, student, teacher)[0] == pytest.approx(
            13.615, abs=5e-4
        )
        np.testing.assert_allclose(
            gradient(loss, student, teacher)[0], [1.70, 0.0, -1.70], atol=5e-3
        )

    def test_negative_logits(self):
        student = np.array([[-1.0, -3.0, -5.0]], "float32")
        teacher = student[:, ::-1]
        loss = SoftTargets(temperature=3.0)
        assert call(loss, student, teacher)[0] == pytest.approx(4.97, abs=5e-3)
        slope = gradient(loss, student, teacher)[0]
        assert slope[0] > 1.0 and slope[2] < -1.0

    def test_a_constant_added_to_the_logits_changes_nothing(self):
        student, teacher = logits(5, 3), logits(5, 3, seed=1)
        loss = SoftTargets()
        moved = call(loss, student - 100.0, teacher + 50.0)
        np.testing.assert_allclose(
            moved, oracle(student, teacher, 2.0), rtol=1e-4
        )


def test_distant_logits_keep_their_value_and_gradient():
    # Here softmax underflows: log(softmax) is minus infinity, and clipped it
    # has no gradient. By hand: the teacher is sure of class 0, for which the
    # student's log-probability is -400; the slopes are -1 and +1.
    student = np.array([[0.0, 400.0]], "float32")
    teacher = np.array([[400.0, 0.0]], "float32")
    loss = SoftTargets(temperature=1.0)
    assert call(loss, student, teacher)[0] == pytest.approx(400.0)
    np.testing.assert_allclose(
        gradient(loss, student, teacher), [[-1.0, 1.0]], rtol=1e-6
    )


def test_equal_distributions_have_no_loss_and_no_gradient():
    student = logits(5, 4)
    loss = SoftTargets(4.0)
    np.testing.assert_allclose(call(loss, student, student), 0.0, atol=1e-5)
    np.testing.assert_allclose(gradient(loss, student, student), 0.0, atol=1e-6)


def test_divergence_is_never_negative_and_has_a_direction():
    student, teacher = logits(200, 5, scale=6), logits(200, 5, seed=1, scale=6)
    forward = keras.ops.convert_to_numpy(
        soft_target_divergence(student, teacher, 1.0)
    )
    assert (forward > 0).all()
    np.testing.assert_allclose(
        forward, oracle(student, teacher, 1), rtol=1e-5, atol=3e-7
    )
    # KL(teacher || student), not the other way round.
    backward = oracle(teacher, student, 1)
    assert not np.allclose(forward, backward, rtol=0.1)


def test_mean_of_a_weighted_batch_divides_by_the_weights():
    student, teacher = logits(4, 3), logits(4, 3, seed=1)
    weights = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    values = oracle(student, teacher, 2.0)
    loss = SoftTargets()
    mean = weighted_mean(call(loss, student, teacher), weights)
    assert float(mean) == pytest.approx(
        np.average(values, weights=weights), rel=1e-5
    )


def test_a_row_of_weight_zero_gets_no_gradient_and_moves_no_other():
    student, teacher = logits(3, 3), logits(3, 3, seed=1)
    loss = SoftTargets()
    slopes = gradient(loss, student, teacher, weights=[1.0, 0.0, 1.0])
    np.testing.assert_array_equal(slopes[1], 0.0)
    without = gradient(
        loss, student[[0, 2]], teacher[[0, 2]], weights=[1.0, 1.0]
    )
    np.testing.assert_allclose(slopes[[0, 2]], without, rtol=1e-5)


class TestTokenLogits:
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "int32")

    def test_average_over_real_positions(self):
        student, teacher = logits(3, 4, 5), logits(3, 4, 5, seed=1)
        positions = oracle(student, teacher, 2.0)
        expected = [positions[0, :3].mean(), positions[1, 0], 0.0]
        np.testing.assert_allclose(
            call(SoftTargets(), student, teacher, mask=self.mask),
            expected,
            rtol=1e-5,
        )

    def test_without_a_mask_every_position_counts(self):
        student, teacher = logits(3, 4, 5), logits(3, 4, 5, seed=1)
        np.testing.assert_allclose(
            call(SoftTargets(), student, teacher),
            oracle(student, teacher, 2.0).mean(axis=1),
            rtol=1e-5,
        )

    def test_padding_changes_neither_value_nor_gradient(self):
        student, teacher = logits(2, 3, 5), logits(2, 3, 5, seed=1)
        mask = np.array([[1, 1, 1], [1, 1, 0]], "int32")
        more = ((0, 0), (0, 4))
        padded = [
            np.pad(a, (*more, (0, 0)), constant_values=77.0)
            for a in (student, teacher)
        ]
        padded[1][:, 3:] -= logits(2, 4, 5, seed=2)
        padded_mask = np.pad(mask, more)
        loss = SoftTargets()
        np.testing.assert_allclose(
            call(loss, *padded, mask=padded_mask),
            call(loss, student, teacher, mask=mask),
            rtol=1e-6,
        )
        slopes = gradient(loss, *padded, mask=padded_mask)
        np.testing.assert_array_equal(slopes[:, 3:], 0.0)
        np.testing.assert_allclose(
            slopes[:, :3],
            gradient(loss, student, teacher, mask=mask),
            rtol=1e-5,
        )

    def test_masked_mean_by_hand(self):
        values = np.array([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]], "float32")
        mask = np.array([[1, 1, 0], [1, 0, 0]], "int32")
        np.testing.assert_allclose(masked_mean(values, mask), [1.5, 4.0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_half_precision_is_finite_and_is_computed_in_float32(
    dtype, temperature
):
    # 60000 is near the largest float16; 400 / 20 and its T^2 would overflow.
    student = np.array([[400.0, 0.0, -400.0], [3.0, 1.0, 0.0]], "float32")
    teacher = np.array([[-400.0, 0.0, 400.0], [60000.0, 1.0, 0.0]], "float32")
    student, teacher = (keras.ops.cast(a, dtype) for a in (student, teacher))
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(a, "float32"))
        for a in (student, teacher)
    ]
    loss = SoftTargets(temperature)
    values = call(loss, student, teacher)
    assert values.dtype == "float32"
    np.testing.assert_allclose(values, oracle(*rounded, temperature), rtol=1e-5)
    slopes = gradient(loss, student, teacher)
    assert np.isfinite(slopes.astype("float32")).all()
    assert np.abs(slopes.astype("float32")).max() > 0.1


def test_temperature_may_follow_a_schedule():
    # From 4 down to 1 in 3 steps: 4, 3, 2, 1.
    schedule = LinearWarmupDecay(4.0, total_steps=3, final_value=1.0)
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    loss = SoftTargets(temperature=schedule)
    for step, temperature in enumerate((4.0, 3.0, 2.0, 1.0, 1.0)):
        np.testing.assert_allclose(
            call(loss, student, teacher, step=step),
            oracle(student, teacher, temperature),
            rtol=1e-5,
        )


class TestRefusals:
    @pytest.mark.parametrize(
        "temperature", [0, 0.0, -2.0, float("nan"), float("inf")]
    )
    def test_temperatures(self, temperature):
        with pytest.raises(ValueError, match="must be above 0 and finite"):
            SoftTargets(temperature)

    def test_a_schedule_that_warms_up_from_zero(self):
        with pytest.raises(ValueError, match="Received: 0 at the lowest"):
            SoftTargets(LinearWarmupDecay(4.0, 10, warmup_steps=2))

    def test_other_numbers_of_classes(self):
        with pytest.raises(ValueError) as error:
            call(SoftTargets(), logits(2, 3), logits(2, 4))
        assert "3 logits of the student and 4 of the teacher" in str(
            error.value
        )

    def test_one_class_would_always_agree(self):
        with pytest.raises(ValueError, match="two or more"):
            call(SoftTargets(), logits(2, 1), logits(2, 1))

    def test_a_teacher_without_logits(self):
        with pytest.raises(ValueError, match="Missing: \\['logits'\\]"):
            SoftTargets()({"logits": logits(2, 3)}, {"hidden_states/3": 0})


@pytest.mark.parametrize(
    "temperature", [3.0, LinearWarmupDecay(4.0, 3, final_value=1.0)]
)
def test_config_round_trip(temperature):
    loss = SoftTargets(
        temperature,
        weight=0.7,
        scale_by_temperature_squared=False,
        name="soft",
    )
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert isinstance(again, SoftTargets)
    assert (again.name, again.weight) == ("soft", 0.7)
    assert again.scale_by_temperature_squared is False
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    np.testing.assert_array_equal(
        call(again, student, teacher, step=1),
        call(loss, student, teacher, step=1),
    )


def test_default_name():
    assert SoftTargets().name == "soft_targets"
