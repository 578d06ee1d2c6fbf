"""Which trials no other beats in everything."""

# Whether more of it is better, or less.
OBJECTIVES = {"score": 1, "latency": -1, "size": -1}


def pareto_front(trials, objectives):
    """The trials that are not dominated, the best score first.

    A trial is dominated by one that is as good in all objectives, and better
    in one.

    Args:
        trials: List of dictionaries with a number for each objective.
        objectives: Names in `OBJECTIVES`.

    Returns:
        Those of the list that are not dominated. Of equal ones all are.

    Example:

    >>> trials = [{"score": 0.9, "size": 9}, {"score": 0.8, "size": 3},
    ...           {"score": 0.7, "size": 4}]
    >>> [trial["score"] for trial in pareto_front(trials, ["score", "size"])]
    [0.9, 0.8]
    """
    goods = [
        [OBJECTIVES[name] * trial[name] for name in objectives]
        for trial in trials
    ]
    front = [
        trial
        for trial, own in zip(trials, goods)
        if not any(_dominates(other, own) for other in goods)
    ]
    return sorted(front, key=lambda trial: -trial["score"])


def _dominates(one, other):
    return one != other and all(a >= b for a, b in zip(one, other))
