"""Intervals against closed forms and simulations; permuted label orders."""

import tracemalloc

import numpy as np
import pytest

from keras_kd.evaluation import resampling
from keras_kd.evaluation.significance import Interval
from keras_kd.evaluation.significance import label_order_check
from keras_kd.evaluation.significance import paired_bootstrap
from keras_kd.evaluation.significance import verdict


def right(generator, accuracy, shape):
    return generator.random(shape) < accuracy


def test_verdict():
    def interval(lower, upper, seeds=3):
        return Interval((lower + upper) / 2, lower, upper, seeds, 100, 1000)

    assert verdict(interval(0.01, 0.02)) == "HELPED"
    assert verdict(interval(-0.01, 0.02)) == "NO EFFECT"
    assert verdict(interval(0.0, 0.02)) == "NO EFFECT"
    assert verdict(interval(-0.02, -0.01)) == "HURT"
    entry = interval(0.01, 0.02, seeds=1).to_dict()
    assert entry["provisional"] is True and entry["verdict"] == "HELPED"
    assert interval(0.01, 0.02).to_dict()["provisional"] is False
    assert set(entry) == {
        "difference",
        "lower",
        "upper",
        "seeds",
        "rows",
        "resamples",
        "verdict",
        "provisional",
    }


def test_closed_form_of_one_seed():
    """For the mean of paired rows the interval is +-1.96 standard errors."""
    generator = np.random.default_rng(0)
    a = right(generator, 0.80, 4000)
    b = np.where(generator.random(4000) < 0.9, a, ~a)
    difference = b.astype(float) - a
    error = difference.std(ddof=1) / np.sqrt(4000)
    interval = paired_bootstrap(a, b, resamples=20_000)
    assert interval.difference == pytest.approx(difference.mean())
    assert interval.lower == pytest.approx(
        difference.mean() - 1.96 * error, abs=0.05 * error
    )
    assert interval.upper == pytest.approx(
        difference.mean() + 1.96 * error, abs=0.05 * error
    )
    assert (interval.seeds, interval.rows) == (1, 4000)


def test_closed_form_of_real_valued_rows():
    """As above where nearly every row has a value of its own (as QA's F1)."""
    generator = np.random.default_rng(0)
    a = generator.random(3000)
    b = a + generator.normal(0.01, 0.2, 3000)
    error = (b - a).std(ddof=1) / np.sqrt(3000)
    interval = paired_bootstrap(a, b, resamples=20_000)
    assert interval.upper - interval.lower == pytest.approx(
        2 * 1.96 * error, rel=0.04
    )


def test_closed_form_of_seeds():
    """Where the seeds alone vary, the interval is that of Welch's t-test."""
    stats = pytest.importorskip("scipy.stats")
    rows = np.zeros((3, 50))
    a = rows + np.array([[0.80], [0.81], [0.82]])
    b = rows + np.array([[0.84], [0.82], [0.87]])
    test = stats.ttest_ind(b[:, 0], a[:, 0], equal_var=False)
    expected = test.confidence_interval(0.95)
    # All rows agree on the difference, so that they add nothing but the two
    # rows that are added; their part goes with the number of rows.
    a, b = np.repeat(a, 2000, axis=1), np.repeat(b, 2000, axis=1)
    interval = paired_bootstrap(a, b, resamples=40_000)
    assert interval.lower == pytest.approx(expected.low, abs=3e-3)
    assert interval.upper == pytest.approx(expected.high, abs=3e-3)
    assert interval.seeds == 3 and not interval.provisional


def test_few_wins_are_no_proof():
    ones = np.ones(3)
    assert verdict(paired_bootstrap(0 * ones, ones)) == "NO EFFECT"
    a = np.zeros(100)
    b = a.copy()
    b[:4] = 1  # The exact sign test gives p = 0.125.
    assert verdict(paired_bootstrap(a, b)) == "NO EFFECT"
    b[:12] = 1  # ... and here p = 0.0005.
    assert verdict(paired_bootstrap(a, b)) == "HELPED"


