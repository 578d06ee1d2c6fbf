"""Whether a difference between two models is more than chance."""

import dataclasses

import numpy as np

from keras_kd.evaluation.class_counts import COUNT_METRICS
from keras_kd.evaluation.class_counts import LABEL_COUNT_METRICS
from keras_kd.evaluation.resampling import CORRELATIONS
from keras_kd.evaluation.resampling import SUMMED_METRICS
from keras_kd.evaluation.resampling import correlation_draws
from keras_kd.evaluation.resampling import count_draws
from keras_kd.evaluation.resampling import function_draws
from keras_kd.evaluation.resampling import label_count_draws
from keras_kd.evaluation.resampling import mean_draws
from keras_kd.evaluation.resampling import summed_draws
from keras_kd.evaluation.scores import check_labels
from keras_kd.evaluation.scores import check_logits

HELPED = "HELPED"
NO_EFFECT = "NO EFFECT"
HURT = "HURT"

# The share of rows with all labels right: a mean of per-row scores.
SUBSET_ACCURACY = "subset_accuracy"


@dataclasses.dataclass(frozen=True)
class Interval:
    """The difference of two models' scores with its 95% interval.

    Attributes:
        difference: Mean score of `b` minus mean score of `a`.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        seeds: Training runs of each of the two.
        rows: Test rows.
        resamples: Resamples that the interval comes from.
    """

    difference: float
    lower: float
    upper: float
    seeds: int
    rows: int
    resamples: int

    @property
    def provisional(self) -> bool:
        """One training run says nothing about another one."""
        return self.seeds == 1

    def to_dict(self) -> dict:
        """The interval, its verdict and whether that is provisional."""
        return {
            **dataclasses.asdict(self),
            "verdict": verdict(self),
            "provisional": self.provisional,
        }


def verdict(interval: Interval) -> str:
    """Says `"HELPED"`, `"HURT"`, or `"NO EFFECT"` where 0 is not excluded.

    Args:
        interval: From `paired_bootstrap`, of scores where higher is better.
    """
    if interval.lower > 0:
        return HELPED
    return HURT if interval.upper < 0 else NO_EFFECT


