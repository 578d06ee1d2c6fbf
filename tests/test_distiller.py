"""The Distiller against hand-made steps, and the traps that are silent."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras import ops

from keras_kd import tensorflow_step
from keras_kd.distiller import Distiller
from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.heads import masked_pool
from keras_kd.models.recurrent import recurrent_student
from keras_kd.runs.training import adamw
from keras_kd.schedules import CosineSchedule
from keras_kd.schedules import JoinedSchedule
from keras_kd.schedules import LinearSchedule
from keras_kd.schedules import LinearWarmupDecay

VOCABULARY, CLASSES = 20, 3


def bag(name="bag", inputs=("token_ids",), activation=None, outputs=CLASSES):
    tensors = {n: keras.Input((None,), dtype="int32", name=n) for n in inputs}
    x = layers.Embedding(VOCABULARY, 4)(tensors["token_ids"])
    x = layers.GlobalAveragePooling1D()(x)
    logits = layers.Dense(outputs, activation=activation, name="logits")(x)
    return keras.Model(tensors, logits, name=name)


def data(rows=12, length=5, teacher=True, seed=0):
    generator = np.random.default_rng(seed)
    x = {
        "token_ids": generator.integers(1, VOCABULARY, (rows, length)).astype(
            "int32"
        ),
        "padding_mask": np.ones((rows, length), "int32"),
        "segment_ids": np.zeros((rows, length), "int32"),
    }
    y = {"labels": generator.integers(0, CLASSES, rows).astype("int32")}
    if teacher:
        logits = generator.normal(size=(rows, CLASSES)).astype("float32")
        y["teacher"] = {"logits": logits}
    return x, y


def hard_label_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(student, optimizer=None, jit_compile=False, **kwargs):
    distiller = Distiller(student, **kwargs)
    distiller.compile(
        optimizer or keras.optimizers.SGD(0.1),
        loss=hard_label_loss(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=jit_compile,
    )
    return distiller


class Confidence(DistillationLoss):
    student_outputs = ("logits",)

    def per_example(self, student, teacher, context):
        return ops.mean(ops.square(student["logits"]), axis=-1)


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_total_is_the_weighted_sum_of_an_independent_oracle():
    x, y = data()
    student = bag()
    distiller = compiled(
        student,
        losses=[SoftTargets(temperature=3.0, weight=0.7)],
        hard_label_weight=0.3,
    )
    weights = np.linspace(0.0, 2.0, 12)
    logs = distiller.evaluate(x, y, sample_weight=weights, return_dict=True)
    logits = np.float64(student.predict({"token_ids": x["token_ids"]}))
    p = softmax(np.float64(y["teacher"]["logits"]) / 3)
    q = softmax(logits / 3)
    soft = 9 * (p * np.log(p / q)).sum(-1)
    hard = -np.log(softmax(logits)[np.arange(12), y["labels"]])
    soft, hard = (np.average(v, weights=weights) for v in (soft, hard))
    assert logs["soft_targets_loss"] == pytest.approx(soft, rel=1e-5)
    assert logs["hard_labels_loss"] == pytest.approx(hard, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.7 * soft + 0.3 * hard, rel=1e-5)


def test_live_and_cached_teacher_give_the_same_weights():
    x, _ = data()
    teacher = bag("teacher", ("token_ids", "segment_ids", "padding_mask"))
    logits = teacher.predict({k: x[k] for k in x}, verbose=0)
    labels = {"labels": np.zeros(12, "int32")}
    cached = {**labels, "teacher": {"logits": logits}}
    trained = []
    for y, live in ((labels, teacher), (cached, None)):
        keras.utils.set_random_seed(1)
        distiller = compiled(bag(), teacher=live, losses=[SoftTargets()])
        distiller.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
        trained.append(distiller.student.get_weights())
    for one, other in zip(*trained):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_inputs_are_picked_by_name_not_by_sorted_position():
    # A functional model that is given one key too many maps the values by
    # sorted position: `segment_ids` would go in as `token_ids`.
    x, y = data()
    student = bag(inputs=("token_ids", "padding_mask"))
    picked = Distiller(student)(x)
    right = student({k: x[k] for k in ("token_ids", "padding_mask")})
    np.testing.assert_allclose(picked, right)
    with pytest.raises(KeyError, match="Missing: \\['padding_mask'\\]"):
        Distiller(student)({"token_ids": x["token_ids"]})


def test_embedding_gradients_of_repeated_tokens_are_summed_before_adam():
    # Row-wise, Adam would square the parts of a repeated token one by one.
    x = {"token_ids": np.array([[1, 1, 1, 2]], "int32")}
    y = {"labels": np.array([2], "int32")}
    keras.utils.set_random_seed(0)
    student = bag()
    table = student.layers[1].embeddings
    before, dense = table.numpy(), student.layers[-1]
    logits = student(x).numpy()[0]
    gradient = (softmax(logits) - np.eye(CLASSES)[2]) @ dense.kernel.numpy().T
    distiller = compiled(student, keras.optimizers.Adam(0.1, epsilon=1e-3))
    distiller.train_on_batch(x, y)
    for token, share in ((1, 0.75), (2, 0.25)):
        g = gradient * share
        # Keras adds epsilon to the moment before its bias is corrected.
        step = -0.1 * g / (np.abs(g) + 1e-3 / np.sqrt(1 - 0.999))
        np.testing.assert_allclose(
            table.numpy()[token] - before[token], step, rtol=1e-3
        )
    np.testing.assert_array_equal(table.numpy()[3:], before[3:])


def test_rows_of_weight_zero_may_hold_any_label():
    x, y = data()
    weights = np.array([1.0] * 5 + [0.0] * 7, "float32")
    y["labels"][5:] = -1
    trained = []
    for rows in (slice(0, 12), slice(0, 5)):
        keras.utils.set_random_seed(0)
        distiller = compiled(bag(), losses=[SoftTargets()])
        distiller.fit(
            {name: value[rows] for name, value in x.items()},
            keras.tree.map_structure(lambda value: value[rows], y),
            sample_weight=weights[rows],
            batch_size=12,
            verbose=0,
        )
        trained.append(distiller)
    assert_same_weights(*trained)


def test_unlabelled_rows_count_for_soft_targets_alone():
    x, y = data()
    weight = np.array([1.0] * 5 + [0.0] * 7, "float32")
    distiller = compiled(bag(), losses=[SoftTargets()])
    logs = distiller.evaluate(
        x, {**y, "label_weight": weight}, return_dict=True, verbose=0
    )
    first = {name: value[:5] for name, value in x.items()}
    labelled = distiller.evaluate(
        first,
        {
            "labels": y["labels"][:5],
            "teacher": {"logits": y["teacher"]["logits"][:5]},
        },
        return_dict=True,
        verbose=0,
    )
    for name in ("hard_labels_loss", "accuracy"):
        assert logs[name] == pytest.approx(labelled[name], rel=1e-5)
    assert logs["soft_targets_loss"] != pytest.approx(
        labelled["soft_targets_loss"], rel=1e-3
    )


def test_missing_inputs_of_the_teacher_say_where_they_go():
    words = keras.Input((4,), name="words")
    teacher = keras.Model(words, layers.Dense(CLASSES)(words), name="by_words")
    x, _ = data()
    distiller = compiled(bag(), teacher=teacher, losses=[SoftTargets()])
    y = {"labels": np.zeros(12, "int32")}
    with pytest.raises(KeyError) as error:
        distiller.evaluate(x, y, verbose=0)
    message = str(error.value)
    assert "Teacher 'by_words' needs the inputs ['words']" in message
    assert "y['teacher_inputs'] = {'words': ...}" in message
    y["teacher_inputs"] = {"words": np.ones((12, 4), "float32")}
    distiller.evaluate(x, y, verbose=0)


def test_teacher_is_untouched_untracked_and_not_saved(tmp_path):
    x, y = data(teacher=False)
    teacher = bag("teacher")
    teacher.layers[1].trainable = False
    before = teacher.get_weights()
    distiller = compiled(bag(), teacher=teacher, losses=[SoftTargets()])
    distiller.fit(x, y, epochs=2, verbose=0)
    for one, other in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert [layer.trainable for layer in teacher.layers] == [
        True, False, True, True,
    ]  # fmt: skip
    assert (
        len(distiller.weights)
        < len(before) + len(distiller.student.weights) + 5
    )
    distiller.save(tmp_path / "distiller.keras")
    restored = keras.saving.load_model(tmp_path / "distiller.keras")
    assert restored.teacher is None
    restored.teacher = teacher
    np.testing.assert_allclose(
        restored.predict(x, verbose=0), distiller.predict(x, verbose=0)
    )


def test_teacher_that_is_given_later_teaches_and_is_not_trained():
    x, y = data(teacher=False)
    first, second = bag("first"), bag("second")
    second.set_weights([-3 * weight for weight in second.get_weights()])
    distiller = compiled(bag(), losses=[SoftTargets()])
    own = len(distiller.trainable_weights)
    results = []
    for teacher in (first, second):
        before = teacher.get_weights()
        distiller.teacher = teacher
        assert distiller.teacher is teacher
        assert len(distiller.trainable_weights) == own
        results.append(distiller.evaluate(x, y, verbose=0, return_dict=True))
        distiller.fit(x, y, verbose=0)
        for one, other in zip(before, teacher.get_weights()):
            np.testing.assert_array_equal(one, other)
        fresh = compiled(
            distiller.student, teacher=teacher, losses=[SoftTargets()]
        )
        same = distiller.evaluate(x, y, verbose=0, return_dict=True)
        assert same == pytest.approx(
            fresh.evaluate(x, y, verbose=0, return_dict=True)
        )
    assert results[0]["soft_targets_loss"] != results[1]["soft_targets_loss"]


def test_teacher_that_is_given_in_the_middle_of_fit_teaches():
    x, y = data(teacher=False)
    teachers = [bag("first"), bag("second")]
    teachers[1].set_weights([-3 * w for w in teachers[1].get_weights()])

    class GiveNext(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.teacher = teachers[epoch]

    def make_distiller():
        keras.utils.set_random_seed(1)
        return compiled(bag(), losses=[SoftTargets()])

    options = {"validation_data": (x, y), "shuffle": False, "verbose": 0}
    distiller, apart = make_distiller(), make_distiller()
    history = distiller.fit(
        x, y, epochs=2, callbacks=[GiveNext()], **options
    ).history
    for epoch, teacher in enumerate(teachers):
        apart.teacher = teacher
        for name, values in apart.fit(x, y, **options).history.items():
            assert history[name][epoch] == pytest.approx(values[0], rel=1e-5)
    assert_same_weights(distiller, apart)


def test_every_keras_callback_works(tmp_path):
    x, y = data()
    distiller = compiled(bag(), keras.optimizers.Adam(), losses=[SoftTargets()])
    c = keras.callbacks
    distiller.fit(
        x,
        y,
        validation_data=(x, y),
        epochs=3,
        verbose=0,
        callbacks=[
            c.ModelCheckpoint(
                tmp_path / "best.weights.h5",
                save_weights_only=True,
                save_best_only=True,
            ),
            c.ModelCheckpoint(tmp_path / "{epoch}.keras"),
            c.BackupAndRestore(tmp_path / "backup"),
            c.TensorBoard(tmp_path / "tensorboard"),
            c.EarlyStopping(patience=5, restore_best_weights=True),
            c.ReduceLROnPlateau(patience=1),
            c.CSVLogger(tmp_path / "log.csv"),
        ],
    )
    header = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert {"hard_labels_loss", "soft_targets_loss", "val_loss"} <= set(header)
    for name in ("best.weights.h5", "3.keras", "tensorboard/train"):
        assert (tmp_path / name).exists()


def test_backup_and_restore_continues_exactly(tmp_path):
    x, y = data()

    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    def train(folder, kill):
        keras.utils.set_random_seed(5)
        distiller = compiled(
            recurrent_student(VOCABULARY, CLASSES, units=3, embedding_dim=4),
            keras.optimizers.Adam(0.01),
            losses=[SoftTargets()],
        )
        callbacks = [keras.callbacks.BackupAndRestore(folder)]
        callbacks += [Kill()] if kill else []
        distiller.fit(
            x, y, epochs=4, batch_size=4, shuffle=False, verbose=0,
            callbacks=callbacks,
        )  # fmt: skip
        return distiller.student.get_weights()

    whole = train(tmp_path / "whole", kill=False)
    with pytest.raises(Killed):
        train(tmp_path / "killed", kill=True)
    resumed = train(tmp_path / "killed", kill=False)
    for one, other in zip(whole, resumed):
        np.testing.assert_allclose(one, other, atol=1e-7)


def weights_of(distiller):
    return distiller.student.get_weights()


def assert_same_weights(one, other, atol=1e-6):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def masked_bag(policy="float32", **options):
    """As `bag`, but it reads the mask, and of the same weights every time."""
    keras.config.set_dtype_policy(policy)
    try:
        tensors = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        x = layers.Embedding(VOCABULARY, 4)(tensors["token_ids"])
        x = masked_pool(x, tensors["padding_mask"], "mean")
        x = layers.Dense(CLASSES, **options)(x)
        model = keras.Model(tensors, x)
    finally:
        keras.config.set_dtype_policy("float32")
    generator = np.random.default_rng(0)
    model.set_weights(
        [generator.normal(size=w.shape) for w in model.get_weights()]
    )
    return model


class TestPrecision:
    """Against float32, after six steps; the Distiller is built later."""

    def train(self, policy, optimizer=None, **options):
        x, y = data()
        distiller = Distiller(
            masked_bag(policy), losses=[SoftTargets(), LogitsMSE(weight=0.1)]
        )
        distiller.compile(
            optimizer or keras.optimizers.SGD(0.2, global_clipnorm=0.5),
            loss=hard_label_loss(),
            metrics=["accuracy"],
            **options,
        )
        history = distiller.fit(
            x,
            y,
            sample_weight=np.linspace(0, 2, 12),
            epochs=2,
            batch_size=4,
            shuffle=False,
            verbose=0,
        ).history
        return distiller, history["loss"]

    @pytest.mark.parametrize("jit_compile", [False, True])
    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_half_precision_trains_as_float32(self, policy, jit_compile):
        exact, losses = self.train("float32")
        half, half_losses = self.train(policy, jit_compile=jit_compile)
        np.testing.assert_allclose(half_losses, losses, rtol=1e-2)
        assert_same_weights(exact, half, atol=5e-3)
        assert all(w.dtype == "float32" for w in weights_of(half))
        scaled = isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")

    def test_a_loss_scale_of_ones_own_is_kept_and_lowered(self):
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.2), initial_scale=2.0**40
        )
        distiller, _ = self.train("mixed_float16", optimizer)
        assert distiller.optimizer is optimizer
        # Six steps overflow, and each halves it.
        assert float(optimizer.dynamic_scale.numpy()) == 2.0**34
        assert int(optimizer.iterations.numpy()) == 0

    def test_xla_and_several_steps_at_once_change_nothing(self):
        plain, losses = self.train("float32")
        for options in ({"jit_compile": True}, {"steps_per_execution": 2}):
            other, other_losses = self.train("float32", **options)
            np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
            assert_same_weights(plain, other)

    def test_float64_students_are_trained_in_float64(self):
        distiller, losses = self.train("float64")
        assert distiller.objective.dtype == "float64"
        _, expected = self.train("float32")
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


class TestFusedUpdate:
    """XLA makes one loop of an update where the model is large."""

    train = staticmethod(TestPrecision().train)

    @pytest.fixture
    def fused(self, monkeypatch):
        monkeypatch.setattr(tensorflow_step, "LARGE", 0)
        ask, answers = tensorflow_step._is_worth_fusing, []

        def record(distiller):
            answers.append(ask(distiller))
            return answers[-1]

        monkeypatch.setattr(tensorflow_step, "_is_worth_fusing", record)
        return answers

    @pytest.mark.parametrize(
        "options",
        [{}, {"accumulation_steps": 2}, {"steps_per_execution": 2}],
        ids=str,
    )
    def test_it_is_the_same_update(self, fused, monkeypatch, options):
        one, losses = self.train("float32", adamw(0.1, 6), **options)
        assert fused and all(fused)
        monkeypatch.setattr(tensorflow_step, "LARGE", math.inf)
        other, other_losses = self.train("float32", adamw(0.1, 6), **options)
        assert not fused[-1]
        np.testing.assert_allclose(other_losses, losses, rtol=1e-6)
        assert_same_weights(one, other)

    def test_not_where_it_may_fail(self, fused):
        class Own(keras.optimizers.SGD):
            pass

        self.train("float32", Own(0.1))
        self.train("mixed_float16")
        self.train("float32", run_eagerly=True)
        assert len(fused) > 2 and not any(fused)


def uneven_data(rows, cached):
    """With padding, rows without a label, and weights, some of them 0."""
    generator = np.random.default_rng(rows)
    x, y = data(rows, teacher=cached, seed=rows)
    mask = np.arange(5) < generator.integers(1, 6, (rows, 1))
    x["token_ids"] = (x["token_ids"] * mask).astype("int32")
    x["padding_mask"] = mask.astype("int32")
    y["label_weight"] = generator.integers(0, 2, rows).astype("float32")
    weights = generator.choice([0.0, 0.5, 1.0, 2.0], rows)
    return x, y, weights.astype("float32")


class TestAccumulation:
    def train(self, steps, optimizer=None, cached=True, weigh=True, **options):
        keras.utils.set_random_seed(1)
        distiller = Distiller(
            masked_bag(kernel_regularizer="l2", **options),
            teacher=None if cached else bag("teacher"),
            losses=[SoftTargets(), LogitsMSE(weight=0.1)],
            hard_label_weight=0.4,
        )
        distiller.compile(
            optimizer or keras.optimizers.SGD(0.5),
            loss=hard_label_loss(),
            metrics=["accuracy"],
            accumulation_steps=steps,
        )
        logs = []
        # 7 rows are not a multiple of the pieces, 2 are fewer than those.
        for rows in (12, 7, 2, 1):
            x, y, weights = uneven_data(rows, cached)
            logs.append(
                distiller.train_on_batch(
                    x, y, weights if weigh else None, return_dict=True
                )
            )
        return distiller, logs

    @pytest.mark.parametrize("cached", [True, False])
    @pytest.mark.parametrize("weigh", [True, False])
    @pytest.mark.parametrize("steps", [2, 3])
    def test_it_is_the_step_of_the_whole_batch(self, steps, cached, weigh):
        whole, expected = self.train(1, cached=cached, weigh=weigh)
        pieces, logs = self.train(steps, cached=cached, weigh=weigh)
        assert_same_weights(whole, pieces)
        for one, other in zip(expected, logs):
            assert set(one) == set(other)
            for name, value in one.items():
                assert other[name] == pytest.approx(value, rel=1e-6, abs=1e-6)

    def test_adam_and_clipping_see_the_sum(self):
        adam = keras.optimizers.Adam
        whole, _ = self.train(1, adam(0.1, epsilon=0.01, clipnorm=0.1))
        pieces, _ = self.train(4, adam(0.1, epsilon=0.01, clipnorm=0.1))
        assert_same_weights(whole, pieces)
        assert int(pieces.optimizer.iterations.numpy()) == 4

    def test_half_precision(self):
        whole, _ = self.train(1, policy="mixed_float16")
        pieces, _ = self.train(3, policy="mixed_float16")
        assert_same_weights(whole, pieces, atol=5e-3)

    def test_with_xla_and_recurrent_layers(self):
        def train(steps, jit_compile):
            keras.utils.set_random_seed(0)
            student = recurrent_student(
                VOCABULARY, CLASSES, units=3, embedding_dim=4, dropout=0.0
            )
            distiller = Distiller(student, losses=[SoftTargets()])
            distiller.compile(
                keras.optimizers.SGD(0.5),
                accumulation_steps=steps,
                jit_compile=jit_compile,
            )
            x, y = data(8)
            y.pop("labels")
            for _ in range(2):
                distiller.train_on_batch(x, y)
            return distiller

        whole = train(1, False)
        assert_same_weights(whole, train(4, False))
        assert_same_weights(whole, train(4, True), atol=1e-5)

    def test_each_piece_drops_units_of_its_own(self):
        inputs = keras.Input((64,), name="token_ids")
        x = layers.Dropout(0.5)(inputs)
        student = keras.Model(
            inputs,
            layers.Dense(1, use_bias=False, kernel_initializer="zeros")(x),
        )
        distiller = Distiller(student, losses=[LogitsMSE()])
        distiller.compile(keras.optimizers.SGD(1.0), accumulation_steps=2)
        y = {"teacher": {"logits": np.ones((2, 1), "float32")}}
        distiller.train_on_batch(np.ones((2, 64), "float32"), y)
        # A weight moves by 2 in a piece that keeps its unit: 0, 2 or 4.
        (kernel,) = student.get_weights()
        assert set(np.round(kernel[:, 0], 4)) == {0.0, 2.0, 4.0}

    def test_variables_without_a_gradient_stay_as_they_are(self):
        # Weight decay would shrink them if their gradient were 0, not None.
        def train(steps):
            keras.utils.set_random_seed(0)
            inputs = keras.Input((2,), name="token_ids")
            hidden = layers.Dense(2)(inputs)
            outputs = {"logits": layers.Dense(2)(hidden)}
            outputs["unused"] = layers.Dense(2, name="unused")(hidden)
            student = keras.Model(inputs, outputs)
            distiller = Distiller(student, losses=[LogitsMSE()])
            distiller.compile(
                keras.optimizers.SGD(0.1, weight_decay=0.1),
                accumulation_steps=steps,
            )
            x = np.arange(8, dtype="float32").reshape(4, 2)
            y = {"teacher": {"logits": x[:, ::-1]}}
            before = student.get_layer("unused").get_weights()
            with pytest.warns(UserWarning, match="Gradients do not exist"):
                distiller.train_on_batch(x, y)
            for one, other in zip(
                before, student.get_layer("unused").get_weights()
            ):
                np.testing.assert_array_equal(one, other)
            return distiller

        assert_same_weights(train(1), train(2))

    def test_it_is_kept_when_the_distiller_is_saved(self, tmp_path):
        distiller, _ = self.train(3)
        distiller.save(tmp_path / "distiller.keras")
        again = keras.saving.load_model(tmp_path / "distiller.keras")
        assert again.accumulation_steps == 3

    @pytest.mark.parametrize("steps", [0, 2.0, -1])
    def test_steps_that_are_none(self, steps):
        with pytest.raises(ValueError, match="whole number, 1 or more"):
            Distiller(bag()).compile("sgd", accumulation_steps=steps)

    def test_the_optimizers_own_accumulation_works_as_in_keras(self):
        # Two halves of a batch, of the same weight: the mean of their
        # gradients, after the second.
        x, y = data(8)
        trained = []
        for size, accumulate in ((8, None), (4, 2)):
            optimizer = keras.optimizers.SGD(
                0.5, gradient_accumulation_steps=accumulate
            )
            keras.utils.set_random_seed(0)
            distiller = compiled(bag(), optimizer, losses=[SoftTargets()])
            before = weights_of(distiller)
            for start in range(0, 8, size):
                part = slice(start, start + size)
                distiller.train_on_batch(
                    *keras.tree.map_structure(lambda a: a[part], (x, y))
                )
                if start + size < 8:
                    np.testing.assert_array_equal(
                        weights_of(distiller)[0], before[0]
                    )
            trained.append(distiller)
        assert_same_weights(*trained)


class TestWhatIsNotMeasuredIsNotLogged:
    @pytest.mark.filterwarnings("ignore:The rows to evaluate")
    def test_validation_rows_without_teacher_targets(self, tmp_path):
        x, y = data()
        held_out = x, {"labels": y["labels"]}
        distiller = compiled(bag(), losses=[SoftTargets()])
        c = keras.callbacks
        history = distiller.fit(
            x,
            y,
            validation_data=held_out,
            epochs=2,
            verbose=0,
            callbacks=[
                c.CSVLogger(tmp_path / "log.csv"),
                c.EarlyStopping("val_loss", patience=1),
                c.ReduceLROnPlateau("val_hard_labels_loss", mode="min"),
                c.ModelCheckpoint(
                    tmp_path / "best.weights.h5",
                    monitor="val_accuracy",
                    save_best_only=True,
                    save_weights_only=True,
                ),
                c.TensorBoard(tmp_path / "tensorboard"),
            ],
        ).history
        expected = {"loss", "hard_labels_loss", "accuracy"}
        validated = {n for n in history if n.startswith("val_")}
        assert validated == {f"val_{name}" for name in expected}
        assert "soft_targets_loss" in history
        assert set(
            distiller.evaluate(*held_out, return_dict=True, verbose=0)
        ) == (expected)
        # As a list: the total, the loss on labels, the accuracy.
        assert len(distiller.evaluate(*held_out, verbose=0)) == 3

    def test_a_loss_that_is_not_the_one_of_training_is_warned_of(self):
        x, y = data()
        distiller = compiled(bag(), losses=[SoftTargets()])
        distiller.evaluate(x, y, verbose=0)  # No warning, which would raise.
        missing = "not what is trained.*Missing: .'soft_targets'"
        with pytest.warns(UserWarning, match=missing):
            compiled(bag(), losses=[SoftTargets()]).evaluate(
                x, {"labels": y["labels"]}, verbose=0
            )

    @pytest.mark.filterwarnings("ignore:The rows to evaluate")
    def test_no_loss_at_all(self):
        x, y = data()
        distiller = Distiller(bag(), losses=[SoftTargets()])
        distiller.compile("sgd", metrics=["accuracy"])
        held_out = x, {"labels": y["labels"]}
        results = distiller.evaluate(*held_out, return_dict=True, verbose=0)
        assert set(results) == {"accuracy"}
        assert "soft_targets_loss" in distiller.evaluate(
            x, y, return_dict=True, verbose=0
        )

    @pytest.mark.filterwarnings("ignore:The rows to evaluate")
    def test_nothing_is_measured(self):
        x, y = data()
        distiller = Distiller(bag(), losses=[SoftTargets()])
        distiller.compile("sgd")
        held_out = x, {"labels": y["labels"]}
        assert distiller.evaluate(*held_out, verbose=0) == 0.0  # The penalty.
        distiller.fit(x, y, validation_data=held_out, verbose=0)

    @pytest.mark.filterwarnings("error")
    def test_a_loss_that_reads_the_student_alone(self):
        x, y = data(teacher=False)
        distiller = compiled(bag(), losses=[Confidence()])
        distiller.fit(x, y, validation_data=(x, y), verbose=0)
        results = distiller.evaluate(x, y, return_dict=True, verbose=0)
        logits = distiller.predict(x, verbose=0)
        np.testing.assert_allclose(
            results["confidence_loss"], np.mean(logits**2), rtol=1e-5
        )

    @pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
    def test_a_loss_that_subtracts_labels_of_any_type(self, dtype):
        class Squares(keras.losses.Loss):
            def call(self, y_true, y_pred):
                return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

        x, y = data(teacher=False)
        labels = np.eye(CLASSES)[y["labels"]].astype(dtype)
        student = bag()
        distiller = Distiller(student)
        distiller.compile(loss=Squares())
        student.compile(loss=Squares())
        own = {"token_ids": x["token_ids"]}
        assert distiller.evaluate(x, labels, verbose=0)[0] == pytest.approx(
            student.evaluate(own, labels, verbose=0), rel=1e-5
        )

    @pytest.mark.parametrize("weight", [None, np.ones(12)])
    def test_a_loss_that_is_no_value_an_example(self, weight):
        def mean_square(y_true, y_pred):
            return ops.mean(ops.square(y_pred))

        x, y = data(teacher=False)
        distiller = Distiller(bag())
        distiller.compile(loss=mean_square)
        with pytest.raises(ValueError, match="mean_square, must give one"):
            distiller.fit(x, y, sample_weight=weight, verbose=0)

    def test_labels_by_name_on_rows_that_do_not_count(self):
        features = keras.Input((4,))
        names = ("start", "end")
        student = keras.Model(
            features, {n: layers.Dense(3, name=n)(features) for n in names}
        )
        x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        labels = {n: np.arange(8) % 3 for n in names}
        weights = np.float32([1, 1, 1, 1, 0, 0, 0, 0])
        labels["end"][4:] = -1

        def loss(labels, logits):
            return sum(
                keras.losses.sparse_categorical_crossentropy(
                    labels[n], logits[n], from_logits=True
                )
                for n in names
            )

        distiller = Distiller(student)
        distiller.compile("sgd", loss=loss, accumulation_steps=2)
        value = distiller.evaluate(
            x, {"labels": labels}, sample_weight=weights, verbose=0
        )
        logits = student.predict(x[:4], verbose=0)
        shares = [softmax(logits[n])[range(4), labels[n][:4]] for n in names]
        np.testing.assert_allclose(
            value, -np.log(shares).sum(0).mean(), rtol=1e-5
        )
        distiller.fit(x, {"labels": labels}, sample_weight=weights, verbose=0)

    def test_rows_without_a_label(self):
        x, y = data()
        distiller = compiled(bag(), losses=[SoftTargets()])
        unlabelled = {**y, "label_weight": np.zeros(12, "float32")}
        for targets in (unlabelled, {"teacher": y["teacher"]}):
            logs = distiller.fit(x, targets, verbose=0).history
            assert set(logs) == {"loss", "soft_targets_loss"}
        logs = distiller.fit(x, y, verbose=0).history
        assert {"hard_labels_loss", "accuracy"} <= set(logs)


class TestShuffle:
    def order(self, recwarn, make, **options):
        """The first token of every row, as `fit` comes by it."""
        seen = []

        class Keep(keras.layers.Layer):
            def compute_output_spec(self, inputs):
                return keras.KerasTensor((None, CLASSES), "float32")

            def call(self, inputs):
                seen.extend(keras.ops.convert_to_numpy(inputs)[:, 0])
                return keras.ops.cast(inputs[:, :CLASSES], "float32")

        inputs = keras.Input((5,), dtype="int32", name="token_ids")
        student = keras.Model(inputs, layers.Dense(CLASSES)(Keep()(inputs)))
        distiller = Distiller(student)
        distiller.compile("sgd", loss=hard_label_loss(), run_eagerly=True)
        x = {"token_ids": np.tile(np.arange(64, dtype="int32")[:, None], 5)}
        y = {"labels": np.zeros(64, "int32")}
        distiller.fit(*make(x, y), verbose=0, **options)
        assert not [w for w in recwarn if "shuffle" in str(w.message)]
        assert sorted(seen) == list(range(64))
        return [int(token) for token in seen]

    def test_arrays_are_shuffled_unless_told_otherwise(self, recwarn):
        shuffled = self.order(recwarn, lambda x, y: (x, y))
        assert shuffled != list(range(64))
        kept = self.order(recwarn, lambda x, y: (x, y), shuffle=False)
        assert kept == list(range(64))

    def test_data_sets_are_left_alone_without_a_warning(self, recwarn):
        def dataset(x, y):
            return (tf.data.Dataset.from_tensor_slices((x, y)).batch(8),)

        def generator(x, y):
            return ((batch for batch in [(x, y)]),)

        for make in (dataset, generator):
            assert self.order(recwarn, make) == list(range(64))


def test_students_with_further_outputs_are_trained_on_their_logits():
    x, y = data()
    plain = masked_bag()
    inputs = plain.inputs
    hidden = plain.layers[-1].input
    named = keras.Model(inputs, {"hidden": hidden, "logits": plain.output})
    logs = []
    for student in (plain, named):
        distiller = compiled(student, losses=[SoftTargets()])
        logs.append(distiller.evaluate(x, y, return_dict=True, verbose=0))
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)
    assert np.isfinite(distiller.fit(x, y, verbose=0).history["loss"]).all()


class TestSchedules:
    def make(self):
        keras.utils.set_random_seed(0)
        return compiled(
            bag(),
            losses=[
                SoftTargets(
                    temperature=LinearSchedule(4.0, 1.0, 3),
                    weight=CosineSchedule(1.0, 0.0, 2),
                ),
                LogitsMSE(JoinedSchedule([0.0, 0.5], [1])),
            ],
            hard_label_weight=LinearSchedule(0.0, 1.0, 2),
        )

    def test_each_step_has_its_values(self):
        x, y = data()
        distiller = self.make()
        labels, teacher = y["labels"], np.float64(y["teacher"]["logits"])
        for temperature, soft_weight, mse_weight, hard_weight in (
            (4.0, 1.0, 0.0, 0.0),
            (3.0, 0.5, 0.5, 0.5),
            (2.0, 0.0, 0.5, 1.0),
            (1.0, 0.0, 0.5, 1.0),
        ):
            logits = np.float64(
                distiller.student({"token_ids": x["token_ids"]})
            )
            p, q = (softmax(z / temperature) for z in (teacher, logits))
            soft = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
            mse = ((teacher - logits) ** 2).sum(-1).mean()
            hard = -np.log(softmax(logits)[np.arange(12), labels]).mean()
            logs = distiller.train_on_batch(x, y, return_dict=True)
            assert logs["soft_targets_loss"] == pytest.approx(soft, rel=1e-4)
            total = soft_weight * soft + mse_weight * mse + hard_weight * hard
            assert logs["loss"] == pytest.approx(total, rel=1e-4)

    def test_a_saved_distiller_goes_on_with_them(self, tmp_path):
        x, y = data()
        distiller = self.make()
        distiller.train_on_batch(x, y)
        distiller.save(tmp_path / "distiller.keras")
        again = keras.saving.load_model(tmp_path / "distiller.keras")
        assert isinstance(again.hard_label_weight, LinearSchedule)
        for _ in range(3):
            logs = [
                model.train_on_batch(x, y, return_dict=True)
                for model in (distiller, again)
            ]
            assert logs[0] == pytest.approx(logs[1], rel=1e-6)
        assert_same_weights(distiller, again)


def test_same_logits_have_no_soft_target_loss_or_gradient():
    x, _ = data()
    student = bag()
    logits = student.predict({"token_ids": x["token_ids"]}, verbose=0)
    y = {"teacher": {"logits": logits}}
    before = student.get_weights()
    distiller = Distiller(student, losses=[SoftTargets()])
    distiller.compile(keras.optimizers.SGD(1.0))
    logs = distiller.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(0.0, abs=1e-6)
    for one, other in zip(before, student.get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-6)


class TestRefusals:
    def test_probabilities_where_logits_are_needed(self):
        with pytest.raises(ValueError, match="raw logits.*softmax"):
            Distiller(bag(activation="softmax"))
        with pytest.raises(ValueError, match="The teacher must give raw"):
            Distiller(bag(), teacher=bag(activation="sigmoid"))
        inner = bag()
        for softmax in (
            ops.softmax,
            ops.log_softmax,
            keras.layers.Softmax(),
            keras.layers.Activation("softmax"),
        ):
            teacher = keras.Model(inner.input, softmax(inner.output))
            nested = keras.Model(inner.input, teacher(inner.input))
            for model in (teacher, nested):
                with pytest.raises(ValueError, match="applies (log_?)?softmax"):
                    Distiller(bag(), teacher=model)
        beside = {"logits": inner.output, "shares": ops.softmax(inner.output)}
        Distiller(bag(), teacher=keras.Model(inner.input, beside))

    def test_other_outputs_than_the_teacher(self):
        with pytest.raises(ValueError, match=r"\(3, 2\)"):
            Distiller(bag(), teacher=bag(outputs=2))

    def test_negative_weights(self):
        with pytest.raises(ValueError, match="zero or more. Received: -1"):
            Distiller(bag(), hard_label_weight=-1)
        with pytest.raises(ValueError, match="zero or more. Received: -0.5"):
            SoftTargets(weight=-0.5)

    def test_schedules_that_come_to_be_negative_or_zero(self):
        with pytest.raises(ValueError, match="zero or more. Received: -2 at"):
            Distiller(bag(), hard_label_weight=LinearSchedule(1.0, -2.0, 9))
        with pytest.raises(ValueError, match="0 at the lowest of LinearWarm"):
            SoftTargets(LinearWarmupDecay(4.0, 10))
        cosine = keras.optimizers.schedules.CosineDecay(4.0, 10)
        with pytest.raises(ValueError, match="0 at the lowest of CosineDecay"):
            SoftTargets(cosine)

    def test_what_other_backends_cannot_do(self, monkeypatch):
        scheduled = Distiller(
            bag(), losses=[SoftTargets(LinearSchedule(4.0, 1.0, 9))]
        )
        monkeypatch.setattr(keras.config, "backend", lambda: "jax")
        with pytest.raises(ValueError, match="'temperature of soft_targets'"):
            scheduled.compile("sgd")
        plain = Distiller(bag(), losses=[SoftTargets()])
        with pytest.raises(ValueError, match="Received: 2, on jax"):
            plain.compile("sgd", accumulation_steps=2)
        plain.compile("sgd")

    @pytest.mark.parametrize("of_class", [True, False])
    def test_losses_that_leave_out_rows(self, of_class):
        options = {"from_logits": True, "ignore_class": -1}
        loss = (
            keras.losses.SparseCategoricalCrossentropy(**options)
            if of_class
            else functools.partial(
                keras.losses.sparse_categorical_crossentropy, **options
            )
        )
        with pytest.raises(ValueError, match="ignore_class=-1.*label_weight"):
            Distiller(bag()).compile(loss=loss)

    def test_losses_that_read_probabilities(self):
        distiller = Distiller(bag())
        with pytest.raises(ValueError, match="from_logits=True"):
            distiller.compile(loss="sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match="from_logits=False"):
            distiller.compile(loss=keras.losses.SparseCategoricalCrossentropy())
        function = keras.losses.sparse_categorical_crossentropy
        with pytest.raises(ValueError, match="entropy with from_logits=False"):
            distiller.compile(loss=function)
        with pytest.raises(ValueError, match="from_logits=False"):
            distiller.compile(loss=functools.partial(function, axis=-1))
        distiller.compile(loss=functools.partial(function, from_logits=True))

    @pytest.mark.parametrize(
        "metric, message",
        [
            (keras.metrics.BinaryAccuracy(), "BinaryAccuracy, which cuts"),
            ("binary_accuracy", "0.5"),
            (keras.metrics.Recall(), "Recall, which cuts at 0.5"),
            (keras.metrics.AUC(), "AUC with from_logits=False"),
            (keras.metrics.BinaryCrossentropy(), "from_logits=False"),
            (keras.metrics.categorical_crossentropy, "from_logits=False"),
        ],
    )
    def test_metrics_that_read_probabilities(self, metric, message):
        with pytest.raises(ValueError, match=message):
            Distiller(bag()).compile(metrics=[metric])

    def test_accuracy_of_one_logit(self):
        with pytest.raises(ValueError, match="metric: 'accuracy', which cuts"):
            Distiller(bag(outputs=1)).compile(metrics=["accuracy"])
        Distiller(bag()).compile(metrics=["accuracy"])

    @pytest.mark.parametrize(
        "metric",
        [
            keras.metrics.BinaryAccuracy(threshold=0.0),
            keras.metrics.Precision(thresholds=0),
            keras.metrics.Precision(top_k=1),
            keras.metrics.AUC(from_logits=True),
            keras.metrics.BinaryCrossentropy(from_logits=True),
            keras.metrics.F1Score(),
            "mae",
        ],
    )
    def test_metrics_that_read_logits(self, metric):
        Distiller(bag(outputs=1)).compile(metrics=[metric])

    def test_models_that_are_no_functional_ones_inside(self):
        class Own(keras.Model):
            def __init__(self, activation):
                super().__init__()
                self.dense = layers.Dense(CLASSES, activation=activation)

            def call(self, inputs):
                return self.dense(inputs)

        def around(model):
            features = keras.Input((4,))
            return keras.Model(features, model(features))

        Distiller(around(Own(None)))
        Distiller(around(keras.Sequential([layers.Dense(CLASSES)])))
        shares = layers.Dense(CLASSES, activation="softmax")
        with pytest.raises(ValueError, match="applies softmax"):
            Distiller(around(keras.Sequential([shares])))

    def test_metrics_of_ones_own(self):
        # What their threshold is compared with is theirs to know.
        class SigmoidAccuracy(keras.metrics.BinaryAccuracy):
            def update_state(self, y, y_pred, sample_weight=None):
                super().update_state(y, ops.sigmoid(y_pred), sample_weight)

        def within(y, y_pred, threshold=0.5):
            return ops.cast(ops.abs(y - y_pred) < threshold, "float32")

        metrics = [SigmoidAccuracy(), within, functools.partial(within)]
        Distiller(bag(outputs=1)).compile(metrics=metrics)

    def test_weights_of_losses_in_compile(self):
        with pytest.raises(ValueError, match="`hard_label_weight`, and each"):
            Distiller(bag()).compile(loss_weights=[0.1])

    def test_two_losses_of_one_name(self):
        with pytest.raises(ValueError, match="name of its own"):
            Distiller(bag(), losses=[SoftTargets(), SoftTargets()])

    def test_training_without_teacher_targets(self):
        x, y = data(teacher=False)
        distiller = compiled(bag(), losses=[SoftTargets()])
        with pytest.raises(ValueError, match="reads \\['logits'\\] of the tea"):
            distiller.fit(x, y, verbose=0)

    def test_unknown_keys_of_the_targets(self):
        x, y = data()
        distiller = compiled(bag(), losses=[SoftTargets()])
        with pytest.raises(KeyError, match="teacher_logits"):
            distiller.fit(x, {**y, "teacher_logits": y["labels"]}, verbose=0)