def test_same_predictions():
    a = np.array([1.0, 0, 1, 1])
    interval = paired_bootstrap(a, a)
    assert (interval.lower, interval.difference, interval.upper) == (0, 0, 0)
    assert verdict(interval) == "NO EFFECT"


@pytest.mark.parametrize("seeds", [1, 3])
def test_planted_difference(seeds):
    generator = np.random.default_rng(seeds)
    a = right(generator, 0.80, (seeds, 2000))
    b = right(generator, 0.86, (seeds, 2000))
    assert verdict(paired_bootstrap(a, b, resamples=2000)) == "HELPED"
    assert verdict(paired_bootstrap(b, a, resamples=2000)) == "HURT"


@pytest.mark.parametrize(
    "seeds, spread_of_seeds",
    [
        (1, 0.0),
        (3, 0.0),
        (3, 0.015),
        (2, 0.015),
        (2, np.array([[[0.0]], [[0.1]]])),
    ],
)
def test_no_difference_is_no_effect(seeds, spread_of_seeds):
    """Two arms of the same accuracy, whose seeds may differ from each other.

    If seeds were resampled like rows, 11% of the third case's simulations and
    19% of the fourth's would find an effect. With one variance for both arms
    it would be 13% of the last case's, where the seeds of one alone differ.
    """
    generator = np.random.default_rng(3)
    simulations, rows = 400, 1000
    found = 0
    for _ in range(simulations):
        easy = generator.random(rows)  # Both arms find the same rows hard.
        accuracy = 0.8 + spread_of_seeds * generator.normal(size=(2, seeds, 1))
        noise = generator.random((2, seeds, rows))
        a, b = 0.8 * easy + 0.2 * noise < 0.8 * accuracy + 0.1
        found += verdict(paired_bootstrap(a, b, resamples=400)) != "NO EFFECT"
    assert found / simulations < 0.085


def test_named_metrics_against_functions():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=150)
    wrong = generator.integers(3, size=(2, 3, 150))
    a = np.where(generator.random((3, 150)) < 0.6, labels, wrong[0])
    b = np.where(generator.random((3, 150)) < 0.8, labels, wrong[1])

    def macro_f1(predictions, labels):
        return metrics.f1_score(labels, predictions, average="macro")

    named = paired_bootstrap(a, b, "macro_f1", labels, resamples=4000)
    function = paired_bootstrap(a, b, macro_f1, labels, resamples=120)
    expected = np.mean([macro_f1(run, labels) for run in b]) - np.mean(
        [macro_f1(run, labels) for run in a]
    )
    assert named.difference == pytest.approx(expected)
    assert function.difference == pytest.approx(expected)
    assert named.lower == pytest.approx(function.lower, abs=0.06)
    assert named.upper == pytest.approx(function.upper, abs=0.06)


def test_accuracy_as_metric_is_the_mean_of_right_rows():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=2000)
    a = np.where(right(generator, 0.8, (1, 2000)), labels, 1 - labels)
    b = np.where(right(generator, 0.9, (1, 2000)), labels, 1 - labels)
    metric = paired_bootstrap(a, b, "accuracy", labels)
    mean = paired_bootstrap(a == labels, b == labels)
    assert metric.difference == pytest.approx(mean.difference)
    assert metric.lower == pytest.approx(mean.lower, abs=1e-3)


def numbers(generator, seeds, rows, noise, decimals=8):
    """Labels, and predictions that miss them by two amounts of noise."""
    labels = generator.normal(size=rows)
    a, b = (
        labels + amount * generator.normal(size=(seeds, rows))
        for amount in noise
    )
    return labels.round(decimals), a.round(decimals), b.round(decimals)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("decimals", [8, 0])
