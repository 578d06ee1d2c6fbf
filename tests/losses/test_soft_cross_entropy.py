"""Soft cross-entropy, temperatures of examples, and shifted probabilities."""

import keras
import numpy as np
import pytest

from keras_kd.losses import ConfidenceTemperature
from keras_kd.losses import DecoupledKD
from keras_kd.losses import FocalTemperature
from keras_kd.losses import SigmoidSoftTargets
from keras_kd.losses import SoftCrossEntropy
from keras_kd.losses import SoftTargets
from keras_kd.losses import probability_shift
from keras_kd.losses.loss_context import LossContext
from tests.losses import cases

STUDENT = {"logits": cases.random(4, 5, seed=1, scale=3.0)}
TEACHER = {"logits": cases.random(4, 5, seed=2, scale=3.0)}


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def cross_entropy(student, teacher, temperature):
    """The docstring's equation, row by row; without T^2."""
    temperature = np.broadcast_to(temperature, len(student))[:, None]
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return -(p * np.log(q)).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("scale", [True, False])
def test_value_and_gradient_of_the_oracle(temperature, scale):
    cases.check_oracle(
        SoftCrossEntropy(temperature, scale_by_temperature_squared=scale),
        lambda student, teacher: (
            (temperature**2 if scale else 1)
            * cross_entropy(student["logits"], teacher["logits"], temperature)
        ),
        STUDENT,
        TEACHER,
    )


def test_it_differs_from_the_divergence_by_the_teachers_entropy():
    teacher = TEACHER["logits"]
    np.testing.assert_allclose(
        cases.call(SoftCrossEntropy(2.0), STUDENT, TEACHER)
        - cases.call(SoftTargets(2.0), STUDENT, TEACHER),
        4 * cross_entropy(teacher, teacher, 2.0),
        rtol=1e-4,
    )
    slopes = [
        cases.gradients(make(2.0), STUDENT, TEACHER)["logits"]
        for make in (SoftCrossEntropy, SoftTargets)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-6)


# === Temperatures of examples ===


def focal_hardness(student, teacher, gamma):
    s, t = (
        z / np.linalg.norm(z, axis=-1, keepdims=True)
        for z in (student, teacher)
    )
    return (1 - (s * t).sum(-1)) ** gamma


def confidence_hardness(student, teacher):
    return 1 / softmax(student).max(-1)


