"""Scores of a model that predicts a number, such as a similarity.

The usual primary metric is `pearson`. `pearson`, `spearman` and `r2` are
better when higher; `mse`, `rmse` and `mae` when lower.
"""

import numpy as np

DRAWN_ROWS = 500


def regression_scores(predictions: np.ndarray, labels: np.ndarray) -> dict:
    """Scores predicted numbers against the true ones.

    Args:
        predictions: `[rows]` or `[rows, 1]`.
        labels: True numbers, `[rows]` or `[rows, 1]`.

    Returns:
        A dictionary that can be written as JSON: `pearson` and `spearman` (the
        correlations, **0 where predictions or labels are constant**: a model
        that gives one answer to all rows knows nothing about them), `mse`,
        `rmse`, `mae`, `r2` (the share of the labels' variance that is
        explained, 1 - mse / variance; of constant labels 1 if all predictions
        are right, else 0) and `rows`.

    Raises:
        ValueError: Shapes that do not pair, no row, or values that are not
            finite.

    Example:

    >>> scores = regression_scores([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    >>> round(scores["pearson"], 6), scores["mse"]
    (1.0, 7.0)
    """
    predictions, labels = check_numbers(predictions, labels)
    errors = predictions - labels
    mse = float(np.mean(errors**2))
    variance = float(labels.var()) if np.ptp(labels) else 0.0
    return {
        "pearson": pearson(predictions, labels),
        "spearman": pearson(average_ranks(predictions), average_ranks(labels)),
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "mae": float(np.abs(errors).mean()),
        "r2": 1.0 - mse / variance if variance else float(mse == 0),
        "rows": len(labels),
    }


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two lists of numbers; 0 if one is constant.

    Args:
        a: Numbers, `[rows]`.
        b: Numbers, `[rows]`.
    """
    if not np.ptp(a) or not np.ptp(b):
        return 0.0
    a, b = a - np.mean(a), b - np.mean(b)
    # Scaled first: squares of tiny numbers would vanish.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    correlation = (a @ b) / np.sqrt((a @ a) * (b @ b))
    return float(np.clip(correlation, -1.0, 1.0))


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs.

    Args:
        values: Numbers, `[rows]`.
    """
    _, group, counts = np.unique(
        values, return_inverse=True, return_counts=True
    )
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def check_numbers(
    predictions: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gives both as float64 `[rows]` after looking at them.

    Args:
        predictions: `[rows]` or `[rows, 1]`.
        labels: `[rows]` or `[rows, 1]`.

    Raises:
        ValueError: Shapes that do not pair, no row, or values that are not
            finite.
    """
    shapes = np.shape(predictions), np.shape(labels)
    pair = []
    for name, values in (("Predictions", predictions), ("Labels", labels)):
        values = np.asarray(values, dtype="float64")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1 or not len(values):
            raise ValueError(
                f"{name} must be numbers of the shape [rows] or [rows, 1], at "
                f"least one. Received shape: {values.shape}. A model for "
                "regression has one output."
            )
        bad = ~np.isfinite(values)
        if bad.any():
            raise ValueError(
                f"{name} must be finite. Received NaN or infinity in "
                f"{bad.sum()} of {len(values)} rows, the first is row "
                f"{bad.argmax()}. Score labelled rows only; if it is the "
                "predictions, the model's weights have most likely diverged."
            )
        pair.append(values)
    if len(pair[0]) != len(pair[1]):
        raise ValueError(
            "There must be one label a prediction. Received shapes: "
            f"{shapes[0]} and {shapes[1]}."
        )
    return pair[0], pair[1]


def prediction_sample(
    labels: np.ndarray, predictions: dict, rows: int = DRAWN_ROWS
) -> dict:
    """Some rows of labels and predictions, for the plot of a report.

    Args:
        labels: True numbers, `[n]`.
        predictions: Predicted numbers by arm, each `[n]` or `[n, 1]`.
        rows: The most rows to keep; they are taken at equal distances.

    Returns:
        The entry `predictions` of a result: `labels`, a list, and `arms`, a
        list for each arm. Small enough for `metrics.json`.

    Raises:
        ValueError: As `regression_scores`.
    """
    pairs = {
        arm: check_numbers(values, labels)
        for arm, values in predictions.items()
    }
    count = np.size(labels)
    kept = np.linspace(0, count - 1, min(rows, count)).round().astype(int)

    def short(values):
        return [float(f"{value:.5g}") for value in values[kept]]

    return {
        "labels": short(np.ravel(labels)),
        "arms": {arm: short(values) for arm, (values, _) in pairs.items()},
    }
