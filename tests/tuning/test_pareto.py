"""Trials that no other beats."""

import itertools

import numpy as np

from keras_kd.tuning.pareto import pareto_front


def trial(score, latency=0.0, size=0):
    return {"score": score, "latency": latency, "size": size}


def test_by_hand():
    best, small, fast = trial(0.9, 5, 50), trial(0.8, 6, 10), trial(0.7, 1, 60)
    beaten = trial(0.8, 6, 11)
    trials = [beaten, fast, small, best]
    objectives = ["score", "latency", "size"]
    assert pareto_front(trials, objectives) == [best, small, fast]
    assert pareto_front(trials, ["score"]) == [best]
    assert pareto_front(trials, ["score", "size"]) == [best, small]


def test_equal_ones_are_all_there():
    assert len(pareto_front([trial(0.5), trial(0.5)], ["score", "size"])) == 2
    assert pareto_front([], ["score"]) == []


def test_against_the_definition():
    generator = np.random.default_rng(0)
    trials = [
        trial(*map(float, values))
        for values in generator.integers(0, 5, (60, 3))
    ]
    front = pareto_front(trials, ["score", "latency", "size"])

    def beats(a, b):
        gains = [
            a["score"] - b["score"],
            b["latency"] - a["latency"],
            b["size"] - a["size"],
        ]
        return min(gains) >= 0 and max(gains) > 0

    assert 0 < len(front) < len(trials)
    assert not any(beats(a, b) for a, b in itertools.permutations(front, 2))
    for other in trials:
        if other not in front:
            assert any(beats(one, other) for one in front)
