"""How long one text takes, from token ids to logits."""

import time

import numpy as np


def latency(predict, inputs, repeats=3, warm_up=3):
    """Times a model on one row after the other.

    Args:
        predict: Function of the inputs of one row.
        inputs: List of inputs, one a row; real rows, for their lengths.
        repeats: How often each row is timed; its fastest time counts, for
            what else the machine does can only make it slower.
        warm_up: Calls before the first that is timed.

    Returns:
        Dictionary: `p50` and `p90` over the rows, in milliseconds, and `rows`.

    Raises:
        ValueError: No inputs.
    """
    if not inputs:
        raise ValueError("There must be one row or more to time. Received: 0.")
    for row in inputs[:1] * warm_up:
        predict(row)
    times = np.full((repeats, len(inputs)), np.inf)
    for repeat in range(repeats):
        for index, row in enumerate(inputs):
            start = time.perf_counter()
            predict(row)
            times[repeat, index] = time.perf_counter() - start
    fastest = times.min(axis=0) * 1e3
    p50, p90 = np.quantile(fastest, [0.5, 0.9])
    return {"p50": float(p50), "p90": float(p90), "rows": len(inputs)}
