"""Agreement and divergence of two models, by hand and against TensorFlow."""

import numpy as np
import pytest

from keras_kd.evaluation.agreements import mean_squared_difference
from keras_kd.evaluation.agreements import multi_label_agreement
from keras_kd.evaluation.agreements import multi_label_mean_kl
from keras_kd.evaluation.agreements import regression_agreement


def test_share_of_equal_decisions():
    teacher = np.array([[2.0, -1.0, 0.5], [-3.0, 1.0, -0.5]])
    student = np.array([[0.1, -9.0, -0.5], [-1.0, 4.0, 0.5]])
    assert multi_label_agreement(teacher, student) == pytest.approx(4 / 6)
    assert multi_label_agreement(teacher, teacher) == 1.0
    # A probability of 0.3 is a logit of -0.85: only 0.5 and -0.5 are above.
    assert multi_label_agreement(teacher, student, 0.3) == 1.0


def test_divergence_by_hand():
    p, q = (
        np.array([[0.5, 0.9], [0.2, 0.3]]),
        np.array([[0.25, 0.9], [0.4, 0.6]]),
    )
    by_hand = (
        0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75)
        + 0.2 * np.log(0.5) + 0.8 * np.log(0.8 / 0.6)
        + 0.3 * np.log(0.5) + 0.7 * np.log(0.7 / 0.4)
    ) / 2  # fmt: skip
    teacher, student = np.log(p / (1 - p)), np.log(q / (1 - q))
    assert multi_label_mean_kl(teacher, student) == pytest.approx(by_hand)
    assert multi_label_mean_kl(student, student) == 0.0
    far = multi_label_mean_kl([[800.0, -800.0]], [[-800.0, 1.0]])
    assert far == pytest.approx(800 + 800 + np.log1p(np.exp(1.0)) - 800)


def test_divergence_against_scipy():
    special = pytest.importorskip("scipy.special")
    generator = np.random.default_rng(0)
    teacher, student = 3 * generator.normal(size=(2, 40, 6))
    p, q = special.expit(teacher), special.expit(student)
    expected = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
    assert multi_label_mean_kl(teacher, student) == pytest.approx(
        expected.sum(-1).mean()
    )


def test_numbers():
    a, b = np.array([[1.0], [2.0], [6.0]]), np.array([1.0, 3.0, 2.0])
    assert regression_agreement(a, b) == pytest.approx(1 / np.sqrt(28))
    assert regression_agreement(a, -2 * a + 1) == pytest.approx(-1.0)
    assert regression_agreement(a, np.ones(3)) == 0.0
    assert mean_squared_difference(a, b) == pytest.approx(17 / 3)


def test_bad_pairs():
    with pytest.raises(ValueError, match="same shape"):
        multi_label_agreement(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        multi_label_mean_kl([[np.nan]], [[1.0]])
    with pytest.raises(ValueError, match="look like probabilities"):
        multi_label_mean_kl([[2.0, 3.0]], [[0.01, 0.99]])
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(3,\)"):
        regression_agreement([[1.0], [2.0]], [1.0, 2.0, 3.0])
