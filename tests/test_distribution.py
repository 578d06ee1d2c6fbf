"""Two replicas against one: the same losses, weights and scores.

TensorFlow takes its logical devices once a process, so that this file runs
itself: the cases below train in a process of their own, with two CPU devices,
and the tests read what came out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd import distribution
from keras_kd.distiller import Distiller
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.recurrent import recurrent_student
from keras_kd.schedules import LinearSchedule

ROOT = Path(__file__).parent.parent
VOCABULARY, CLASSES, LENGTH = 20, 3, 6
# The last batches leave replicas with two rows and one, and one and none.
SIZES = (8, 5, 7, 3, 1)


# === What is trained: in the process with two devices ===


def bag(name="bag", seed=0, regularizer=None):
    """Small, without dropout, and of the same weights every time."""
    keras.utils.set_random_seed(seed)
    inputs = {
        key: keras.Input((None,), dtype="int32", name=key)
        for key in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(VOCABULARY, 4, "normal")(inputs["token_ids"])
    mask = keras.ops.cast(inputs["padding_mask"], x.dtype)
    x = keras.ops.sum(x * keras.ops.expand_dims(mask, -1), axis=1)
    x = keras.layers.Dense(
        5, activation="tanh", kernel_regularizer=regularizer
    )(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x), name=name)


def recurrent():
    keras.utils.set_random_seed(0)
    return recurrent_student(
        VOCABULARY, CLASSES, units=3, embedding_dim=4, dropout=0.0
    )


def batches(cached):
    """Batches with padding, sample weights and rows without a label."""
    generator = np.random.default_rng(0)
    made = []
    for rows in SIZES:
        mask = np.arange(LENGTH) < generator.integers(1, LENGTH + 1, (rows, 1))
        ids = generator.integers(1, VOCABULARY, (rows, LENGTH)) * mask
        x = {"token_ids": ids.astype("int32"), "padding_mask": mask}
        x["padding_mask"] = mask.astype("int32")
        y = {
            "labels": generator.integers(0, CLASSES, rows).astype("int32"),
            "label_weight": generator.integers(0, 2, rows).astype("float32"),
        }
        logits = generator.normal(size=(rows, CLASSES)).astype("float32") * 3
        if cached:
            y["teacher"] = {"logits": logits}
        weights = generator.choice([0.0, 0.5, 1.0, 2.0], rows)
        made.append((x, y, weights.astype("float32")))
    return made


def dataset(cached):
    made = batches(cached)
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype),
        made[0],
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # Its thread keeps `fit` waiting.
    return distribution.distribute_options(
        tf.data.Dataset.from_generator(
            lambda: iter(made), output_signature=signature
        ).with_options(options)
    )


def train(case, strategy):
    options = CASES[case]
    cached = not options.get("live")
    policy = options.get("policy", "float32")
    with strategy.scope():
        keras.config.set_dtype_policy(policy)
        student = options.get("student", bag)()
        keras.config.set_dtype_policy("float32")
        distiller = Distiller(
            student,
            teacher=None if cached else bag("teacher", seed=1),
            losses=[
                SoftTargets(LinearSchedule(4.0, 2.0, 4), weight=0.7),
                LogitsMSE(weight=LinearSchedule(0.0, 0.1, 3)),
            ],
            hard_label_weight=0.5,
        )
        distiller.compile(
            options.get("optimizer", lambda: keras.optimizers.SGD(0.3))(),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            accumulation_steps=options.get("accumulation_steps", 1),
        )
    before = student.get_weights()
    history = distiller.fit(dataset(cached), verbose=0).history
    result = {
        "before": before,
        "after": student.get_weights(),
        "logs": {name: values[-1] for name, values in history.items()},
        "evaluate": {},
        "logits": student(batches(True)[0][0]).numpy().astype("float32"),
    }
    if options.get("evaluate"):
        result["evaluate"] = distiller.evaluate(
            dataset(cached), return_dict=True, verbose=0
        )
    if policy == "mixed_float16":
        result["scale"] = float(distiller.optimizer.dynamic_scale.numpy())
    return result


def half_precision(**options):
    optimizer = keras.optimizers.SGD(0.3, **options)
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)


CASES = {
    "cached": {"evaluate": True},
    "live": {"live": True, "evaluate": True},
    "global_clipnorm": {
        "optimizer": lambda: keras.optimizers.SGD(0.3, global_clipnorm=0.2)
    },
    "clipnorm": {"optimizer": lambda: keras.optimizers.SGD(0.3, clipnorm=0.1)},
    "clipvalue": {
        "optimizer": lambda: keras.optimizers.SGD(0.3, clipvalue=0.03)
    },
    "regularizer": {"student": lambda: bag(regularizer="l2")},
    "recurrent": {"student": recurrent},
    "accumulated_and_clipped": {
        "accumulation_steps": 3,
        "live": True,
        "optimizer": lambda: keras.optimizers.SGD(0.3, global_clipnorm=0.2),
    },
    "adam": {
        "optimizer": lambda: keras.optimizers.AdamW(0.03, clipnorm=0.1),
        "adaptive": True,
    },
    "float16": {
        "policy": "mixed_float16",
        "optimizer": lambda: half_precision(global_clipnorm=0.2),
        "tolerance": 3e-4,
    },
}


def compare(case, strategy):
    one = train(case, tf.distribute.get_strategy())
    two = train(case, strategy)
    return {
        "moved": farthest(one["before"], one["after"]),
        "same_start": farthest(one["before"], two["before"]),
        "weights": farthest(one["after"], two["after"]),
        "logits": farthest([one["logits"]], [two["logits"]]),
        "logs": [one["logs"], two["logs"]],
        "evaluate": [one["evaluate"], two["evaluate"]],
        "scales": [one.get("scale"), two.get("scale")],
    }


def farthest(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other))


def infinite_on_the_second_replica(strategy):
    """Steps with a gradient that only the second replica sees overflow."""
    with strategy.scope():
        keras.config.set_dtype_policy("mixed_float16")
        student = bag()
        keras.config.set_dtype_policy("float32")
        distiller = Distiller(student, losses=[LogitsMSE()])
        distiller.compile(half_precision(clipvalue=0.1))
    x, y, _ = batches(True)[0]
    y = {"teacher": {"logits": np.zeros((8, CLASSES), "float32")}}
    y["teacher"]["logits"][-1] = 60000.0
    before = student.get_weights()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    distiller.fit(data, verbose=0)
    return {
        "moved": farthest(before, student.get_weights()),
        "scale": float(distiller.optimizer.dynamic_scale.numpy()),
    }


def dropout_masks(strategy):
    """What two replicas and one device drop, twice, and what is saved."""

    def drawn(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            inputs = keras.Input((64,), name="token_ids")
            student = keras.Model(
                inputs, keras.layers.Dropout(0.5, name="logits")(inputs)
            )
            Distiller(student)

        def step():
            return student(tf.ones((1, 64)), training=True)

        @tf.function
        def draw():
            return strategy.run(step)

        values = [strategy.experimental_local_results(draw()) for _ in "12"]
        state = student.layers[-1].seed_generator.state
        return np.array(values)[:, :, 0].tolist(), state.numpy().tolist()

    (two, two_state) = drawn(strategy)
    (one, one_state) = drawn(tf.distribute.get_strategy())
    return {"two": two, "one": one, "states": [two_state, one_state]}


def refusals(strategy):
    """The messages of what is refused under a strategy."""
    outside = bag()
    outside_optimizer = keras.optimizers.SGD(0.1)
    outside_metric = keras.metrics.SparseCategoricalAccuracy()
    found = {}

    def keep(name, function, *args, **kwargs):
        try:
            function(*args, **kwargs)
        except ValueError as error:
            found[name] = str(error)

    with strategy.scope():
        inside = bag()
        keep("student", Distiller, outside)
        distiller = Distiller(inside)
        accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    keep("distiller", Distiller, inside)
    compile_ = distiller.compile
    keep("jit", compile_, "sgd", jit_compile=True)
    keep("steps", compile_, "sgd", steps_per_execution=2)
    keep("accumulation", compile_, accumulating)
    keep("optimizer", compile_, outside_optimizer)
    keep("metric", compile_, "sgd", metrics=[outside_metric])
    compile_("sgd", metrics=["accuracy"], jit_compile="auto")
    found["jit_compile"] = distiller.jit_compile
    return found


def saved_and_restored(strategy, folder):
    """A checkpoint of two replicas, read by two and by one."""

    def make(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            student = recurrent_student(
                VOCABULARY, CLASSES, units=3, embedding_dim=4, dropout=0.5
            )
            distiller = Distiller(student, losses=[SoftTargets()])
            distiller.compile(keras.optimizers.Adam(0.01))
            distiller.optimizer.build(distiller.trainable_variables)
        return distiller

    def fit(distiller):
        distiller.fit(dataset(True), verbose=0)
        return distiller.student.get_weights()

    first = make(strategy)
    fit(first)
    first.save_weights(f"{folder}/state.weights.h5")
    uninterrupted = fit(first)
    second = make(strategy)
    second.load_weights(f"{folder}/state.weights.h5")
    first.student.save(f"{folder}/student.keras")
    return {
        "resumed": farthest(uninterrupted, fit(second)),
        "one_device": farthest(
            uninterrupted,
            keras.saving.load_model(f"{folder}/student.keras").get_weights(),
        ),
    }


def main(folder, *cases):
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    devices = ["CPU:0", "CPU:1"]
    strategy = distribution.strategy_by_name("mirrored", devices)
    found = {
        "replicas": strategy.num_replicas_in_sync,
        "same": strategy is distribution.strategy_by_name("mirrored", devices),
        "cases": {case: compare(case, strategy) for case in cases},
        "infinite": infinite_on_the_second_replica(strategy),
        "dropout": dropout_masks(strategy),
        "refusals": refusals(strategy),
        "saved": saved_and_restored(strategy, folder),
    }
    Path(folder, "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])


# === Tests ===


# The others take minutes.
FAST = ["cached", "live", "accumulated_and_clipped"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_cases(tmp_path_factory.mktemp("replicas"), FAST)


@pytest.fixture(scope="module")
def more_found(tmp_path_factory):
    cases = [case for case in CASES if case not in FAST]
    return run_cases(tmp_path_factory.mktemp("replicas"), cases)


def run_cases(folder, cases):
    done = subprocess.run(
        [sys.executable, __file__, folder, *cases],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "found.json").read_text())


def test_two_devices_are_one_strategy(found):
    assert found["replicas"] == 2
    assert found["same"]


@pytest.mark.parametrize("case", FAST)
def test_two_replicas_train_as_one(found, case):
    check_case(case, found["cases"][case])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in FAST])
def test_two_replicas_train_as_one_in_other_ways(more_found, case):
    check_case(case, more_found["cases"][case])


def check_case(case, result):
    options = CASES[case]
    tolerance = options.get("tolerance", 1e-6)
    assert result["same_start"] == 0.0
    assert result["moved"] > 30 * tolerance
    # Where gradients are near 0, Adam makes a step of the rounding.
    if not options.get("adaptive"):
        assert result["weights"] < tolerance
    assert result["logits"] < 5 * tolerance
    for one, two in (result["logs"], result["evaluate"]):
        assert set(one) == set(two)
        for name, value in one.items():
            assert two[name] == pytest.approx(
                value, rel=max(tolerance, 2e-6), abs=tolerance
            )
    assert set(one if options.get("evaluate") else result["logs"][0]) == {
        "loss",
        "accuracy",
        "hard_labels_loss",
        "soft_targets_loss",
        "logits_mse_loss",
    }


@pytest.mark.slow
def test_scaled_losses_keep_one_scale(more_found):
    assert more_found["cases"]["float16"]["scales"] == [64.0, 64.0]


@pytest.mark.slow
def test_clipping_is_felt(found, more_found):
    plain = found["cases"]["cached"]["moved"]
    for case in ("global_clipnorm", "clipnorm", "clipvalue"):
        assert more_found["cases"][case]["moved"] < 0.8 * plain


def test_a_gradient_that_overflows_on_one_replica_skips_the_step(found):
    # Keras asks the first replica alone, and a clipped infinity is finite.
    assert found["infinite"] == {"moved": 0.0, "scale": 32.0}


def test_each_replica_drops_units_of_its_own(found):
    two, (one, other) = found["dropout"]["two"], found["dropout"]["one"]
    for step, single in ((0, one[0]), (1, other[0])):
        first, second = two[step]
        assert first == single
        assert first != second
        assert set(second) == {0.0, 2.0}
    assert two[0][1] != two[1][1]
    assert found["dropout"]["states"][0] == found["dropout"]["states"][1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("student", "of no strategy.*in that of MirroredStrategy"),
        ("distiller", "of MirroredStrategy.*in that of no strategy"),
        ("jit", "jit_compile=True under MirroredStrategy.*Leave it off"),
        ("steps", "steps_per_execution=2 under.*Leave it at 1"),
        ("accumulation", "gradient_accumulation_steps=2.*`accumulation_steps`"),
        ("optimizer", "The optimizer was made in the scope of no strategy"),
        ("metric", "Metric 'sparse_categorical_accuracy' was made in the sc"),
    ],
)
def test_what_tensorflow_cannot_do_is_refused(found, name, message):
    import re

    assert re.search(message, found["refusals"][name])


def test_automatic_jit_is_off_under_a_strategy(found):
    assert found["refusals"]["jit_compile"] is False


def test_a_checkpoint_of_replicas_goes_on_exactly(found):
    assert found["saved"]["resumed"] < 1e-6
    assert found["saved"]["one_device"] == 0.0


def steps_of_sgd(rate, size, data):
    """Weights after an epoch over the data, in batches of a size."""
    student = bag()
    distiller = Distiller(student, losses=[LogitsMSE()])
    distiller.compile(keras.optimizers.SGD(rate))
    x, y = data
    distiller.fit(x, y, batch_size=size, shuffle=False, verbose=0)
    return student.get_weights()


def test_rate_of_a_batch_that_is_four_times_as_large():
    """One step of four times the rate goes where four steps have gone."""
    x, _, _ = batches(True)[0]
    logits = np.random.default_rng(1).normal(size=(8, CLASSES))
    data = x, {"teacher": {"logits": logits.astype("float32")}}
    rate = 1e-3
    start, four = bag().get_weights(), steps_of_sgd(rate, 2, data)
    moved = farthest(start, four)
    scaled = farthest(steps_of_sgd(4 * rate, 8, data), four)
    unscaled = farthest(steps_of_sgd(rate, 8, data), four)
    assert scaled < 0.05 * moved
    assert unscaled > 0.5 * moved


class TestStrategyByName:
    def test_none_is_tensorflows_own(self):
        strategy = distribution.strategy_by_name("none")
        assert strategy.num_replicas_in_sync == 1
        with strategy.scope():
            assert not tf.distribute.has_strategy()

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="one of.*'mirrored'.*: 'nccl'"):
            distribution.strategy_by_name("nccl")

    def test_devices_that_are_not_there(self):
        with pytest.raises(ValueError, match=r"\['CPU:0'\]. Rec.*CPU:7"):
            distribution.strategy_by_name("mirrored", ["CPU:0", "CPU:7"])
        with pytest.raises(ValueError, match="takes no devices"):
            distribution.strategy_by_name("none", ["CPU:0"])


def test_data_are_not_sharded_by_files():
    data = distribution.distribute_options(tf.data.Dataset.range(3))
    assert [int(number) for number in data] == [0, 1, 2]
    policy = data.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.OFF
