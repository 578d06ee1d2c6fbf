"""Metrics of tokens over several batches: each token counts the same."""

import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.losses.token_accuracy import TokenAccuracy
from keras_kd.losses.token_cross_entropy import TokenCrossEntropy


@pytest.mark.parametrize("weighted", [False, True])
def test_batches_of_unlike_lengths(weighted):
    generator = np.random.default_rng(0)
    accuracy, cross_entropy = TokenAccuracy(), TokenCrossEntropy()
    right, values, weights = [], [], []
    for rows, length in ((4, 7), (3, 1), (2, 3)):
        labels = generator.integers(0, 5, (rows, length))
        labels[generator.random(labels.shape) < 0.4] = NO_TOKEN
        logits = generator.normal(size=(rows, length, 5)).astype("float32")
        weight = generator.integers(0, 3, rows) if weighted else np.ones(rows)
        for metric in (accuracy, cross_entropy):
            metric.update_state(labels, logits, weight if weighted else None)
        used = labels != NO_TOKEN
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        told = np.take_along_axis(log_p, np.maximum(labels, 0)[..., None], -1)
        values += list(-told[..., 0][used])
        right += list((logits.argmax(-1) == labels)[used])
        weights += list(np.broadcast_to(weight[:, None], used.shape)[used])
    for metric, numbers in ((accuracy, right), (cross_entropy, values)):
        expected = np.average(numbers, weights=weights)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
