"""What losses between layers cost, beside a step on logits alone.

The same student and the same live teacher, in turns in one process; medians
are compared.

    python -m benchmarks.layer_losses
"""

import argparse
import sys
import time

import numpy as np

from benchmarks.measured import median
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.tables import text_table

# The losses of each step that is timed, beside the logits.
KINDS = {
    "logits, live teacher": [],
    "and hidden states": ["embedding_mse", "hidden_state_mse"],
    "and attention": ["attention_mse"],
    "and hidden states, attention": [
        "embedding_mse",
        "hidden_state_mse",
        "attention_mse",
    ],
    "and relations": ["self_attention_relations"],
    "and transport": ["layer_transport"],
}
GOAL = 1.6
OF_GOAL = "and hidden states, attention"


def main(arguments=None):
    """Runs the command; returns the exit status."""
    from recipes.teacher import find_teacher

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.layer_losses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--teacher", default=find_teacher(), metavar="DIR")
    for name, default in {
        "layers": 4, "width": 312, "heads": 12, "intermediate": 1200,
        "batch-size": 16, "length": 64, "steps": 4, "repeats": 5,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    machine = machine_description()
    versions = machine["versions"].items()
    print(
        f"{machine['processor']}, {machine['cores']} cores; "
        + ", ".join(f"{name} {version}" for name, version in versions)
    )
    print("\n".join(measure(options)))
    return 0


def measure(options):
    """Times a step of each kind; gives the lines of the table."""
    jobs = make_jobs(options)
    for step in jobs.values():
        step()  # Graphs are traced.
    seconds = {name: [] for name in jobs}
    for _ in range(options.repeats):
        for name, step in jobs.items():
            start = time.perf_counter()
            for _ in range(options.steps):
                step()
            elapsed = time.perf_counter() - start
            seconds[name].append({"seconds": elapsed})
    medians = {
        name: median(results, options.steps)
        for name, results in seconds.items()
    }
    base = medians["logits, live teacher"]
    ratio = medians[OF_GOAL] / base
    return [
        *text_table(
            {
                f"A step, {options.batch_size} x {options.length}": list(
                    medians
                ),
                "seconds": [f"{value:.4g}" for value in medians.values()],
                "ratio": [f"{value / base:.2f}" for value in medians.values()],
            }
        ),
        f"Goal: hidden states and attention at most {GOAL:g} times; "
        f"{ratio:.2f}, {'met' if ratio <= GOAL else 'NOT met'}.",
    ]


def make_jobs(options):
    """A function for each kind that makes one step."""
    import keras

    from keras_kd.batch import TEACHER
    from keras_kd.batch import input_names
    from keras_kd.distiller import Distiller
    from keras_kd.losses.soft_targets import SoftTargets
    from keras_kd.models.pretrained import load_pretrained
    from keras_kd.models.students import build_student
    from keras_kd.runs.layer_distillation import layer_losses
    from keras_kd.runs.training import adamw

    keras.utils.set_random_seed(0)
    teacher = load_pretrained(options.teacher, "sequence", num_outputs=2)
    vocabulary = teacher.get_layer("token_embedding").input_dim
    shape = (options.batch_size, options.length)
    x = {
        name: np.ones(shape, "int32") if name != "segment_ids"
        else np.zeros(shape, "int32")
        for name in input_names(teacher)
    }  # fmt: skip
    x["token_ids"] = np.random.default_rng(0).integers(
        1, vocabulary, shape, "int32"
    )
    cached = {TEACHER: {"logits": np.zeros((options.batch_size, 2), "float32")}}

    def job(names, live=True):
        student = build_student(
            "bert",
            vocabulary,
            2,
            options.layers,
            options.width,
            max_length=options.length,
            heads=options.heads,
            intermediate=options.intermediate,
        )
        losses = layer_losses(names, student, teacher) if names else []
        distiller = Distiller(
            student, teacher if live else None, [SoftTargets(), *losses]
        )
        distiller.compile(adamw(1e-4, 1000))
        y = {} if live else cached
        return lambda: distiller.train_on_batch(x, y)

    return {
        "logits, from the cache": job([], live=False),
        **{name: job(names) for name, names in KINDS.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
