"""Two replicas against one: the same batches, the same weights, the same logs.

Both are CPU devices of one process, so that this needs no GPU. Batches have
padding, sample weights and rows without a label; the last ones leave the
replicas with unequal parts, and one of them with nothing. There is no dropout:
each replica has masks of its own. Under Adam a gradient that is mathematically
zero makes a step of the rounding, so that there the logits are compared.

    python -m benchmarks.replica_equality
"""

import argparse
import sys

import keras
import numpy as np

from keras_kd.evaluation.tables import text_table

VOCABULARY, CLASSES, LENGTH = 20, 3, 6
# Rows of the five batches.
SIZES = (8, 5, 7, 3, 1)
TOLERANCE = 1e-6
PROJECTIONS = ("hidden_state_mse", "attention_mse")


def sgd(**options):
    """A function that makes an optimizer, in the scope of a strategy."""
    return lambda: keras.optimizers.SGD(0.1, **options)


CASES = {
    "cached targets": {},
    "live teacher": {"live": True},
    "cached, clipped": {"optimizer": sgd(global_clipnorm=0.2)},
    "cached, clipped each": {"optimizer": sgd(clipnorm=0.1)},
    "cached, 3 micro-batches": {"accumulation_steps": 3},
    "live, clipped, 3 micro-batches": {
        "live": True,
        "optimizer": sgd(global_clipnorm=0.2),
        "accumulation_steps": 3,
    },
    "projections": {"layers": PROJECTIONS},
    "projections, clipped, 3 micro-batches": {
        "layers": PROJECTIONS,
        "optimizer": sgd(global_clipnorm=0.2),
        "accumulation_steps": 3,
    },
    "projections, teacher from outside": {
        "layers": PROJECTIONS,
        "outside": True,
    },
    "projections, AdamW": {
        "layers": PROJECTIONS,
        "optimizer": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=1.0),
        "adaptive": True,
    },
}


def main(arguments=None):
    """Runs the command; the exit status is 1 where two are not one."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replica_equality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases", nargs="+", choices=tuple(CASES), default=list(CASES),
        metavar="CASE",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    strategy = two_devices()
    found = {case: compare(strategy, **CASES[case]) for case in options.cases}
    print("\n".join(table(found)))
    equal = all(one["equal"] for one in found.values())
    print(
        f"{len(SIZES)} steps of {', '.join(map(str, SIZES))} rows. Goal: at "
        f"most {TOLERANCE:g}, {'met' if equal else 'NOT met'}."
    )
    return not equal


def two_devices():
    """A strategy of two CPU devices; before TensorFlow computes anything."""
    import tensorflow as tf

    from keras_kd.distribution import strategy_by_name

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    return strategy_by_name("mirrored", ["CPU:0", "CPU:1"])


def compare(strategy, **case):
    """Trains with two replicas and with one; says how far they are apart."""
    from keras_kd.distribution import strategy_by_name

    one, two = (
        train(each, **case) for each in (strategy_by_name("none"), strategy)
    )
    logs = {
        name: abs(value - two["logs"].get(name, np.inf))
        for name, value in one["logs"].items()
    }
    result = {
        "moved": farthest(one["before"], one["after"]),
        "weights": farthest(one["after"], two["after"]),
        "logits": farthest([one["logits"]], [two["logits"]]),
        # Relative, where a loss is above 1.
        "logs": max(
            difference / max(1.0, abs(one["logs"][name]))
            for name, difference in logs.items()
        ),
        "adaptive": case.get("adaptive", False),
    }
    compared = "logits" if result["adaptive"] else "weights"
    equal = max(result[compared], result["logs"]) <= TOLERANCE
    same_names = set(one["logs"]) == set(two["logs"])
    return {**result, "equal": equal and same_names}


def train(
    strategy,
    live=False,
    layers=(),
    outside=False,
    optimizer=sgd(),
    accumulation_steps=1,
    adaptive=False,
):
    """Five steps; gives weights before and after, logs and logits."""
    import contextlib

    import tensorflow as tf

    from keras_kd.distiller import Distiller
    from keras_kd.distribution import distribute_options
    from keras_kd.losses.soft_targets import SoftTargets
    from keras_kd.runs.layer_distillation import layer_losses

    where = contextlib.nullcontext() if outside else strategy.scope()
    teacher = None
    if live or layers:
        with where:
            teacher = make_model(seed=1, layers=2, width=8)
    with strategy.scope():
        student = make_model(seed=0, layers=1, width=6)
        between = layer_losses(layers, student, teacher) if layers else []
        distiller = Distiller(
            student,
            teacher,
            [SoftTargets(2.0, weight=0.7), *between],
            hard_label_weight=0.5,
        )
        distiller.compile(
            optimizer(),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            accumulation_steps=accumulation_steps,
        )
    made = make_batches(cached=teacher is None)
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype),
        made[0],
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # Its thread keeps `fit` waiting.
    data = tf.data.Dataset.from_generator(
        lambda: iter(made), output_signature=signature
    ).with_options(options)

    def weights():
        return [
            keras.ops.convert_to_numpy(weight)
            for weight in distiller.trainable_weights  # Projections, too.
        ]

    before = weights()
    history = distiller.fit(distribute_options(data), verbose=0).history
    return {
        "before": before,
        "after": weights(),
        "logs": {name: values[-1] for name, values in history.items()},
        "logits": keras.ops.convert_to_numpy(student(made[0][0])),
    }


def make_model(seed, layers, width):
    """A Transformer without dropout, of the same weights every time."""
    from keras_kd.models.transformer import transformer_student

    keras.utils.set_random_seed(seed)
    return transformer_student(
        VOCABULARY, CLASSES, layers, width, num_heads=2, dropout=0.0
    )


def make_batches(cached):
    """Batches with padding, sample weights and rows without a label."""
    generator = np.random.default_rng(0)
    made = []
    for rows in SIZES:
        mask = np.arange(LENGTH) < generator.integers(1, LENGTH + 1, (rows, 1))
        ids = generator.integers(1, VOCABULARY, (rows, LENGTH)) * mask
        x = {
            "token_ids": ids.astype("int32"),
            "padding_mask": mask.astype("int32"),
        }
        y = {
            "labels": generator.integers(0, CLASSES, rows).astype("int32"),
            "label_weight": generator.integers(0, 2, rows).astype("float32"),
        }
        logits = 3 * generator.normal(size=(rows, CLASSES))
        if cached:
            y["teacher"] = {"logits": logits.astype("float32")}
        weights = generator.choice([0.0, 0.5, 1.0, 2.0], rows)
        made.append((x, y, weights.astype("float32")))
    return made


def farthest(one, other):
    """The largest difference between two lists of arrays."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other))


def table(found):
    """The lines of a table; what a case is judged by has a star."""
    stars = {
        name: ["*" if one["adaptive"] == (name == "logits") else ""
               for one in found.values()]
        for name in ("weights", "logits")
    }  # fmt: skip
    return text_table(
        {
            "two replicas and one": list(found),
            "moved": [f"{one['moved']:.2g}" for one in found.values()],
            **{
                f"{name} apart": [
                    f"{one[name]:.1e}{star}"
                    for one, star in zip(found.values(), stars[name])
                ]
                for name in ("weights", "logits")
            },
            "logs apart": [f"{one['logs']:.1e}" for one in found.values()],
            "equal": [
                "yes" if one["equal"] else "NO" for one in found.values()
            ],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
