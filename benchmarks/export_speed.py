"""How much faster recurrent students run by the exporter's own loops.

Each student is converted with Keras' loops and with ours, and the files take
turns in one process: one thread, one row at a time, medians of processor time.
The files take `--length` tokens, those called "any" as many as there are.

    python -m benchmarks.export_speed
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.tables import text_table

# Name: (quantisation, our loops, whether it takes any length).
FILES = {
    "Keras' loop, float32": ("float32", False, False),
    "Keras' loop, dynamic": ("dynamic", False, False),
    "ours, float32": ("float32", True, False),
    "ours, float16": ("float16", True, False),
    "ours, dynamic": ("dynamic", True, False),
    "ours, dynamic, any": ("dynamic", True, True),
}
BASE, OURS = "Keras' loop, float32", "ours, dynamic"
GOALS = {"full": 2.5, "short": 5.0}


def main(arguments=None):
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.export_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--students", nargs="+", default=["bigru", "bilstm"], metavar="NAME"
    )
    for name, default in {
        "layers": 1, "width": 150, "embedding-dim": 128,
        "vocabulary-size": 30522, "length": 128, "short": 32, "repeats": 30,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    machine = machine_description()
    versions = machine["versions"].items()
    print(
        f"{machine['processor']}, one thread; "
        + ", ".join(f"{name} {version}" for name, version in versions)
    )
    for kind in options.students:
        print("\n" + "\n".join(measure(kind, options)))
    return 0


def measure(kind, options):
    """Converts and times a student; gives the lines of its table."""
    from keras_kd.export.litert_runner import LiteRTModel

    with tempfile.TemporaryDirectory() as folder:
        paths = convert_files(kind, options, Path(folder))
        sizes = [path.stat().st_size / 1e6 for path in paths.values()]
        models = {name: LiteRTModel(path) for name, path in paths.items()}
    columns = {
        f"{kind}, {options.layers} x {options.width}": list(models),
        "MB": [f"{size:.2f}" for size in sizes],
    }
    lines = []
    for what, tokens in (("full", options.length), ("short", options.short)):
        seconds = times(models, inputs_of(tokens, options), options.repeats)
        base = seconds[BASE]
        columns[f"ms, {tokens} tokens"] = [
            f"{1e3 * value:.3f}" for value in seconds.values()
        ]
        columns[f"times as fast, {tokens}"] = [
            f"{base / value:.2f}" for value in seconds.values()
        ]
        ratio, goal = base / seconds[OURS], GOALS[what]
        lines.append(
            f"Goal, {tokens} tokens: {OURS} {goal:g} times as fast as "
            f"{BASE}; {ratio:.2f}, {'met' if ratio >= goal else 'NOT met'}."
        )
    return [*text_table(columns), *lines]


def convert_files(kind, options, folder):
    """Writes each of `FILES`; gives their paths by name."""
    import keras

    from keras_kd.export.conversion_worker import convert
    from keras_kd.models.students import build_student

    keras.utils.set_random_seed(0)
    student = build_student(
        kind,
        options.vocabulary_size,
        2,
        options.layers,
        options.width,
        options.embedding_dim,
    )
    paths = {}
    for number, (name, setting) in enumerate(FILES.items()):
        quantization, ours, any_length = setting
        paths[name] = folder / f"{number}.tflite"
        paths[name].write_bytes(
            convert(
                student,
                folder / f"saved-{number}",
                quantization,
                batch_size=1,
                length=None if any_length else options.length,
                fast_loops=ours,
            )
        )
    return paths


def inputs_of(tokens, options):
    """A row of so many tokens, padded to the files' length."""
    mask = (np.arange(options.length)[None] < tokens).astype("int32")
    ids = np.random.default_rng(0).integers(
        1, options.vocabulary_size, mask.shape, "int32"
    )
    return {"token_ids": ids * mask, "padding_mask": mask}


def times(models, inputs, repeats):
    """The median seconds of a call of each model, which take turns.

    Those of the processor: what else the machine does then counts little.
    """
    seconds = {name: [] for name in models}
    for repeat in range(repeats + 1):
        for name, model in models.items():
            start = time.process_time()
            model.predict(inputs)
            if repeat:  # The first call makes room.
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(all_) for name, all_ in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
