"""Multi-label scores by hand, against scikit-learn, and against a search."""

import itertools
import json

import numpy as np
import pytest

from keras_kd.evaluation.multi_label_scores import given_labels
from keras_kd.evaluation.multi_label_scores import multi_label_scores


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-np.asarray(logits, dtype="float64")))


def random_case(seed, rows=120, classes=5):
    """Class 0 is never true, class 1 never given, class 2 neither."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((rows, classes)) < 0.3).astype(int)
    logits = generator.normal(size=(rows, classes)) + 2.0 * labels - 1.0
    labels[:, [0, 2]] = 0
    logits[:, [1, 2]] = -np.abs(logits[:, [1, 2]])
    return logits, labels, [f"label {index}" for index in range(classes)]


def test_by_hand():
    # The second label of the first row is missed, that of the last is wrong.
    logits = [[3.0, -1.0], [2.0, -2.0], [-1.0, 1.0]]
    scores = multi_label_scores(logits, [[1, 1], [1, 0], [0, 0]], ["a", "b"])
    assert scores["micro_precision"] == scores["micro_recall"] == 2 / 3
    assert scores["micro_f1"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((1 + 0) / 2)
    assert scores["weighted_f1"] == pytest.approx((2 * 1 + 1 * 0) / 3)
    assert scores["subset_accuracy"] == pytest.approx(1 / 3)
    assert scores["hamming_accuracy"] == pytest.approx(4 / 6)
    # Of "b": one true row, one given, none of them the same, three rows.
    assert scores["mcc"] == pytest.approx((1 + (0 - 1) / (1 * 2)) / 2)
    assert scores["per_class"]["a"] == {
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "support": 2,
    }
    assert scores["rows"] == 3
    # Of what is true of each decision, and of what was decided.
    true = sigmoid([3, -1, 2, 2, 1, -1])
    assert scores["nll"] == pytest.approx(-np.log(true).mean())
    # Two decisions at 0.731 and 0.881 a bin each; 0.731 is right in 1 of 3.
    sure = sigmoid([1, 2, 3])
    by_hand = (3 * (sure[0] - 1 / 3) + 2 * (1 - sure[1]) + 1 - sure[2]) / 6
    assert scores["ece"] == pytest.approx(by_hand)
    # "a" for all: 2 hits of 3 given, 3 true.
    assert scores["majority_micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    json.dumps(scores)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_against_scikit_learn(seed, threshold):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels, names = random_case(seed)
    scores = multi_label_scores(logits, labels, names, threshold)
    given = (sigmoid(logits) > threshold).astype(int)
    assert given[:, 0].any() and labels[:, 1].any()
    if threshold == 0.5:
        assert not given[:, 1:3].any()
    expected = {
        "subset_accuracy": metrics.accuracy_score(labels, given),
        "hamming_accuracy": 1 - metrics.hamming_loss(labels, given),
        "mcc": np.mean(
            [
                metrics.matthews_corrcoef(labels[:, i], given[:, i])
                for i in range(len(names))
            ]
        ),
        "nll": np.mean(
            [
                metrics.log_loss(
                    labels[:, i], sigmoid(logits[:, i]), labels=[0, 1]
                )
                for i in range(len(names))
            ]
        ),
    }
    for average in ("micro", "macro"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, given, average=average
        )
        expected[f"{average}_precision"] = precision
        expected[f"{average}_recall"] = recall
        expected[f"{average}_f1"] = f1
    expected["weighted_f1"] = metrics.f1_score(
        labels, given, average="weighted"
    )
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value), name
    table = metrics.precision_recall_fscore_support(labels, given)
    for index, name in enumerate(names):
        values = list(scores["per_class"][name].values())
        np.testing.assert_allclose(values, [row[index] for row in table])


def test_nothing_true_and_nothing_given():
    scores = multi_label_scores(-np.ones((4, 2)), np.zeros((4, 2)), "ab")
    assert scores["micro_f1"] == scores["weighted_f1"] == scores["mcc"] == 0
    assert scores["subset_accuracy"] == scores["hamming_accuracy"] == 1
    assert scores["majority_micro_f1"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_best_constant_is_the_best_of_all_sets(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    share = generator.random(4)
    labels = (generator.random((30, 4)) < share).astype(int)
    scores = multi_label_scores(labels * 2.0 - 1, labels, "abcd")
    assert scores["micro_f1"] == 1.0
    best = max(
        metrics.f1_score(labels, np.tile(answer, (30, 1)), average="micro")
        for answer in itertools.product([0, 1], repeat=4)
        if any(answer)
    )
    assert scores["majority_micro_f1"] == pytest.approx(best)


def test_large_logits_stay_finite():
    scores = multi_label_scores([[900.0, -900.0]], [[0, 1]], "ab")
    assert scores["nll"] == pytest.approx(900.0)


def test_the_threshold_itself_is_no_yes():
    assert given_labels([0.0, 1e-6]).tolist() == [False, True]
    logit = np.log(0.3 / 0.7)
    assert given_labels([logit - 1e-6, logit + 1e-6], 0.3).tolist() == [0, 1]


@pytest.mark.parametrize(
    "logits, labels, names, message",
    [
        ([1.0, 2], [1, 0], "ab", r"\[rows, classes\].*\(2,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "ab", "at least one row"),
        ([[1.0, np.inf]], [[0, 1]], "ab", "infinity in 1 of 1 rows"),
        ([[0.01, 0.99]], [[0, 1]], "ab", "look like probabilities"),
        ([[1.0, -2]], [[0, 2]], "ab", "Received: 2 in row 0, class 1"),
        ([[1.0, -2]], [[0, -1]], "ab", "Received: -1 in row 0"),
        ([[1.0, -2]], [[0, np.nan]], "ab", "Received: nan in row 0"),
        ([[1.0, -2]], [0], "ab", r"labels of shape \(1,\)"),
        ([[1.0, -2]], [[0, 1]], "abc", "one class name a logit"),
    ],
)
def test_bad_input(logits, labels, names, message):
    with pytest.raises(ValueError, match=message):
        multi_label_scores(logits, labels, list(names))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1, float("nan")])
def test_bad_threshold(threshold):
    with pytest.raises(ValueError, match="`threshold` must be"):
        given_labels([0.0], threshold)


def test_an_untrained_model_is_no_probabilities():
    """Small positive logits are not yet what a sigmoid gives."""
    multi_label_scores([[0.01, 0.2], [0.1, 0.3]], [[0, 1], [1, 0]], "ab")
