"""Scores against hand-computed values, and against scikit-learn."""

import numpy as np
import pytest

from keras_kd.evaluation.scores import agreement
from keras_kd.evaluation.scores import classification_scores
from keras_kd.evaluation.scores import expected_calibration_error
from keras_kd.evaluation.scores import mean_kl


def random_case(classes, rows=400, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.0
    return logits, labels, [f"class {index}" for index in range(classes)]


def test_by_hand():
    # Probabilities of the first class: 3/4, 3/4, 1/4, 1/4.
    logits = np.log([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0], [1.0, 3.0]])
    scores = classification_scores(logits, [0, 1, 1, 1], ["no", "yes"])
    assert scores["confusion"] == [[1, 0], [1, 2]]
    assert scores["accuracy"] == scores["majority_accuracy"] == 0.75
    assert scores["rows"] == 4
    no, yes = scores["per_class"]["no"], scores["per_class"]["yes"]
    assert no == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    assert yes["precision"] == 1.0 and yes["recall"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores["weighted_f1"] == pytest.approx((2 / 3 + 3 * 4 / 5) / 4)
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN))
    assert scores["mcc"] == pytest.approx(2 / np.sqrt(2 * 3 * 1 * 2))
    assert scores["nll"] == pytest.approx(
        -(3 * np.log(0.75) + np.log(0.25)) / 4
    )
    # Accuracy and confidence are both 3/4: perfectly calibrated.
    assert scores["ece"] == pytest.approx(0.0)


def test_calibration_error_by_hand():
    # Bins (0.6, 0.8] and (0.8, 1] of five: 2 rows at 0.7 of which 1 is right,
    # 2 rows at 0.9 of which both are.
    first = np.array([0.7, 0.7, 0.9, 0.9])
    logits = np.log(np.stack([first, 1 - first], axis=1))
    error = expected_calibration_error(logits, [0, 1, 0, 0], bins=5)
    assert error == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_against_scikit_learn(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels, names = random_case(classes)
    scores = classification_scores(logits, labels, names)
    predictions = logits.argmax(-1)
    expected = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "macro_f1": metrics.f1_score(labels, predictions, average="macro"),
        "weighted_f1": metrics.f1_score(
            labels, predictions, average="weighted"
        ),
        "mcc": metrics.matthews_corrcoef(labels, predictions),
        "nll": metrics.log_loss(
            labels,
            np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
            labels=range(classes),
        ),
    }
    assert ("f1" in scores) == (classes == 2)
    if classes == 2:
        expected["f1"] = metrics.f1_score(labels, predictions)
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, predictions, average=average
        )
        expected[f"{average}_precision"] = precision
        expected[f"{average}_recall"] = recall
        expected[f"{average}_f1"] = f1
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value), name
    np.testing.assert_array_equal(
        scores["confusion"], metrics.confusion_matrix(labels, predictions)
    )
    table = metrics.precision_recall_fscore_support(labels, predictions)
    for index, name in enumerate(names):
        values = list(scores["per_class"][name].values())
        np.testing.assert_allclose(values, [row[index] for row in table])


def test_classes_that_never_occur():
    """Macro F1 skips them as scikit-learn does; nothing divides by zero."""
    metrics = pytest.importorskip("sklearn.metrics")
    logits = np.array([[2.0, 1, -3], [2, 1, -3], [1, 2, -3]])
    labels = [0, 1, 1]
    scores = classification_scores(logits, labels, ["a", "b", "c"])
    predictions = logits.argmax(-1)
    assert scores["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predictions, average="macro")
    )
    # "c" is only predicted: it occurs, with a recall of nothing at all.
    logits[0] = [0, 0, 1]
    scores = classification_scores(logits, labels, ["a", "b", "c"])
    predictions = logits.argmax(-1)
    for average in ("macro", "weighted"):
        table = metrics.precision_recall_fscore_support(
            labels, predictions, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), table):
            assert scores[f"{average}_{name}"] == pytest.approx(value)
    assert scores["per_class"]["c"]["f1"] == 0.0
    always_a = np.array([[2.0, 1.5], [2, 1], [2, 1]])
    assert classification_scores(always_a, [0, 1, 1], ["a", "b"])["mcc"] == 0


def test_large_logits_stay_finite():
    scores = classification_scores([[900.0, -900], [-900, 900]], [0, 0], "ab")
    assert scores["nll"] == pytest.approx(900.0)


def test_agreement_and_kl():
    teacher = np.log([[0.5, 0.5 - 1e-9], [0.9, 0.1]])
    student = np.log([[0.25, 0.75], [0.9, 0.1]])
    assert agreement(teacher, student) == 0.5
    by_hand = (0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75)) / 2
    # Raised by a constant, since logits of log-probabilities are as good.
    assert mean_kl(teacher + 3, student - 1) == pytest.approx(by_hand)
    assert mean_kl(student, student) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ([[0.2, 0.8], [0.7, 0.3]], [0, 1], "probabilities"),
        ([[0.2, np.nan], [7, 3]], [0, 1], "NaN or infinity in 1 of 2"),
        ([[1.0], [2.0]], [0, 1], "two logits"),
        (np.zeros((0, 2)), [], "at least one row"),
        ([[1.0, 2], [3, 1]], [0, 2], "from 0 to 1. Received: 2 in row 1"),
        ([[1.0, 2], [3, 1]], [0, -1], "Received: -1 in row 1"),
        ([[1.0, 2], [3, 1]], [0.0, 0.5], "Received: 0.5 in row 1"),
        ([[1.0, 2], [3, 1]], [0], "one label a row"),
    ],
)
def test_bad_input(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(logits, labels, ["a", "b"])


def test_bad_names_and_pairs():
    with pytest.raises(ValueError, match="one class name a logit"):
        classification_scores([[1.0, 2.0]], [0], ["a", "b", "c"])
    with pytest.raises(ValueError, match="same shape"):
        agreement(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="probabilities"):
        mean_kl(np.array([[3.0, 1.0]]), np.array([[0.4, 0.6]]))