def paired_bootstrap(
    a: np.ndarray,
    b: np.ndarray,
    metric=None,
    labels: np.ndarray | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """How much better `b` scores than `a`, over rows and training seeds.

    Rows are resampled with replacement, the same ones for both models and all
    of their seeds. Seeds are too few to be resampled: three pairs of runs that
    all happen to point the same way, as they do in one case of four, would
    exclude zero. Their part is drawn from Student's t instead. With the scores
    $a_s$ and $b_s$ of $S$ seeds, on resample $r$:

    $$\\Delta_r = \\bar b_r - \\bar a_r + t_r \\sqrt{\\frac{v_a + v_b}{S}},
      \\qquad t_r \\sim t_\\nu,
      \\qquad \\nu = (S-1) \\frac{(v_a + v_b)^2}{v_a^2 + v_b^2}$$

    where $v$ is the variance of a model's scores over its seeds. $\\nu$ is
    Welch's: students that are taught may vary less than those that are not.
    The interval holds the middle 95% of $\\Delta_r$. Two seeds give little
    certainty: use three or more. With a single seed the interval covers rows
    alone, and is provisional.

    Per-row scores get two more rows, one in favour of each model, with the
    largest difference that occurs. They carry no weight among hundreds of
    rows, and keep three wins in three rows from counting as proof.

    | task | `metric` | predictions | labels |
    |---|---|---|---|
    | any | `None` | scores, `[seeds, rows]` | |
    | classes | of `COUNT_METRICS` | numbers, `[seeds, rows]` | `[rows]` |
    | label sets | of `LABEL_COUNT_METRICS`, or "subset_accuracy" | 0 and 1, \
`[seeds, rows, classes]` | `[rows, classes]` |
    | regression | "pearson", "spearman" | `[seeds, rows]` | `[rows]` |
    | entities | "entity_f1" | of `entity_counts`, `[seeds, rows, 3]` | |

    "spearman" ranks each resample anew, where a row that was drawn twice is
    two equal values with one rank. Ranks of all rows, drawn like values, would
    not be the ranks of what was drawn.

    Args:
        a: Predictions of the first model, see the table; without a `metric`
            its per-row scores: whether a row is right, its F1, or its negative
            squared error. The axis of the seeds may be left out.
        b: The same of the second model, on the same rows.
        metric: `None` for the mean of per-row scores; a name, such as
            "accuracy", "macro_f1" or "mcc"; or a function `(predictions,
            labels) -> float` of a sample of rows, which is called `2 * seeds *
            resamples` times. Higher must be better. What "macro_f1" means is
            told from the shape of the labels.
        labels: True labels; needed with a `metric`.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: Shapes that do not pair, values that are not finite, an
            unknown metric, or a metric without labels.

    Example:

    >>> alone = np.array([[1, 0, 0, 1] * 50])
    >>> distilled = np.array([[1, 1, 0, 1] * 50])
    >>> interval = paired_bootstrap(alone, distilled)
    >>> interval.difference, verdict(interval), interval.provisional
    (0.25, 'HELPED', True)

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
    chapter 16; Welch 1947, "The Generalization of 'Student's' Problem when
    Several Different Population Variances Are Involved", for the seeds.
    """
    summed = metric in SUMMED_METRICS
    many_labels = metric is not None and np.ndim(labels) == 2
    a, b = _check_runs(a, b, many_labels or summed)
    if resamples < 1:
        raise ValueError(
            f"`resamples` must be positive. Received: {resamples}."
        )
    generator = np.random.default_rng(seed)
    if metric is not None and not summed:
        labels = _check_metric(metric, labels, a, b)
    if metric == SUBSET_ACCURACY:
        a, b = (a == labels).all(axis=-1), (b == labels).all(axis=-1)
        metric = None
    if metric is None:
        a, b = a.astype("float64"), b.astype("float64")
        a_scores, b_scores = a.mean(axis=1), b.mean(axis=1)
        difference = (b - a).mean(axis=0)
        draws = mean_draws(difference, resamples, generator)
    else:
        if callable(metric):
            draw = function_draws
        elif summed:
            draw = summed_draws
        elif metric in CORRELATIONS:
            draw = correlation_draws
        else:
            draw = label_count_draws if many_labels else count_draws
        a_scores, b_scores, draws = draw(
            a, b, labels, metric, resamples, generator
        )
    draws = draws + _seed_draws(a_scores, b_scores, resamples, generator)
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return Interval(
        difference=float(b_scores.mean() - a_scores.mean()),
        lower=float(lower),
        upper=float(upper),
        seeds=a.shape[0],
        rows=a.shape[1],
        resamples=resamples,
    )


def label_order_check(
    logits: np.ndarray, labels: np.ndarray, significance: float = 0.01
) -> list[int] | None:
    """Finds out whether the classes of a model stand in another order.

    The permutation that scores best (Hungarian method) is reported if it is
    right on more rows than the order as it is (exact McNemar test), and agrees
    with the labels beyond what the two sets of class frequencies give anyway
    (Cohen's kappa above zero), so that a model that always names one class is
    not taken for a permuted one. Both levels are divided by the number of
    permutations that were there to choose from.

    Args:
        logits: Logits of the model, `[rows, classes]`.
        labels: True class numbers, `[rows]`.
        significance: Level of the tests.

    Returns:
        `None` if the order stands. Else a list: output `i` of the model means
        class `order[i]`. `np.asarray(order)[logits.argmax(-1)]` are the
        predictions in the order of the labels.

    Raises:
        ValueError: As `classification_scores`.

    Reference:
        Fleiss, Cohen and Everitt (1969), Large sample standard errors of kappa
        and weighted kappa, for the variance of kappa under chance.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.special import gammaln
    from scipy.stats import binom
    from scipy.stats import norm

    logits = check_logits(logits)
    labels = check_labels(labels, logits)
    rows, classes = logits.shape
    predictions = logits.argmax(axis=-1)
    table = np.zeros((classes, classes))
    np.add.at(table, (predictions, labels), 1)
    _, order = linear_sum_assignment(table, maximize=True)
    if table.trace() == table[np.arange(classes), order].sum():
        return None
    log_level = np.log(significance) - gammaln(classes + 1)

    permuted_right = order[predictions] == labels
    right = predictions == labels
    wins = np.sum(permuted_right & ~right)
    losses = np.sum(right & ~permuted_right)
    if binom.logsf(wins - 1, wins + losses, 0.5) >= log_level:
        return None

    p = np.bincount(order[predictions], minlength=classes) / rows
    q = np.bincount(labels, minlength=classes) / rows
    chance = p @ q
    variance = (chance + chance**2 - np.sum(p * q * (p + q))) / rows
    z = (permuted_right.mean() - chance) / np.sqrt(max(variance, 1e-12))
    return order.tolist() if norm.logsf(z) < log_level else None


def _seed_draws(a_scores, b_scores, resamples, generator):
    """The part of the seeds in the difference of two means."""
    seeds = len(a_scores)
    if seeds == 1:
        return np.zeros(resamples)
    variances = np.array([x.var(ddof=1) for x in (a_scores, b_scores)])
    if not variances.any():
        return np.zeros(resamples)
    freedom = (seeds - 1) * variances.sum() ** 2 / (variances**2).sum()
    draws = generator.standard_t(freedom, size=resamples)
    return draws * np.sqrt(variances.sum() / seeds)


def _check_runs(a, b, deep):
    a, b = np.atleast_1d(np.asarray(a)), np.atleast_1d(np.asarray(b))
    axes = 3 if deep else 2
    a, b = (x[np.newaxis] if x.ndim == axes - 1 else x for x in (a, b))
    if a.shape != b.shape or a.ndim != axes or 0 in a.shape:
        expected = "[seeds, rows, classes]" if deep else "[seeds, rows]"
        raise ValueError(
            f"Both models need scores of the same shape {expected}, on the "
            f"same rows. Received: {a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(
            "Scores must be finite. Received NaN or infinity. Leave rows "
            "without a label out of both models' scores."
        )
    return a, b


def _check_metric(metric, labels, a, b):
    if labels is None or np.shape(labels) != a.shape[1:]:
        received = None if labels is None else np.shape(labels)
        raise ValueError(
            "A `metric` needs `labels` with one true class a row. Received "
            f"labels of shape {received} for predictions of shape {a.shape}."
        )
    labels = np.asarray(labels)
    if callable(metric):
        return labels
    many_labels = labels.ndim == 2
    known = [*COUNT_METRICS, *CORRELATIONS]
    if many_labels:
        known = [*LABEL_COUNT_METRICS, SUBSET_ACCURACY]
    if metric not in known:
        raise ValueError(
            f"`metric` must be None, one of {sorted(known)} for labels of "
            f"shape {labels.shape}, or a function (predictions, labels) -> "
            f"float. Received: {metric!r}."
        )
    if metric in CORRELATIONS:
        if not np.isfinite(np.asarray(labels, dtype="float64")).all():
            raise ValueError(
                "Labels must be finite. Received NaN or infinity. Leave rows "
                "without a label out."
            )
        return labels.astype("float64")
    for values in (labels, a, b):
        if many_labels and not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"The metric '{metric}' needs labels and predictions of 0 and "
                f"1. Received: {values.ravel()[:5]}... Pass "
                "given_labels(logits)."
            )
        if (values < 0).any() or (values != np.floor(values)).any():
            raise ValueError(
                f"The metric '{metric}' needs class numbers, whole and not "
                "negative, as labels and predictions. Received: "
                f"{values.ravel()[:5]}... Pass logits.argmax(axis=-1)."
            )
    return labels