def test_correlations_of_resamples_against_scipy(metric, decimals, monkeypatch):
    """Every resample is scored by SciPy, on the very rows that are drawn.

    Without decimals most values are ties, and a resample now and then holds
    one value alone, which SciPy has no correlation for.
    """
    stats = pytest.importorskip("scipy.stats")
    rows, resamples = 12, 60
    labels, a, b = numbers(
        np.random.default_rng(0), 2, rows, (1.0, 0.3), decimals
    )
    if not decimals:
        a[0] = [1] + [0] * (rows - 1)
    correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}

    constant = []

    def score(runs, drawn):
        varies = [np.ptp(run[drawn]) > 0 for run in runs]
        constant.extend(np.logical_not(varies))
        return [
            correlate[metric](run[drawn], labels[drawn]).statistic if ok else 0
            for run, ok in zip(runs, varies, strict=True)
        ]

    expected = [
        np.mean(score(b, drawn)) - np.mean(score(a, drawn))
        for drawn in np.random.default_rng(7).integers(
            rows, size=(resamples, rows)
        )
    ]
    assert any(constant) == (not decimals)
    # In several groups, to see that they are put together.
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 8 * 7 * rows)
    a_scores, b_scores, draws = resampling.correlation_draws(
        a, b, labels, metric, resamples, np.random.default_rng(7)
    )
    np.testing.assert_allclose(draws, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(a_scores, score(a, np.arange(rows)))
    np.testing.assert_allclose(b_scores, score(b, np.arange(rows)))


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_verdicts_on_correlations(metric):
    generator = np.random.default_rng(0)
    labels, a, b = numbers(generator, 3, 800, (1.0, 0.8))
    interval = paired_bootstrap(a, b, metric, labels, resamples=1000)
    assert verdict(interval) == "HELPED" and interval.rows == 800
    back = paired_bootstrap(b, a, metric, labels, resamples=1000)
    assert verdict(back) == "HURT"
    same = paired_bootstrap(a[:, ::-1], b[:, ::-1], metric, labels, 1000)
    assert verdict(same) == "NO EFFECT"


def test_interval_of_a_correlation():
    """Of one arm against a constant one, whose correlation is 0: Fisher's."""
    generator = np.random.default_rng(1)
    labels, _, b = numbers(generator, 1, 2000, (1.0, 1.0))
    interval = paired_bootstrap(0 * b, b, "pearson", labels)
    r = np.corrcoef(b[0], labels)[0, 1]
    expected = np.tanh(np.arctanh(r) + np.array([-1, 1]) * 1.96 / np.sqrt(1997))
    assert interval.difference == pytest.approx(r)
    assert interval.lower == pytest.approx(expected[0], abs=3e-3)
    assert interval.upper == pytest.approx(expected[1], abs=3e-3)


def label_sets(generator, rows=150, classes=4, wrong=(0.2, 0.1), seeds=3):
    """Label 0 is rare, and label 1 never true and never given."""
    share = np.array([0.03, 0.0, 0.4, 0.6])[:classes]
    labels = generator.random((rows, classes)) < share
    runs = [
        labels ^ (generator.random((seeds, rows, classes)) < amount)
        for amount in wrong
    ]
    for run in runs:
        run[..., 1] = False
    return labels, *runs


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_multi_label_resamples_against_scikit_learn(average, monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    rows, resamples = 25, 40
    labels, a, b = label_sets(np.random.default_rng(0), rows)

    def score(runs, drawn):
        return [
            metrics.f1_score(labels[drawn], run[drawn], average=average)
            for run in runs
        ]

    expected = [
        np.mean(score(b, drawn)) - np.mean(score(a, drawn))
        for drawn in np.random.default_rng(7).integers(
            rows, size=(resamples, rows)
        )
    ]
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 7 * rows)
    a_scores, b_scores, draws = resampling.label_count_draws(
        a, b, labels, f"{average}_f1", resamples, np.random.default_rng(7)
    )
    np.testing.assert_allclose(draws, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(a_scores, score(a, np.arange(rows)))
    np.testing.assert_allclose(b_scores, score(b, np.arange(rows)))


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "subset_accuracy"])
def test_verdicts_on_label_sets(metric):
    labels, a, b = label_sets(np.random.default_rng(0), 800, wrong=(0.2, 0.1))
    interval = paired_bootstrap(a, b, metric, labels, resamples=1000)
    assert verdict(interval) == "HELPED"
    assert (interval.seeds, interval.rows) == (3, 800)
    back = paired_bootstrap(b, a, metric, labels.astype(int), resamples=1000)
    assert verdict(back) == "HURT"
    # One run without the axis of the seeds.
    one = paired_bootstrap(a[0], b[0], metric, labels, resamples=100)
    assert one.provisional and one.rows == 800


