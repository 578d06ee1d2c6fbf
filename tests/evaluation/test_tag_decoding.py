"""Viterbi against all sequences, one by one."""

import itertools

import numpy as np
import pytest

from keras_kd.evaluation.tag_decoding import best_sequences
from keras_kd.tag_schemes import allowed_transitions

TAGS = ["O", "B-A", "I-A", "B-B", "I-B"]
ALLOWED = np.array(allowed_transitions(TAGS))


def best_by_hand(scores, allowed):
    """The best of all sequences of one sentence."""
    words, tags = scores.shape[0], scores.shape[-1]
    best, found = -np.inf, None
    for sequence in itertools.product(range(tags), repeat=words):
        before, total = 0, 0.0
        for word, tag in enumerate(sequence):
            if not allowed[before, tag]:
                total = -np.inf
                break
            step = scores[word] if scores.ndim == 2 else scores[word, before]
            total += step[tag]
            before = tag + 1
        if total > best:
            best, found = total, sequence
    return list(found)


@pytest.mark.parametrize("shape", [(5,), (6, 5)])
@pytest.mark.parametrize("constrained", [True, False])
def test_best_of_all_sequences(shape, constrained):
    generator = np.random.default_rng(0)
    lengths = [3, 1, 5, 4, 2, 5]
    scores = generator.normal(size=(sum(lengths), *shape))
    allowed = ALLOWED if constrained else np.ones((6, 5), bool)
    expected = []
    for start, length in zip(np.cumsum([0, *lengths]), lengths):
        expected += best_by_hand(scores[start : start + length], allowed)
    found = best_sequences(scores, lengths, allowed if constrained else None)
    assert found.tolist() == expected


def test_what_is_decoded_is_always_valid():
    generator = np.random.default_rng(1)
    lengths = generator.integers(0, 12, 200)
    tags = best_sequences(
        generator.normal(size=(lengths.sum(), 5), scale=5.0), lengths, ALLOWED
    )
    for start, length in zip(np.cumsum([0, *lengths]), lengths):
        before = 0
        for tag in tags[start : start + length]:
            assert ALLOWED[before, tag]
            before = tag + 1


def test_no_sentence_and_no_word():
    assert best_sequences(np.zeros((0, 3)), []).tolist() == []
    assert best_sequences(np.zeros((0, 3)), [0, 0]).tolist() == []
