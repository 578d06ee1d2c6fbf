"""The Distiller against hand-made steps, and the traps that are silent."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.distiller import Distiller
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.recurrent import recurrent_student

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


@pytest.mark.parametrize("options", [{"jit_compile": True}, {}])
def test_jit_and_mixed_precision(options):
    x, y = data()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = bag()
    finally:
        keras.config.set_dtype_policy("float32")
    distiller = compiled(student, losses=[SoftTargets()], **options)
    logs = distiller.fit(x, y, epochs=2, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


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

    def test_other_outputs_than_the_teacher(self):
        with pytest.raises(ValueError, match=r"\(3, 2\)"):
            Distiller(bag(), teacher=bag(outputs=2))

    def test_negative_weights(self):
        with pytest.raises(ValueError, match="zero or more. Received: -1"):
            Distiller(bag(), hard_label_weight=-1)
        with pytest.raises(ValueError, match="zero or more. Received: -0.5"):
            SoftTargets(weight=-0.5)

    def test_losses_that_read_probabilities(self):
        distiller = Distiller(bag())
        with pytest.raises(ValueError, match="from_logits=True"):
            distiller.compile(loss="sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match="from_logits=False"):
            distiller.compile(loss=keras.losses.SparseCategoricalCrossentropy())

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