def test_subset_accuracy_is_the_mean_of_rows_that_are_all_right():
    labels, a, b = label_sets(np.random.default_rng(0))
    named = paired_bootstrap(a, b, "subset_accuracy", labels)
    rows = [(run == labels).all(-1) for run in (a, b)]
    assert named == paired_bootstrap(*rows)


def test_a_function_of_label_sets():
    labels, a, b = label_sets(np.random.default_rng(0), seeds=1)

    def right(predictions, labels):
        return (predictions == labels).mean()

    function = paired_bootstrap(a, b, right, labels, resamples=200)
    named = paired_bootstrap(a, b, "hamming_accuracy", labels)
    assert function.difference == pytest.approx(named.difference)
    assert function.lower == pytest.approx(named.lower, abs=0.01)


def test_same_seed_gives_the_same_interval():
    generator = np.random.default_rng(0)
    a, b = right(generator, 0.8, (2, 3, 500))
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b)
    assert paired_bootstrap(a, b) != paired_bootstrap(a, b, seed=1)


@pytest.mark.parametrize("metric", ["pearson", "spearman", "macro_f1"])
def test_memory_does_not_grow_with_the_resamples(metric):
    generator = np.random.default_rng(0)
    labels, a, b = numbers(generator, 2, 5000, (1.0, 0.8))
    if metric == "macro_f1":
        labels, a, b = label_sets(generator, 5000)
    peaks = []
    for resamples in (1000, 2000):
        tracemalloc.start()
        try:
            paired_bootstrap(a, b, metric, labels, resamples)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(peaks) < 150e6
    assert peaks[1] < 1.05 * peaks[0]


@pytest.mark.parametrize("kind", ["right", "f1", "macro_f1"])
def test_memory_at_full_size(kind):
    """10,000 resamples of the 25,000 test reviews of IMDB, three seeds."""
    generator = np.random.default_rng(0)
    metric, labels = None, None
    a, b = right(generator, 0.88, (2, 3, 25_000))
    if kind == "f1":
        a, b = generator.random((2, 3, 25_000))
    if kind == "macro_f1":
        metric, labels = kind, np.arange(25_000) % 2
        a, b = a ^ labels, b ^ labels
    tracemalloc.start()
    try:
        paired_bootstrap(a, b, metric, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((2, 3)), np.zeros((2, 4))), r"\(2, 3\) and \(2, 4\)"),
        ((np.zeros((2, 0)), np.zeros((2, 0))), "same shape"),
        (([0.0, np.nan], [0.0, 1.0]), "NaN or infinity"),
        (([0, 1], [0, 1], "f2", [0, 1]), "Received: 'f2'"),
        (([0, 1], [0, 1], "mcc"), "needs `labels`"),
        (([0, 1], [0, 1], "mcc", [0]), r"labels of shape \(1,\)"),
        (([0.0, 0.5], [0, 1], "mcc", [0, 1]), "class numbers"),
        (([0, -1], [0, 1], "mcc", [0, 1]), "class numbers"),
        (([0, 1], [0, 1], None, None, 0), "`resamples` must be positive"),
        (([0, 1], [0, 1], "pearson"), "needs `labels`"),
        (([0, 1], [0, 1], "pearson", [0, np.nan]), "Labels must be finite"),
        (([0, 1], [0, 1], "micro_f1", [0, 1]), "'accuracy'.*'micro_f1'"),
        (([[0, 1]], [[0, 1]], "accuracy", [[0, 1]]), "'micro_f1'.*'accuracy'"),
        (([[0, 2]], [[0, 1]], "micro_f1", [[0, 1]]), "of 0 and 1"),
        (([[0.2, 1]], [[0, 1]], "subset_accuracy", [[0, 1]]), "of 0 and 1"),
        (
            (np.zeros((2, 3)), np.zeros((2, 4)), "micro_f1", np.zeros((2, 3))),
            "rows, classes.*Received: [(]1, 2, 3[)] and [(]1, 2, 4[)]",
        ),
        (
            (np.zeros((2, 3)), np.zeros((2, 3)), "micro_f1", np.zeros((2, 2))),
            "labels of shape [(]2, 2[)]",
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(*arguments)


def test_other_scores_of_rows():
    """Squared errors of numbers, and shares of a row's labels."""
    generator = np.random.default_rng(0)
    labels, a, b = numbers(generator, 1, 2000, (0.5, 0.5))
    errors, others = -((a[0] - labels) ** 2), -((b[0] - labels) ** 2)
    assert verdict(paired_bootstrap(errors, others)) == "NO EFFECT"
    shifted = -((a[0] + 0.2 - labels) ** 2)
    interval = paired_bootstrap(errors, shifted)
    assert verdict(interval) == "HURT"
    assert interval.difference == pytest.approx(-0.04, abs=0.01)
    assert verdict(paired_bootstrap(shifted, errors)) == "HELPED"

    truth, good, poor = label_sets(generator, 2000, wrong=(0.1, 0.2), seeds=1)
    interval = paired_bootstrap(
        *((run[0] == truth).mean(-1) for run in (good, poor))
    )
    assert verdict(interval) == "HURT"
    assert interval.difference == pytest.approx(-0.075, abs=0.02)


def predictions_as_logits(predictions, classes, generator):
    logits = generator.normal(scale=0.1, size=(len(predictions), classes))
    logits[np.arange(len(predictions)), predictions] += 3.0
    return logits


def teacher_logits(labels, accuracy, classes, generator):
    """Logits of a teacher that guesses where it does not know."""
    known = generator.random(len(labels)) < accuracy
    guess = generator.integers(classes, size=len(labels))
    return predictions_as_logits(
        np.where(known, labels, guess), classes, generator
    )


def test_swapped_order():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=200)
    logits = teacher_logits(labels, 0.7, 2, generator)
    assert label_order_check(logits, labels) is None
    assert label_order_check(logits[:, ::-1], labels) == [1, 0]


