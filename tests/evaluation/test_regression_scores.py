"""Scores of numbers by hand, and against SciPy and scikit-learn."""

import json
import warnings

import numpy as np
import pytest

from keras_kd.evaluation.regression_scores import average_ranks
from keras_kd.evaluation.regression_scores import prediction_sample
from keras_kd.evaluation.regression_scores import regression_scores


def test_by_hand():
    scores = regression_scores([1.0, 2.0, 6.0], [1, 3, 2])
    # Deviations (-2, -1, 3) and (-1, 1, 0).
    assert scores["pearson"] == pytest.approx(1 / np.sqrt(14 * 2))
    # Ranks (1, 2, 3) and (1, 3, 2).
    assert scores["spearman"] == pytest.approx(0.5)
    assert scores["mse"] == pytest.approx((0 + 1 + 16) / 3)
    assert scores["rmse"] == pytest.approx(np.sqrt(17 / 3))
    assert scores["mae"] == pytest.approx(5 / 3)
    assert scores["r2"] == pytest.approx(1 - 17 / 2)
    assert scores["rows"] == 3
    json.dumps(scores)


@pytest.mark.parametrize("decimals", [8, 0])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
def test_against_scipy_and_scikit_learn(decimals, scale):
    """With no decimals most values are ties."""
    stats = pytest.importorskip("scipy.stats")
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    labels = generator.uniform(0, 5, 200).round(decimals)
    predictions = (labels + generator.normal(size=200)).round(decimals)
    labels, predictions = scale * labels, scale * predictions
    scores = regression_scores(predictions[:, np.newaxis], labels)
    expected = {
        "pearson": stats.pearsonr(predictions, labels).statistic,
        "spearman": stats.spearmanr(predictions, labels).statistic,
        "mse": metrics.mean_squared_error(labels, predictions),
        "rmse": metrics.root_mean_squared_error(labels, predictions),
        "mae": metrics.mean_absolute_error(labels, predictions),
        "r2": metrics.r2_score(labels, predictions),
    }
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-9, abs=0), name
    np.testing.assert_array_equal(
        average_ranks(predictions), stats.rankdata(predictions)
    )


@pytest.mark.parametrize(
    "predictions, labels",
    [
        ([2.0, 2.0, 2.0], [1.0, 2.0, 4.0]),
        ([0.1, 0.1, 0.1], [1.0, 2.0, 4.0]),
        ([1.0, 2.0, 4.0], [3.0, 3.0, 3.0]),
        ([3.0, 3.0], [3.0, 3.0]),
        ([3.0], [2.0]),
    ],
)
def test_what_is_constant_correlates_with_nothing(predictions, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = regression_scores(predictions, labels)
    assert scores["pearson"] == scores["spearman"] == 0.0
    if len(labels) > 1:
        metrics = pytest.importorskip("sklearn.metrics")
        expected = metrics.r2_score(labels, predictions)
        assert scores["r2"] == pytest.approx(expected)


def test_float32_predictions_of_a_model():
    predictions = np.array([[1.0], [2.0], [3.0]], "float32")
    assert regression_scores(predictions, [1, 2, 3])["r2"] == 1.0


@pytest.mark.parametrize(
    "predictions, labels, message",
    [
        ([[1.0, 2.0]], [1.0], r"Predictions.*\(1, 2\).*one output"),
        ([], [], "at least one"),
        ([1.0, np.nan], [1.0, 2.0], "Predictions must be finite.*row 1"),
        ([1.0, 2.0], [np.inf, 2.0], "Labels must be finite.*row 0"),
        ([1.0, 2.0], [1.0], r"one label a prediction.*\(2,\) and \(1,\)"),
    ],
)
def test_bad_input(predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        regression_scores(predictions, labels)


def test_the_sample_of_a_plot_is_small_and_pairs_rows():
    labels = np.arange(10_001.0)
    sample = prediction_sample(labels, {"alone": labels[:, None] * 2}, rows=5)
    assert sample["labels"] == [0.0, 2500.0, 5000.0, 7500.0, 10_000.0]
    assert sample["arms"] == {"alone": [2 * x for x in sample["labels"]]}
    few = prediction_sample([1.0, 2.0], {"alone": [0.123456789, 4]})
    assert few == {"labels": [1.0, 2.0], "arms": {"alone": [0.12346, 4.0]}}
    with pytest.raises(ValueError, match="one label a prediction"):
        prediction_sample([1.0, 2.0], {"alone": [1.0]})
