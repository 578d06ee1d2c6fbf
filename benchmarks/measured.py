"""Measured times as rows of a table: medians, ratios and goals."""

import statistics

from keras_kd.evaluation.tables import text_table


def median(results, per=1.0):
    """The median of `seconds` in some results, divided by `per`."""
    return statistics.median(result["seconds"] for result in results) / per


def ratio_table(title, unit, seconds, reference, missing=(), rate=None):
    """The lines of a table of times, beside one of them.

    Args:
        title: What was measured.
        unit: What a time is the time of.
        seconds: Dictionary from names to seconds.
        reference: Name of what the others are compared with; nothing is if it
            was not measured.
        missing: Pairs of a name and what to install.
        rate: How many examples `seconds` are for: adds their number a second.
    """
    base = seconds.get(reference)
    names = [*seconds, *(name for name, _ in missing)]
    blank = [""] * len(missing)
    columns = {
        title: names,
        unit: [f"{value:.4g}" for value in seconds.values()]
        + [f"not measured: {what}" for _, what in missing],
        "examples/s": [
            f"{rate / value:.1f}" if rate else "" for value in seconds.values()
        ]
        + blank,
        "times as fast": [
            f"{base / value:.2f}" if base else "" for value in seconds.values()
        ]
        + blank,
    }
    return text_table(columns)


def goal_line(what, seconds, ours, theirs, goal):
    """A line that says whether a goal was met; none if it can't be said."""
    if ours not in seconds or theirs not in seconds:
        return []
    ratio = seconds[theirs] / seconds[ours]
    outcome = "met" if ratio >= goal else "NOT met"
    return [f"Goal, {what}: {goal:g} times as fast; {ratio:.2f}, {outcome}."]


def check_line(what, passed):
    """A line on something that must be so."""
    return f"Check: {what}: {'yes' if passed else 'NO'}."
