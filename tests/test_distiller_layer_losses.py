"""Losses on layers in the Distiller: projections, checkpoints, replicas.

TensorFlow takes its logical devices once a process, so that this file runs
itself, as `test_distribution.py` does.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd import distribution
from keras_kd import layer_mapping
from keras_kd import losses
from keras_kd.distiller import Distiller
from keras_kd.models.inference_encoder import for_inference
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.transformer import transformer_student

ROOT = Path(__file__).parent.parent
VOCABULARY, CLASSES, LENGTH = 20, 3, 5
WIDTH, TEACHER_WIDTH = 6, 8
MAP = layer_mapping.uniform(1, 2)
# The last batch leaves the pieces of a step with two rows and one.
SIZES = (4, 3)


def make_model(seed, layers, width, heads=2, dropout=0.0):
    """Its attention is far from even, as in a model that was trained."""
    keras.utils.set_random_seed(seed)
    model = transformer_student(
        VOCABULARY, CLASSES, layers, width, heads, dropout=dropout
    )
    for weight in model.trainable_weights:
        if weight.name in ("kernel", "embeddings"):
            weight.assign(20 * weight)
    return model


def make_student(dropout=0.0):
    return make_model(1, 1, WIDTH, dropout=dropout)


def make_teacher(heads=2):
    return make_model(2, 2, TEACHER_WIDTH, heads, dropout=0.5)


def make_losses():
    """Of each kind one; those that project know the width, for the cache."""
    return [
        losses.SoftTargets(2.0),
        losses.HiddenStateMSE([(0, 0), *MAP], teacher_dim=TEACHER_WIDTH),
        losses.PatientKnowledge(
            MAP, projection="tanh", teacher_dim=TEACHER_WIDTH
        ),
        losses.AttentionMSE(MAP),
        losses.SelfAttentionRelations(MAP, relation_heads=2),
    ]


NAMES = [
    "soft_targets",
    "hidden_state_mse",
    "patient_knowledge",
    "attention_mse",
    "self_attention_relations",
]


def make_distiller(
    teacher=None, optimizer=None, dropout=0.0, own_losses=None, **options
):
    # Tracing a graph takes seconds, a step as it is written far less.
    options.setdefault("run_eagerly", True)
    student = make_student(dropout)
    distiller = Distiller(
        student,
        teacher,
        make_losses() if own_losses is None else own_losses,
        hard_label_weight=0.5,
    )
    distiller.compile(
        optimizer or keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **options,
    )
    return distiller


def batch(rows, seed=0):
    """With padding, sample weights (one of them 0), rows without a label."""
    generator = np.random.default_rng(seed)
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
    weights = generator.choice([0.5, 1.0, 2.0], rows).astype("float32")
    weights[0] = 0.0
    return x, y, weights


def evaluate(distiller):
    x, y, weights = batch(4)
    return distiller.evaluate(
        x, y, sample_weight=weights, return_dict=True, verbose=0
    )


def train(distiller):
    """Two steps; gives the logs of each."""
    return [
        distiller.train_on_batch(*batch(rows, rows), return_dict=True)
        for rows in SIZES
    ]


def projections(distiller):
    return [
        keras.ops.convert_to_numpy(weight)
        for layer in distiller._loss_layers
        for weight in layer.weights
    ]


def trained(distiller):
    return [
        keras.ops.convert_to_numpy(weight)
        for weight in distiller.trainable_weights
    ]


def farthest(one, other):
    assert len(one) == len(other)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other))


# === In the process with two devices ===


def compare(strategy):
    def run(strategy, eagerly):
        with strategy.scope():
            teacher = make_teacher()
            distiller = make_distiller(
                teacher,
                keras.optimizers.SGD(0.1, global_clipnorm=0.5),
                run_eagerly=eagerly,
            )
        made = [batch(rows, rows) for rows in SIZES]
        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype),
            made[0],
        )
        data = distribution.distribute_options(
            tf.data.Dataset.from_generator(
                lambda: iter(made), output_signature=signature
            )
        )
        before = trained(distiller)
        logs = distiller.fit(data, verbose=0).history
        return before, trained(distiller), logs

    one = run(tf.distribute.get_strategy(), True)
    two = run(strategy, False)
    return {
        "moved": farthest(one[0], one[1]),
        "start": farthest(one[0], two[0]),
        "weights": farthest(one[1], two[1]),
        "logs": [one[2], two[2]],
    }


def main(file):
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = distribution.strategy_by_name("mirrored", ["CPU:0", "CPU:1"])
    Path(file).write_text(json.dumps(compare(strategy)))


if __name__ == "__main__":
    main(sys.argv[1])


# === Tests ===


def test_two_replicas_train_as_one(tmp_path):
    file = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, __file__, file],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    found = json.loads(file.read_text())
    assert found["start"] == 0.0
    assert found["moved"] > 1e-2
    assert found["weights"] < 2e-5
    one, two = found["logs"]
    assert {f"{name}_loss" for name in NAMES} < set(one) == set(two)
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5)


def teacher_targets(teacher, x):
    """What a cache holds: the outputs of layers, by name."""
    names = {name for loss in make_losses() for name in loss.teacher_outputs}
    # Computed as a Distiller does: training makes more of a rounding error.
    teacher = for_inference(teacher)
    outputs = layer_outputs(teacher, sorted(names - {"logits"}))
    return keras.tree.map_structure(
        keras.ops.convert_to_numpy, outputs(x, training=False)
    )


@pytest.fixture(scope="module")
def whole():
    """Trained on a live teacher: the logs, and the weights before and after."""
    distiller = make_distiller(make_teacher())
    before = trained(distiller)
    first = projections(distiller)
    logs = train(distiller)
    return distiller, before, first, logs


def test_live_and_cached_teacher_give_the_same_weights(whole):
    teacher = make_teacher()
    distiller = make_distiller()
    for rows, expected in zip(SIZES, whole[3]):
        x, y, weights = batch(rows, rows)
        y["teacher"] = teacher_targets(teacher, x)
        logs = distiller.train_on_batch(x, y, weights, return_dict=True)
        assert logs == pytest.approx(expected, rel=1e-5)
    assert farthest(trained(distiller), trained(whole[0])) < 1e-6


def test_each_loss_is_that_of_its_outputs(whole):
    student, teacher = make_student(), make_teacher()
    x, y, weights = batch(SIZES[0], SIZES[0])
    read = [n for loss in make_losses() for n in loss.student_outputs]
    outputs = layer_outputs(student, [n for n in read if n != "logits"])(x)
    targets = teacher_targets(teacher, x)
    for loss in make_losses():
        if loss.name in ("hidden_state_mse", "patient_knowledge"):
            continue  # They have projections.
        values = loss(outputs, targets, mask=x["padding_mask"])
        assert whole[3][0][f"{loss.name}_loss"] == pytest.approx(
            np.average(values, weights=weights), rel=1e-5
        )


class TestProjections:
    def test_they_are_trained_and_are_no_part_of_the_student(self, whole):
        distiller, _, first, _ = whole
        # A kernel and a bias for the embeddings, a block, and PKD's block.
        assert [array.shape for array in first] == [(6, 8), (8,)] * 3
        for before, after in zip(first, projections(distiller)):
            assert np.abs(before - after).max() > 1e-5
        names = [weight.path for weight in distiller.student.weights]
        assert not [name for name in names if "mse" in name or "pat" in name]
        assert len(distiller.trainable_weights) == 6 + len(
            distiller.student.trainable_weights
        )

    def test_the_saved_student_knows_nothing_of_them(self, whole, tmp_path):
        student = whole[0].student
        student.save(tmp_path / "student.keras")
        again = keras.saving.load_model(tmp_path / "student.keras")
        assert len(again.weights) == len(make_student().weights)
        x, _, _ = batch(3)
        np.testing.assert_array_equal(again(x), student(x))

    def test_predictions_are_the_students_own(self, whole):
        distiller = whole[0]
        x, _, _ = batch(3)
        expected = distiller.student.predict(x, verbose=0)
        for received in (
            distiller.predict_on_batch(x),
            distiller.predict(x, verbose=0),
        ):
            np.testing.assert_allclose(received, expected, atol=1e-6)

    def test_they_are_in_checkpoints(self, whole, tmp_path):
        distiller = whole[0]
        distiller.save_weights(tmp_path / "state.weights.h5")
        again = make_distiller(make_teacher())
        assert farthest(trained(again), trained(distiller)) > 1e-3
        again.load_weights(tmp_path / "state.weights.h5")
        assert farthest(trained(again), trained(distiller)) == 0.0
        assert len(projections(again)) == 6

    def test_they_are_in_a_saved_distiller(self, whole, tmp_path):
        distiller = whole[0]
        distiller.save(tmp_path / "distiller.keras")
        again = keras.saving.load_model(tmp_path / "distiller.keras")
        assert farthest(projections(again), projections(distiller)) == 0.0
        again.teacher = make_teacher()
        assert evaluate(again) == pytest.approx(evaluate(distiller), rel=1e-5)

    def test_of_teachers_of_several_widths(self, tmp_path):
        inputs = make_student().input
        teachers = [make_model(2, 1, width) for width in (8, 12)]
        logits = [
            keras.Model(one.input, one.output, name=name)(inputs)
            for one, name in zip(teachers, ("narrow", "wide"))
        ]
        teacher = keras.Model(inputs, keras.layers.average(logits))
        between = losses.HiddenStateMSE([(1, 1), (1, 2)])
        distiller = make_distiller(teacher, own_losses=[between])
        distiller.save(tmp_path / "distiller.keras")
        again = keras.saving.load_model(tmp_path / "distiller.keras")
        assert [array.shape for array in projections(again)] == [
            (6, 8), (8,), (6, 12), (12,)
        ]  # fmt: skip
        assert farthest(projections(again), projections(distiller)) == 0.0
        again.teacher = teacher
        assert evaluate(again) == pytest.approx(evaluate(distiller), rel=1e-5)

    def test_clipping_reaches_them(self, whole):
        # One step of SGD is as long as the clipped gradient of all weights.
        distiller = make_distiller(
            make_teacher(), keras.optimizers.SGD(1.0, global_clipnorm=0.01)
        )
        before, first = trained(distiller), projections(distiller)
        distiller.train_on_batch(*batch(4, 4))
        steps = [a - b for a, b in zip(before, trained(distiller))]
        of_projections = [a - b for a, b in zip(first, projections(distiller))]
        length = np.sqrt(sum((step**2).sum() for step in steps))
        assert length == pytest.approx(0.01, rel=1e-3)
        assert all(np.abs(step).max() > 0 for step in of_projections)

    def test_a_run_that_was_killed_goes_on_exactly(self, tmp_path):
        class Killed(Exception):
            pass

        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    raise Killed

        def run(folder, kill):
            distiller = make_distiller(
                make_teacher(), keras.optimizers.Adam(0.01)
            )
            x, y, weights = batch(4)
            distiller.fit(
                x, y, sample_weight=weights, epochs=2, shuffle=False,
                verbose=0,
                callbacks=[
                    keras.callbacks.BackupAndRestore(folder),
                    *([Kill()] if kill else []),
                ],
            )  # fmt: skip
            return trained(distiller)

        uninterrupted = run(tmp_path / "whole", kill=False)
        with pytest.raises(Killed):
            run(tmp_path / "killed", kill=True)
        resumed = run(tmp_path / "killed", kill=False)
        assert farthest(uninterrupted, resumed) < 1e-7


@pytest.mark.parametrize("steps", [1, 2])
def test_layers_alone_leave_the_head_as_it_is(steps):
    student = make_student()
    distiller = Distiller(student, make_teacher(), [losses.HiddenStateMSE(MAP)])
    distiller.compile(
        keras.optimizers.AdamW(0.1), accumulation_steps=steps, run_eagerly=True
    )
    before = {w.path: w.numpy() for w in student.trainable_weights}
    with warnings.catch_warnings():
        # Keras would ask for a loss that was forgotten.
        warnings.simplefilter("error", UserWarning)
        train(distiller)
    kept = {
        w.path
        for w in student.trainable_weights
        if np.array_equal(w.numpy(), before[w.path])
    }
    head = {w.path for w in student.get_layer("logits").weights}
    assert kept >= head and len(kept) < len(before) / 2


def test_micro_batches_are_the_step_of_the_whole_batch(whole):
    distiller = make_distiller(
        make_teacher(), accumulation_steps=2, run_eagerly=False
    )
    logs = train(distiller)
    for one, other in zip(whole[3], logs):
        assert other == pytest.approx(one, rel=1e-5)
    assert farthest(trained(whole[0]), trained(distiller)) < 2e-5


def test_rows_are_compared_within_a_micro_batch():
    # Of five rows in two pieces the second is filled up with a row that is
    # not there.
    x, _, _ = batch(5, 1)
    teacher, student = make_teacher(), make_student()
    loss = losses.RelationalDistance("pooled")
    pooled = [
        np.array(layer_outputs(model, ["pooled"])(x)["pooled"])
        for model in (student, teacher)
    ]
    values = [
        np.asarray(
            loss({"pooled": pooled[0][rows]}, {"pooled": pooled[1][rows]})
        )
        for rows in (slice(0, 3), slice(3, 5))
    ]
    distiller = make_distiller(teacher, own_losses=[loss], accumulation_steps=2)
    logs = distiller.train_on_batch(x, return_dict=True)
    assert logs["relational_distance_loss"] == pytest.approx(
        np.concatenate(values).mean(), rel=1e-5
    )


def test_evaluation_is_deterministic_and_training_is_not():
    distiller = make_distiller(make_teacher(), dropout=0.5)
    distiller.optimizer.learning_rate = 0.0
    logs = evaluate(distiller)
    assert evaluate(distiller) == logs
    seen = {logs["attention_mse_loss"]}
    for _ in range(2):
        distiller.reset_metrics()
        trained = distiller.train_on_batch(*batch(4), return_dict=True)
        seen.add(trained["attention_mse_loss"])
    assert len(seen) == 3


def test_each_model_runs_once_a_step(monkeypatch):
    calls = []
    call = keras.layers.Embedding.call

    def counted(self, inputs):
        calls.append(id(self))
        return call(self, inputs)

    teacher = make_teacher()
    distiller = make_distiller(teacher)
    data = batch(4)
    distiller.train_on_batch(*data)  # Keras builds metrics on the way.
    monkeypatch.setattr(keras.layers.Embedding, "call", counted)
    tables = [
        id(model.get_layer("token_embedding"))
        for model in (distiller.student, teacher)
    ]
    distiller.train_on_batch(*data)
    assert sorted(calls) == sorted(tables)
    calls.clear()
    distiller.test_on_batch(*data)
    assert sorted(calls) == sorted(tables)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains_projections_in_float32(policy, whole):
    keras.config.set_dtype_policy(policy)
    try:
        distiller = make_distiller(make_teacher())
    finally:
        keras.config.set_dtype_policy("float32")
    logs = distiller.train_on_batch(*batch(4, 4), return_dict=True)
    assert logs == pytest.approx(whole[3][0], rel=0.05)
    assert {array.dtype.name for array in projections(distiller)} == {"float32"}
    assert all(np.isfinite(array).all() for array in trained(distiller))


def test_other_numbers_of_heads_are_refused_with_a_way_out():
    teacher = make_teacher(heads=4)
    distiller = make_distiller(
        teacher, own_losses=[losses.AttentionMSE([(1, 1)])]
    )
    with pytest.raises(ValueError, match="SelfAttentionRelations"):
        distiller.train_on_batch(*batch(4))
    distiller = make_distiller(
        teacher, own_losses=[losses.SelfAttentionRelations([(1, 1)], 2)]
    )
    assert np.isfinite(distiller.train_on_batch(*batch(4))[0])
