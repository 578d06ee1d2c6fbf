"""The third table: epochs of distillation, from rows to a student."""

import math

from benchmarks.measured import check_line
from benchmarks.measured import goal_line
from benchmarks.measured import median
from benchmarks.measured import ratio_table
from benchmarks.worker import Worker
from benchmarks.worker import take_turns

LIVE = "keras_kd, live teacher"
CACHED = "keras_kd, cached targets"
BUCKETS = "keras_kd, cached, buckets of length"
INT8 = "keras_kd, cached, buckets, int8 labelling"
PEER = "TextBrewer GeneralDistiller"
PEER_CACHED = "TextBrewer BasicDistiller, its logits cache"
# The arguments of the jobs `whole`.
OURS = {
    LIVE: (None, "live"),
    CACHED: ("padded", "cached"),
    BUCKETS: ("sorted", "buckets"),
    INT8: ("int8", "buckets"),
}
THEIRS = {PEER: "live", PEER_CACHED: "cached"}
LEARNING = ("live", "cached", "buckets")


def measure(setting, description):
    """Measures, and gives the lines to print and whether all students learn."""
    with (
        Worker("benchmarks.ours:epochs", setting) as ours,
        Worker("benchmarks.peers.text_brewer:epochs", setting) as peers,
    ):
        before = _divergences(ours, peers)
        if setting["full"]:
            seconds, lines = _whole(setting, ours, peers)
        else:
            seconds, lines = _sampled(setting, description, ours, peers)
        missing = [(name, peers.missing) for name in THEIRS if peers.missing]
        table = ratio_table(
            f"{setting['epochs']} epochs of {description['rows']} rows",
            "seconds", seconds, PEER, missing,
        )  # fmt: skip
        lines = table + lines
        if not peers.missing:
            packed = "packed" if peers.run("packed") else "unpacked"
            lines.append(f"TextBrewer's student runs {packed}: it is faster.")
        agreed = True
        if not setting["full"]:
            after = _divergences(ours, peers)
            agreed = all(after[name] < before[name] for name in before)
            lines += [
                f"{name}: divergence from the teacher {before[name]:.3g}, "
                f"after the sample {after[name]:.3g}."
                for name in before
            ]
            lines.append(check_line("every student learns", agreed))
    conversion = description["conversion_seconds"]
    lines.append(
        f"Not counted: {conversion:.1f} s to convert the teacher to LiteRT, "
        "once a teacher."
    )
    lines += goal_line(CACHED, seconds, CACHED, PEER, 7.0)
    lines += goal_line(INT8, seconds, INT8, PEER, 10.0)
    return lines, agreed


def _divergences(ours, peers):
    results = {
        f"keras_kd {name}": ours.run("divergence", name) for name in LEARNING
    }
    if not peers.missing:
        for name in THEIRS.values():
            results[f"TextBrewer {name}"] = peers.run("divergence", name)
    return results


def _whole(setting, ours, peers):
    epochs = setting["epochs"]
    calls = {
        name: lambda arguments=arguments: ours.run("whole", *arguments, epochs)
        for name, arguments in OURS.items()
    }
    if not peers.missing:
        for name, kind in THEIRS.items():
            calls[name] = lambda kind=kind: peers.run("whole", kind, epochs)
    times = take_turns(calls, setting["repeats"])
    seconds = {name: median(results) for name, results in times.items()}
    return seconds, ["Each was run from beginning to end."]


def _sampled(setting, description, ours, peers):
    steps_per_epoch = math.ceil(description["rows"] / setting["batch_size"])
    steps = min(setting["steps"], steps_per_epoch)
    live_steps = min(setting["live_steps"], steps_per_epoch)
    rows = min(setting["label_rows"], description["rows"])
    # (worker, job, how many, of what the time is then the time of one)
    samples = {
        "label padded": (ours, "label padded", rows),
        "label sorted": (ours, "label sorted", rows),
        "label int8": (ours, "label int8", rows),
        "live": (ours, "live", live_steps),
        "cached": (ours, "cached", steps),
        "buckets": (ours, "buckets", steps),
    }
    if not peers.missing:
        samples["peer live"] = (peers, "live", live_steps)
        samples["peer cache"] = (peers, "cache", live_steps)
        samples["peer cached"] = (peers, "cached", steps)
    calls = {
        name: lambda worker=worker, job=job, count=count: worker.run(job, count)
        for name, (worker, job, count) in samples.items()
    }
    # The first time graphs are traced.
    take_turns(calls, 1)
    times = take_turns(calls, setting["repeats"])
    each = {
        name: median(times[name], count)
        for name, (_, _, count) in samples.items()
    }
    all_steps = setting["epochs"] * steps_per_epoch
    labelled = description["distinct_rows"]
    seconds = {
        LIVE: all_steps * each["live"],
        CACHED: labelled * each["label padded"] + all_steps * each["cached"],
        BUCKETS: labelled * each["label sorted"] + all_steps * each["buckets"],
        INT8: labelled * each["label int8"] + all_steps * each["buckets"],
    }
    if not peers.missing:
        seconds[PEER] = all_steps * each["peer live"]
        seconds[PEER_CACHED] = (
            steps_per_epoch * each["peer cache"]
            + all_steps * each["peer cached"]
        )
    lines = [
        f"Composed of samples: {rows} rows labelled, {live_steps} steps with a "
        f"teacher, {steps} without, of {steps_per_epoch} an epoch; neither "
        "start-up nor tracing. --full runs all of it.",
        "Milliseconds of a row or step: "
        + ", ".join(f"{name} {value * 1e3:.3g}" for name, value in each.items())
        + ".",
    ]
    return seconds, lines
