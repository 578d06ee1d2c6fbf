"""Entity scores: those of seqeval, on thousands of predictions."""

import numpy as np
import pytest

from keras_kd.evaluation.entity_scores import entity_counts
from keras_kd.evaluation.entity_scores import entity_scores
from keras_kd.evaluation.entity_scores import f1_of_counts
from keras_kd.evaluation.significance import paired_bootstrap

NAMES = ["O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-MISC"]


def make_sentences(count, seed, change=0.3):
    """True tags, and predictions that differ from them here and there."""
    generator = np.random.default_rng(seed)
    gold, predicted = [], []
    for _ in range(count):
        tags = generator.choice(NAMES, generator.integers(1, 15))
        other = generator.choice(NAMES, len(tags))
        changed = generator.random(len(tags)) < change
        gold.append(tags.tolist())
        predicted.append(np.where(changed, other, tags).tolist())
    return gold, predicted


class TestEntityScores:
    def test_equal_to_seqeval_on_2000_sentences(self):
        seqeval = pytest.importorskip("seqeval.metrics")
        gold, predicted = make_sentences(2000, seed=1)
        ours = entity_scores(gold, predicted)
        assert ours["entity_f1"] == pytest.approx(
            seqeval.f1_score(gold, predicted), abs=1e-12
        )
        assert ours["entity_precision"] == pytest.approx(
            seqeval.precision_score(gold, predicted), abs=1e-12
        )
        assert ours["entity_recall"] == pytest.approx(
            seqeval.recall_score(gold, predicted), abs=1e-12
        )
        assert ours["word_accuracy"] == pytest.approx(
            seqeval.accuracy_score(gold, predicted), abs=1e-12
        )
        theirs = seqeval.classification_report(
            gold, predicted, output_dict=True
        )
        assert set(ours["per_class"]) == {"PER", "LOC", "MISC"}
        for kind, scores in ours["per_class"].items():
            for name, other in (
                ("precision", "precision"),
                ("recall", "recall"),
                ("f1", "f1-score"),
                ("support", "support"),
            ):
                assert scores[name] == pytest.approx(theirs[kind][other])

    def test_nothing_found_is_no_division_by_zero(self):
        scores = entity_scores([["B-PER", "O"]], [["O", "O"]])
        assert scores["entity_f1"] == scores["entity_precision"] == 0.0
        assert scores["word_accuracy"] == 0.5
        assert entity_scores([["O"]], [["O"]])["entity_f1"] == 0.0

    def test_other_numbers_of_words_are_refused(self):
        with pytest.raises(ValueError, match="Sentence 1 has 2 tags, and 1"):
            entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])


class TestCounts:
    def test_sums_give_the_same_score(self):
        gold, predicted = make_sentences(100, seed=2)
        counts = entity_counts(gold, predicted)
        assert counts.shape == (100, 3)
        assert f1_of_counts(counts.sum(axis=0)) == pytest.approx(
            entity_scores(gold, predicted)["entity_f1"]
        )

    def test_the_bootstrap_is_of_sentences(self):
        gold, worse = make_sentences(300, seed=3, change=0.4)
        _, better = make_sentences(300, seed=3, change=0.2)
        a, b = (entity_counts(gold, one) for one in (worse, better))
        interval = paired_bootstrap(a, b, metric="entity_f1", resamples=2000)
        scores = [entity_scores(gold, one)["entity_f1"] for one in
                  (worse, better)]  # fmt: skip
        assert interval.difference == pytest.approx(scores[1] - scores[0])
        assert interval.rows == 300
        assert 0 < interval.lower < interval.difference < interval.upper
        # As an independent bootstrap, sentence by sentence, has it.
        generator = np.random.default_rng(5)
        draws = []
        for _ in range(1000):
            rows = generator.integers(300, size=300)
            draws.append(
                f1_of_counts(b[rows].sum(0)) - f1_of_counts(a[rows].sum(0))
            )
        low, high = np.quantile(draws, [0.025, 0.975])
        assert interval.lower == pytest.approx(low, abs=0.01)
        assert interval.upper == pytest.approx(high, abs=0.01)

    def test_equal_models_differ_by_nothing(self):
        gold, predicted = make_sentences(50, seed=4)
        counts = entity_counts(gold, predicted)
        interval = paired_bootstrap(
            np.stack([counts] * 3), np.stack([counts] * 3), metric="entity_f1"
        )
        assert interval.difference == interval.lower == interval.upper == 0.0
