"""The table of metrics says of each score what it is called and its way."""

import numpy as np
import pytest

from keras_kd.evaluation.metrics import METRICS
from keras_kd.evaluation.metrics import check_primary_metric
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import metric_of
from keras_kd.evaluation.metrics import metric_title
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.multi_label_scores import multi_label_scores
from keras_kd.evaluation.regression_scores import regression_scores
from keras_kd.evaluation.scores import classification_scores


def test_titles_and_headings():
    assert metric_title("micro_f1") == "micro F1"
    assert heading("pearson") == "Pearson correlation (%)"
    assert heading("mse") == "MSE" and percent_factor("mse") == 1
    assert percent_factor("exact_match") == 100
    assert heading("some_metric") == "some metric"
    assert percent_factor("some_metric") == 1


def test_every_score_has_an_entry():
    scores = [
        classification_scores([[1.0, 2.0]], [1], "ab"),
        multi_label_scores([[1.0, 2.0]], [[1, 0]], "ab"),
        regression_scores([1.0], [1.0]),
    ]
    for one in scores:
        names = {
            name
            for name, value in one.items()
            if isinstance(value, float) and not name.startswith("majority")
        }
        assert names <= set(METRICS)


def test_directions_are_true():
    """Perfect answers score at least as well as nearly perfect ones."""
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    good = 4.0 * np.eye(2)[labels] - 1
    worse = good + generator.normal(size=good.shape) * 5
    pairs = [
        (classification_scores(x, labels, "ab") for x in (good, worse)),
        (multi_label_scores(x, np.eye(2)[labels], "ab") for x in (good, worse)),
        (regression_scores(x[:, 1], labels) for x in (good / 4, worse)),
    ]
    for better, poorer in pairs:
        for name in set(better) & set(METRICS) - {"ece"}:
            sign = 1 if metric_of(name).higher_is_better else -1
            assert sign * better[name] > sign * poorer[name], name


@pytest.mark.parametrize("name", ["mse", "rmse", "mae", "nll", "ece"])
def test_errors_are_no_primary_metric(name):
    with pytest.raises(ValueError, match="of which less is better"):
        check_primary_metric(name)


@pytest.mark.parametrize("name", ["accuracy", "micro_f1", "pearson", "new"])
def test_primary_metrics(name):
    check_primary_metric(name)
