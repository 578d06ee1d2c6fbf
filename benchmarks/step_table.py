"""The second table: a training step of a student on cached targets."""

from benchmarks.measured import check_line
from benchmarks.measured import goal_line
from benchmarks.measured import median
from benchmarks.measured import ratio_table
from benchmarks.worker import Worker
from benchmarks.worker import take_turns

OURS = {"keras_kd": False, "keras_kd, buckets of length": True}
THEIRS = {
    "PyTorch, packed": (True, False),
    "PyTorch, unpacked": (False, False),
    "PyTorch, packed, fused AdamW": (True, True),
    "PyTorch, unpacked, fused AdamW": (False, True),
}
# Ours, and what stands in the names of those that compute the same tokens.
GOALS = {
    "with padding": ("keras_kd", ", unpacked"),
    "without": ("keras_kd, buckets of length", ", packed"),
}


def measure(setting, description):
    """Measures, and gives the lines to print and whether all students learn."""
    lines, agreed = [], True
    with (
        Worker("benchmarks.ours:steps", setting) as ours,
        Worker("benchmarks.peers.pytorch:steps", setting) as peers,
    ):
        for cell in setting["cells"]:
            more, learned = _measure_cell(setting, cell, ours, peers)
            lines += [*more, ""]
            agreed = agreed and learned
    return lines[:-1], agreed


def _measure_cell(setting, cell, ours, peers):
    steps = setting["steps"]
    calls, missing = {}, []
    for name, buckets in OURS.items():
        calls[name] = lambda buckets=buckets: ours.run(
            "train", steps, cell, buckets
        )
    parameters = {"keras_kd": ours.run("parameters", cell)}
    if peers.missing:
        missing = [(name, peers.missing) for name in THEIRS]
    else:
        parameters["PyTorch"] = peers.run("parameters", cell)
        for name, arguments in THEIRS.items():
            calls[name] = lambda arguments=arguments: peers.run(
                "train", steps, cell, *arguments
            )
    # The first time graphs are traced.
    first = {name: call() for name, call in calls.items()}
    times = take_turns(calls, setting["repeats"])
    seconds = {name: median(times[name], steps) for name in calls}
    theirs = [name for name in THEIRS if name in seconds]
    learned = all(
        times[name][-1]["loss"] < first[name]["loss"] for name in calls
    )
    lines = ratio_table(
        f"A step of a Bi{cell.upper()}, {setting['batch_size']} x "
        f"{setting['length']}",
        "seconds",
        seconds,
        _fastest(theirs, seconds),
        missing,
        rate=setting["batch_size"],
    )
    sizes = ", ".join(f"{side} {count:,}" for side, count in parameters.items())
    lines.append(f"Parameters: {sizes}.")
    lines.append(check_line("every student's loss falls", learned))
    for what, (name, way) in GOALS.items():
        fastest = _fastest([n for n in theirs if way in n], seconds)
        lines += goal_line(f"a step, {cell}, {what}", seconds, name, fastest, 1)
    return lines, learned


def _fastest(names, seconds):
    return min(names, key=seconds.get, default=None)
