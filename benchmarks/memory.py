"""Whether memory stays flat: the same work on rows and on ten times as many.

Made-up texts are written as rows on disk; a process of its own labels them
with a small teacher, and another one trains on them for an epoch. What counts
is the process' own memory; pages of the mapped files, which the system takes
back whenever it needs them, are shown beside it.

    python -m benchmarks.memory
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.worker import Worker
from keras_kd.evaluation.tables import text_table

VOCABULARY = 2000
LENGTH = 32
LIMIT = 1.10
# Of /proc/self/status.
FIELDS = {
    "peak": "VmHWM",
    "at the end": "VmRSS",
    "own, at the end": "RssAnon",
    "mapped files": "RssFile",
}
WORK = ("write rows", "label", "train")
# Writing fills buffers of 1 MB a file, which is much of so small a process.
FLAT = ("label", "train")


def main(arguments=None):
    """Runs the command; the exit status is 1 where memory grows."""
    options = make_parser().parse_args(arguments)
    if not Path("/proc/self/status").exists():
        print("Error: /proc is needed, which Linux has.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="keras-kd-benchmark-") as folder:
        measured = {
            count: measure(Path(folder) / str(count), count, options)
            for count in (options.rows, 10 * options.rows)
        }
    few, many = measured.values()
    print("\n".join(table(measured)))
    flat = True
    for work in FLAT:
        for field in ("peak", "at the end"):
            ratio = many[work][field] / few[work][field]
            grown = many[work][field] - few[work][field]
            flat = flat and ratio <= LIMIT
            print(
                f"{work}, {field}: {ratio:.3f} times for ten times the rows, "
                f"{grown / (9 * options.rows):.0f} bytes a row more. Goal: "
                f"{LIMIT:.2f} at the most, "
                f"{'met' if ratio <= LIMIT else 'NOT met'}."
            )
    return 0 if flat else 1


def make_parser():
    """The parser of the command's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=20_000, help="and ten times as many")
    add("--batch-size", type=int, default=256)
    add("--threads", type=int, default=1)
    return parser


def measure(folder, count, options):
    """The bytes of each piece of work, by field, on so many rows."""
    folder.mkdir()
    results = {}
    for work in WORK:
        setting = {
            "folder": str(folder),
            "rows": count,
            "batch_size": options.batch_size,
            "threads": options.threads,
        }
        with Worker("benchmarks.memory:jobs", setting) as worker:
            worker.run(work)
            results[work] = worker.run("memory")
    return results


def table(measured):
    """The lines of the table, in MB."""
    columns = {"work": [], "rows": [], **{name: [] for name in FIELDS}}
    for work in WORK:
        for count, results in measured.items():
            columns["work"].append(work)
            columns["rows"].append(f"{count:,}")
            for name in FIELDS:
                columns[name].append(f"{results[work][name] / 1e6:.1f} MB")
    return text_table(columns)


def jobs(setting):
    """The pieces of work, each for a process of its own."""
    folder, count = Path(setting["folder"]), setting["rows"]
    return {
        "write rows": lambda: write_made_up_rows(folder / "rows", count),
        "label": lambda: label(folder),
        "train": lambda: train(folder, setting["batch_size"]),
        "memory": memory,
    }


def write_made_up_rows(folder, count):
    """Rows of random tokens, all different, 4 to `LENGTH` tokens long."""
    from keras_kd.data.rows import target_key
    from keras_kd.data.rows import write_rows

    generator = np.random.default_rng(0)

    def each():
        for number in range(count):
            length = generator.integers(4, LENGTH + 1)
            ids = generator.integers(5, VOCABULARY, length).tolist()
            yield {
                "example_id": f"made-up:{number}",
                "target_key": target_key(ids, [0] * len(ids)),
                "token_ids": ids,
                "text": " ".join(map(str, ids)),
                "label": 0,
                "label_weight": 0.0,
            }

    write_rows(folder, each(), {"of": "made-up texts"})


def label(folder):
    """Labels all rows with a BERT of two layers."""
    from keras_kd.data.rows import Rows
    from keras_kd.inference import keras_runtime
    from keras_kd.models.bert import BertSettings
    from keras_kd.models.bert import bert
    from keras_kd.teachers.cache import TeacherTargets

    settings = BertSettings(
        name="teacher",
        vocabulary_size=VOCABULARY,
        num_layers=2,
        num_heads=2,
        hidden_dim=64,
        intermediate_dim=128,
        max_length=LENGTH,
        num_segments=2,
        activation="gelu",
        head_activation="tanh",
        masked_lm_activation="gelu",
        layer_norm_epsilon=1e-12,
        dropout=0.0,
        head_dropouts={"sequence": 0.0},
        initializer_range=0.02,
    )
    teacher = bert(settings, "sequence", num_outputs=2)
    targets = TeacherTargets(folder / "targets", {"of": "made-up texts"})
    targets.label(keras_runtime(teacher), Rows.open(folder / "rows"))


def train(folder, batch_size):
    """Trains a small student for an epoch on what `label` has written."""
    import keras

    from keras_kd.data.pipeline import training_batches
    from keras_kd.data.rows import Rows
    from keras_kd.distiller import Distiller
    from keras_kd.losses.soft_targets import SoftTargets
    from keras_kd.models.bag import bag_student
    from keras_kd.teachers.cache import TeacherTargets

    rows = Rows.open(folder / "rows")
    targets = TeacherTargets(folder / "targets", {"of": "made-up texts"})
    student = bag_student(VOCABULARY, 2)
    distiller = Distiller(student, losses=[SoftTargets()])
    distiller.compile(keras.optimizers.AdamW(1e-3))
    distiller.optimizer.build(distiller.trainable_variables)
    distiller.fit(
        training_batches(rows, student, batch_size, targets=targets),
        steps_per_epoch=-(-len(rows) // batch_size),
        verbose=0,
    )


def memory():
    """The memory of this process in bytes, by the names of `FIELDS`."""
    status = dict(
        line.split(":", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
    )
    return {
        name: int(status[field].split()[0]) * 1024
        for name, field in FIELDS.items()
    }


if __name__ == "__main__":
    sys.exit(main())
