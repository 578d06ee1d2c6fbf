"""The second table: a training step of a student on cached targets."""

from benchmarks.measured import check_line
from benchmarks.measured import goal_line
from benchmarks.measured import median
from benchmarks.measured import ratio_table
from benchmarks.peers.pytorch import ATTENTION
from benchmarks.worker import Worker
from benchmarks.worker import take_turns

TIGHT = "buckets of length"
OURS = {"keras_kd": False, f"keras_kd, {TIGHT}": True}
RECURRENT = {
    "PyTorch, packed": (True, False),
    "PyTorch, unpacked": (False, False),
    "PyTorch, packed, fused AdamW": (True, True),
    "PyTorch, unpacked, fused AdamW": (False, True),
}
THEIRS = {
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "bert": {
        f"PyTorch, {way}, {attention}": (way == TIGHT, True, attention)
        for way in (TIGHT, "padded")
        for attention in ATTENTION
    },
}
NAMES = {"gru": "BiGRU", "lstm": "BiLSTM", "bert": "BERT"}
# Ours, and whether it computes no padding; theirs are those that do the same.
GOALS = {
    "with padding": ("keras_kd", False),
    "without": (f"keras_kd, {TIGHT}", True),
}


def measure(setting, description):
    """Measures, and gives the lines to print and whether all students learn."""
    lines, agreed = [], True
    with (
        Worker("benchmarks.ours:steps", setting) as ours,
        Worker("benchmarks.peers.pytorch:steps", setting) as peers,
    ):
        for kind in setting["students"]:
            more, learned = _measure_student(setting, kind, ours, peers)
            lines += [*more, ""]
            agreed = agreed and learned
    return lines[:-1], agreed


def _measure_student(setting, kind, ours, peers):
    peer_calls = THEIRS[kind]
    steps = setting["steps"]
    calls, missing = {}, []
    for name, buckets in OURS.items():
        calls[name] = lambda buckets=buckets: ours.run(
            "train", steps, kind, buckets
        )
    parameters = {"keras_kd": ours.run("parameters", kind)}
    if peers.missing:
        missing = [(name, peers.missing) for name in peer_calls]
    else:
        parameters["PyTorch"] = peers.run("parameters", kind)
        for name, arguments in peer_calls.items():
            calls[name] = lambda arguments=arguments: peers.run(
                "train", steps, kind, *arguments
            )
    # The first time graphs are traced.
    first = {name: call() for name, call in calls.items()}
    times = take_turns(calls, setting["repeats"])
    seconds = {name: median(times[name], steps) for name in calls}
    theirs = [name for name in peer_calls if name in seconds]
    learned = all(
        times[name][-1]["loss"] < first[name]["loss"] for name in calls
    )
    lines = ratio_table(
        f"A step of a {NAMES[kind]}, {setting['batch_size']} x "
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
    for what, (name, tight) in GOALS.items():
        fastest = _fastest(
            [n for n in theirs if peer_calls[n][0] == tight], seconds
        )
        lines += goal_line(f"a step, {kind}, {what}", seconds, name, fastest, 1)
    return lines, learned


def _fastest(names, seconds):
    return min(names, key=seconds.get, default=None)
