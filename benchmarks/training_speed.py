"""How fast teachers label and students train, beside PyTorch and TextBrewer.

Three tables: labelling by the teacher, a step of the student, and ten epochs
of distillation. Each side runs in a process of its own on the same cores; they
take turns, and medians are compared.

    python -m benchmarks.training_speed --data DIR
"""

import argparse
import importlib.metadata
import os
import sys
import tempfile

from benchmarks import distillation_table
from benchmarks import labelling_table
from benchmarks import step_table
from benchmarks.preparation import find_source
from benchmarks.worker import TENSORFLOW_THREADS
from benchmarks.worker import Worker
from keras_kd.data.errors import DataError
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.machine import usable_cores

PARTS = {
    "labelling": labelling_table.measure,
    "step": step_table.measure,
    "distillation": distillation_table.measure,
}
STUDENTS = list(step_table.THEIRS)
PEERS = ("torch", "transformers", "textbrewer")
BUSY = 1.5
SIZES = {
    "rows": 2000,
    "batch_size": 32,
    "label_rows": 256,
    "live_steps": 6,
    "steps": 64,
    "repeats": 3,
}
QUICK = {
    "rows": 96,
    "batch_size": 8,
    "label_rows": 24,
    "live_steps": 3,
    "steps": 8,
    "repeats": 1,
}
# What is shipped are sentences, most of them shorter than this.
SHIPPED_LENGTH = 64


def main(arguments=None):
    """Runs the command; the exit status is 1 where two sides disagree."""
    options = make_parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="keras-kd-benchmark-") as folder:
        try:
            setting = make_setting(options, folder)
            return run(setting, options.parts)
        except (DataError, OSError, RuntimeError) as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2


def make_parser():
    """The parser of the command's flags."""
    from recipes.teacher import find_teacher

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        help="file of texts, or a folder with train.csv or train.tsv (default: "
        "the sentences that are shipped)",
    )
    add("--teacher", default=find_teacher(), help="Hugging Face folder")
    add(
        "--parts",
        nargs="+",
        choices=list(PARTS),
        default=list(PARTS),
        help="which tables (default: all)",
    )
    add(
        "--students",
        nargs="+",
        choices=STUDENTS,
        default=STUDENTS,
        help="which students (default: all; the first one is distilled)",
    )
    add("--quick", action="store_true", help="see that it runs; no figures")
    add(
        "--full",
        action="store_true",
        help="run each distillation from beginning to end rather than a sample "
        "of its steps; may take hours",
    )
    add("--epochs", type=int, default=10, help="epochs of the distillation")
    add("--length", type=int, help="the most tokens of a row (default: 128)")
    add("--threads", type=int, default=usable_cores())
    for name, what in {
        "rows": "rows of the distillation",
        "batch-size": "rows of a training batch",
        "label-rows": "rows of the labelling that is timed",
        "live-steps": "steps with a live teacher that are timed",
        "steps": "steps without a teacher that are timed",
        "repeats": "rounds; medians are shown",
    }.items():
        default = SIZES[name.replace("-", "_")]
        add(f"--{name}", type=int, help=f"{what} (default: {default})")
    return parser


def make_setting(options, folder):
    """The dictionary that all workers get."""
    sizes = QUICK if options.quick else SIZES
    default_length = SHIPPED_LENGTH if options.data is None else 128
    return {
        "folder": folder,
        "source": str(find_source(options.data)),
        "teacher": options.teacher,
        "length": options.length or default_length,
        "threads": options.threads,
        "epochs": options.epochs,
        "full": options.full,
        "quick": options.quick,
        "students": options.students,
        "units": 128,
        # TinyBERT's.
        "bert": {
            "num_layers": 4,
            "hidden_dim": 312,
            "num_heads": 12,
            "intermediate_dim": 1200,
        },
        "embedding_dim": 128,
        "temperature": 8.0,
        "learning_rate": 1e-3,
        **{name: getattr(options, name) or sizes[name] for name in sizes},
    }


def run(setting, parts):
    """Prepares, measures and prints; returns the exit status."""
    # Before the first worker adds to it.
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with Worker("benchmarks.preparation:prepare", setting) as worker:
        description = worker.run("describe")
    for line in header(setting, description, load):
        print(line)
    agreed = True
    for part in parts:
        lines, right = PARTS[part](setting, description)
        agreed = agreed and right
        print("\n" + "\n".join(lines), flush=True)
    return 0 if agreed else 1


def header(setting, description, load):
    """Lines on the machine, the versions and the data."""
    machine = machine_description()
    versions = {**machine["versions"], **peer_versions()}
    yield (
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{setting['threads']} threads; Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    yield (
        f"Teacher {description['teacher']}, {description['parameters']:,} "
        f"parameters. {description['rows']} rows of "
        f"{os.path.basename(setting['source'])}: "
        f"{description['mean_length']:.0f} tokens on average, at most "
        f"{setting['length']}. Medians of {setting['repeats']} rounds."
    )
    for name in TENSORFLOW_THREADS:
        if name in os.environ:
            yield f"{name}={os.environ[name]} was given."
    if load > BUSY:
        yield f"The machine was busy (load {load:.1f}): useless figures."
    if setting["quick"]:
        yield "--quick: shows that everything runs, and not how fast."


def peer_versions():
    """The versions of the peers that are installed."""
    versions = {}
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


if __name__ == "__main__":
    sys.exit(main())