class TestTemperatureOfExamples:
    @pytest.mark.parametrize(
        ("temperature", "hardness"),
        [
            (
                FocalTemperature(4.0, beta=1.5, gamma=2.0),
                lambda s, t: focal_hardness(s, t, 2.0),
            ),
            (ConfidenceTemperature(4.0, beta=0.7), confidence_hardness),
        ],
        ids=["focal", "confidence"],
    )
    def test_values_and_gradients(self, temperature, hardness):
        student, teacher = STUDENT["logits"], TEACHER["logits"]
        w = hardness(student, teacher)
        expected = 4.0 + temperature.beta * (w.mean() - w)
        assert expected.std() > 0.1
        found = temperature.at(
            keras.ops.cast(student, "float64"),
            keras.ops.cast(teacher, "float64"),
            LossContext(),
        )
        # The small numbers that keep it from dividing by 0.
        np.testing.assert_allclose(found, expected, rtol=1e-3)
        loss = SoftTargets(temperature)
        found = np.float64(found)
        entropy = cross_entropy(teacher, teacher, found)
        np.testing.assert_allclose(
            cases.call(loss, STUDENT, TEACHER, "float64"),
            found**2 * (cross_entropy(student, teacher, found) - entropy),
            rtol=1e-9,
        )
        # The temperatures themselves have no gradient.
        (slope,) = cases.gradients(loss, STUDENT, TEACHER, "float64").values()
        p, q = (softmax(z / found[:, None]) for z in (teacher, student))
        np.testing.assert_allclose(slope, found[:, None] * (q - p), rtol=1e-9)

    def test_rows_of_weight_zero_do_not_move_the_mean(self):
        weights = np.array([1.0, 0.0, 2.0, 0.0])
        loss = SoftTargets(ConfidenceTemperature(4.0))
        rows = [0, 2]
        np.testing.assert_allclose(
            cases.call(loss, STUDENT, TEACHER, sample_weight=weights)[rows],
            cases.call(
                loss,
                {"logits": STUDENT["logits"][rows]},
                {"logits": TEACHER["logits"][rows]},
            ),
            rtol=1e-6,
        )

    def test_each_token_has_its_own_and_padding_does_not_count(self):
        student, teacher = (cases.random(4, 5, 3, seed=s) for s in (1, 2))
        found = ConfidenceTemperature(4.0).at(
            student, teacher, LossContext(mask=cases.MASK)
        )
        w = 1 / (softmax(student).max(-1) + 1e-3)
        mean = w[cases.MASK == 1].mean()
        np.testing.assert_allclose(found, 4.0 + mean - w, rtol=1e-5)
        loss = SoftTargets(ConfidenceTemperature(4.0))
        values = cases.call(
            loss, {"logits": student}, {"logits": teacher}, mask=cases.MASK
        )
        assert values.shape == (4,) and (values > 0).all()

    def test_no_temperature_falls_below_the_lowest(self):
        found = ConfidenceTemperature(1.0, beta=100.0, lowest=0.25).at(
            STUDENT["logits"], TEACHER["logits"], LossContext()
        )
        assert float(np.min(found)) == 0.25
        assert float(np.max(found)) > 1.0

    def test_configuration(self):
        loss = SoftTargets(FocalTemperature(5.0, 0.5, 2.0, lowest=0.1))
        again = SoftTargets.from_config(loss.get_config())
        assert isinstance(again.temperature, FocalTemperature)
        assert vars(again.temperature) == vars(loss.temperature)

    @pytest.mark.parametrize(
        "options",
        [{"temperature": 0}, {"lowest": -1}, {"beta": -1}, {"gamma": 0}],
    )
    def test_refused_settings(self, options):
        with pytest.raises(ValueError, match="Received: (0|-1)"):
            FocalTemperature(**{"temperature": 4.0, **options})

    @pytest.mark.parametrize("make", [SigmoidSoftTargets, DecoupledKD])
    def test_losses_with_one_temperature_for_all(self, make):
        with pytest.raises(ValueError, match="one temperature for all examp"):
            make(FocalTemperature(4.0))


# === Shifted probabilities ===


class TestProbabilityShift:
    def test_by_hand(self):
        logits = np.array([[1.0, 3.0, 2.0], [4.0, 0.0, 2.0], [5.0, 1.0, 0.0]])
        np.testing.assert_array_equal(
            probability_shift(logits, [2, 0, 1]),
            [[1.0, 2.0, 3.0], [4.0, 0.0, 2.0], [1.0, 5.0, 0.0]],
        )

    def test_equal_logits_are_only_exchanged(self):
        np.testing.assert_array_equal(
            probability_shift([[3.0, 1.0, 3.0]], [2]), [[3.0, 1.0, 3.0]]
        )
        np.testing.assert_array_equal(
            probability_shift([[3.0, 1.0, 3.0]], [1]), [[1.0, 3.0, 3.0]]
        )

    @pytest.mark.parametrize("make", [SoftTargets, SoftCrossEntropy])
    def test_in_a_loss_only_rows_with_a_label_change(self, make):
        labels = np.array([4, 0, 1, 1])
        weight = np.array([1.0, 0.0, 1.0, 0.0])
        assert (TEACHER["logits"].argmax(-1) != labels)[[0, 2]].any()
        shifted = TEACHER["logits"].copy()
        shifted[[0, 2]] = probability_shift(shifted[[0, 2]], labels[[0, 2]])
        np.testing.assert_allclose(
            cases.call(
                make(2.0, probability_shift=True),
                STUDENT,
                TEACHER,
                labels=labels,
                label_weight=weight,
            ),
            cases.call(make(2.0), STUDENT, {"logits": shifted}),
            rtol=1e-6,
        )
        again = make.from_config(make(2.0, probability_shift=True).get_config())
        assert again.probability_shift is True