def test_permutation_of_three_classes():
    """GLUE's MNLI and many checkpoints of it order the classes differently."""
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=300)
    logits = teacher_logits(labels, 0.6, 3, generator)
    order = [2, 0, 1]
    permuted = logits[:, order]
    assert label_order_check(permuted, labels) == order
    predictions = np.asarray(order)[permuted.argmax(-1)]
    np.testing.assert_array_equal(predictions, logits.argmax(-1))


def test_permutation_of_many_classes():
    generator = np.random.default_rng(0)
    labels = generator.integers(77, size=3080)
    order = generator.permutation(77)
    logits = teacher_logits(labels, 0.8, 77, generator)[:, order]
    assert label_order_check(logits, labels) == order.tolist()


def test_weak_but_right_teacher():
    for seed in range(100):
        generator = np.random.default_rng(seed)
        labels = generator.integers(3, size=200)
        logits = teacher_logits(labels, 0.1, 3, generator)
        assert label_order_check(logits, labels) is None


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_chance_level_logits(classes):
    """The best permutation of noise beats the identity, but proves nothing."""
    found = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        labels = generator.integers(classes, size=300)
        logits = generator.normal(size=(300, classes))
        found += label_order_check(logits, labels) is not None
    assert found <= 4


def test_wrong_class_frequencies_are_no_permutation():
    """A teacher that knows nothing and prefers the rare class is no swap."""
    generator = np.random.default_rng(0)
    labels = (generator.random(1000) < 0.3).astype(int)
    always_rare = np.tile([-1.0, 1.0], (1000, 1))
    assert label_order_check(always_rare, labels) is None
    mostly_rare = (generator.random(1000) < 0.8).astype(int)
    logits = predictions_as_logits(mostly_rare, 2, generator)
    assert label_order_check(logits, labels) is None


def test_few_rows_prove_no_permutation():
    generator = np.random.default_rng(0)
    labels = np.array([0, 1, 1, 0, 1])
    logits = predictions_as_logits(1 - labels, 2, generator)
    assert label_order_check(logits, labels) is None
