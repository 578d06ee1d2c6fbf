"""What the metrics are called, and which way they point.

The only place that says so: tables, plots and the verdict read it here.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is shown, and which way is better.

    Attributes:
        title: What it is called in tables and plots.
        percent: Whether it is shown times 100, as correlations are as well.
        higher_is_better: Whether more of it is better.
    """

    title: str
    percent: bool = False
    higher_is_better: bool = True


def _percent(title):
    return Metric(title, percent=True)


def _error(title):
    return Metric(title, higher_is_better=False)


METRICS = {
    "accuracy": _percent("accuracy"),
    "micro_f1": _percent("micro F1"),
    "micro_precision": _percent("micro precision"),
    "micro_recall": _percent("micro recall"),
    "macro_f1": _percent("macro F1"),
    "macro_precision": _percent("macro precision"),
    "macro_recall": _percent("macro recall"),
    "weighted_f1": _percent("weighted F1"),
    "weighted_precision": _percent("weighted precision"),
    "weighted_recall": _percent("weighted recall"),
    "subset_accuracy": _percent("subset accuracy"),
    "hamming_accuracy": _percent("hamming accuracy"),
    "mcc": _percent("MCC"),
    "entity_f1": _percent("entity F1"),
    "entity_precision": _percent("entity precision"),
    "entity_recall": _percent("entity recall"),
    "word_accuracy": _percent("word accuracy"),
    "exact_match": _percent("exact match"),
    "answer_f1": _percent("answer F1"),
    "has_answer_exact_match": _percent("exact match where there is an answer"),
    "has_answer_f1": _percent("answer F1 where there is an answer"),
    "no_answer_f1": _percent("F1 where there is no answer"),
    "best_answer_f1": _percent("answer F1 with the best threshold"),
    "best_threshold": Metric("best threshold of no answer"),
    "f1": _percent("F1"),
    "pearson": _percent("Pearson correlation"),
    "spearman": _percent("Spearman correlation"),
    "r2": Metric("R2"),
    "mse": _error("MSE"),
    "rmse": _error("RMSE"),
    "mae": _error("MAE"),
    "nll": _error("NLL"),
    "ece": _error("ECE"),
}
"""In the order of tables. Others are shown as they are called, as numbers of
which more is better."""


def metric_of(name: str) -> Metric:
    """The entry of `METRICS`, or one made from the name."""
    return METRICS.get(name) or Metric(name.replace("_", " "))


def metric_title(name: str) -> str:
    """What a metric is called in tables and plots."""
    return metric_of(name).title


def percent_factor(name: str) -> int:
    """100 for a metric that is shown in percent, else 1."""
    return 100 if metric_of(name).percent else 1


def heading(name: str) -> str:
    """The title with its unit: `"accuracy (%)"`."""
    return metric_title(name) + (" (%)" if metric_of(name).percent else "")


def check_primary_metric(name: str) -> None:
    """Refuses a metric that models can't be compared by.

    Differences, verdicts, retention and the choice of checkpoints all take
    more for better, so that errors are refused: no sign is turned.

    Args:
        name: An entry of `scores`.

    Raises:
        ValueError: Less of the metric is better.
    """
    if not metric_of(name).higher_is_better:
        raise ValueError(
            "A primary metric must be better when higher. Received: "
            f"{name!r}, of which less is better. For regression use 'pearson' "
            "or 'spearman'; the report shows the errors as well."
        )
