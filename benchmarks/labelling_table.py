"""The first table: the teacher labels rows."""

import numpy as np

from benchmarks.measured import check_line
from benchmarks.measured import goal_line
from benchmarks.measured import median
from benchmarks.measured import ratio_table
from benchmarks.worker import Worker
from benchmarks.worker import take_turns

OURS = {
    "sorted": "keras_kd, TensorFlow float32",
    "int8": "keras_kd, LiteRT int8",
    "padded": "keras_kd, TensorFlow float32, plain padding",
}
THEIRS = {
    "sorted": "PyTorch float32",
    "products": "PyTorch float32, its linear layers alone",
    "int8": "PyTorch dynamic int8",
    "padded": "PyTorch float32, plain padding",
}
TOLERANCE = 1e-4


def measure(setting, description):
    """Measures, and gives the lines to print and whether both sides agree."""
    count = setting["label_rows"]
    with (
        Worker("benchmarks.ours:labelling", setting) as ours,
        Worker("benchmarks.peers.pytorch:labelling", setting) as peers,
    ):
        calls, missing = {}, []
        for job, name in OURS.items():
            calls[name] = lambda job=job: ours.run(job, count)
        for job, name in THEIRS.items():
            calls[name] = lambda job=job: peers.run(job, count)
            if peers.missing:
                del calls[name]
                missing.append((name, peers.missing))
        # The first time a graph is traced; and what it gives is compared.
        first = {name: call() for name, call in calls.items()}
        for name in [name for name, result in first.items() if result is None]:
            del calls[name], first[name]
            missing.append((name, "this PyTorch has no dynamic int8"))
        times = take_turns(calls, setting["repeats"])
    seconds = {name: median(results) for name, results in times.items()}
    rows = len(first[OURS["sorted"]]["logits"])
    lines = ratio_table(
        f"Labelling {rows} rows", "seconds", seconds, THEIRS["sorted"],
        missing, rate=rows,
    )  # fmt: skip
    logits = {n: r["logits"] for n, r in first.items() if "logits" in r}
    reference = logits[OURS["sorted"]]
    for name, values in logits.items():
        difference = np.abs(values - reference).max()
        agreement = np.mean(values.argmax(-1) == reference.argmax(-1))
        if name != OURS["sorted"]:
            lines.append(
                f"{name}: logits within {difference:.1e} of TensorFlow's, the "
                f"same class in {agreement:.1%}."
            )
    agreed = all(
        np.abs(values - reference).max() <= TOLERANCE
        for name, values in logits.items()
        if "int8" not in name
    )
    lines.append(check_line(f"float logits are within {TOLERANCE}", agreed))
    for job, goal in (("sorted", 2.0), ("int8", 4.0)):
        lines += goal_line(
            OURS[job], seconds, OURS[job], THEIRS["sorted"], goal
        )
    products = seconds.get(THEIRS["products"])
    if products is not None:
        bound = seconds[THEIRS["sorted"]] / products
        lines.append(
            "With PyTorch's products and nothing else, float32 would be "
            f"{bound:.2f} times as fast."
        )
    return lines, agreed
