"""Several tasks on one encoder: the steps, the scores, the file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.distiller import Distiller
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.bag import bag_student
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.task_heads import with_task_heads
from keras_kd.multi_task_distiller import MultiTaskDistiller
from keras_kd.schedules import LinearSchedule

TASKS = {"topic": 4, "tone": 2}
VOCABULARY, ROWS, LENGTH = 20, 12, 8


def make_students():
    keras.utils.set_random_seed(0)
    encoder = bag_student(VOCABULARY, 7, embedding_dim=4, dropout=0.0)
    return with_task_heads(encoder, TASKS)


def make_batch(task, rows=ROWS, seed=0):
    generator = np.random.default_rng([seed, *task.encode()])
    x = {
        "token_ids": generator.integers(1, VOCABULARY, (rows, LENGTH)),
        "padding_mask": np.ones((rows, LENGTH)),
    }
    x = {name: values.astype("int32") for name, values in x.items()}
    logits = generator.normal(size=(rows, TASKS[task])).astype("float32")
    labels = generator.integers(0, TASKS[task], rows).astype("int32")
    return x, {"labels": labels, "teacher": {"logits": logits}}


def make_batches(task, **options):
    return tf.data.Dataset.from_tensors(make_batch(task, **options)).repeat()


def make_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_distiller(students, optimizer=None, weights=None, **options):
    losses = {"topic": SoftTargets(2.0), "tone": LogitsMSE(weight=0.5)}
    distiller = MultiTaskDistiller(
        {n: Distiller(one, losses=[losses[n]]) for n, one in students.items()},
        weights,
    )
    distiller.compile(
        optimizer or keras.optimizers.SGD(0.1),
        loss={name: make_loss() for name in students},
        metrics={"topic": ["accuracy"]},
        **options,
    )
    return distiller


def fit(distiller, steps=3, tasks=TASKS, **options):
    return distiller.fit(
        {task: make_batches(task) for task in tasks},
        steps_per_epoch=steps,
        verbose=0,
        **options,
    )


def test_a_step_is_the_weighted_sum_of_the_gradients_of_each_task():
    students = make_students()
    losses = {"topic": SoftTargets(2.0), "tone": LogitsMSE(weight=0.5)}
    weights = {"topic": 0.25, "tone": 3.0}
    joined = make_distiller(students, weights=weights).student
    before = [v.numpy() for v in joined.trainable_weights]
    expected = [np.zeros_like(values) for values in before]
    for task, student in students.items():
        x, y = make_batch(task)
        with tf.GradientTape() as tape:
            logits = student(x)
            hard = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    y["labels"], logits
                )
            )
            soft = tf.reduce_mean(
                losses[task]({"logits": logits}, y["teacher"])
            )
            total = weights[task] * (
                hard + soft * (0.5 if task == "tone" else 1.0)
            )
        gradients = tape.gradient(total, joined.trainable_weights)
        for sums, gradient in zip(expected, gradients, strict=True):
            if gradient is not None:
                sums += tf.convert_to_tensor(gradient).numpy()
    distiller = make_distiller(students, weights=weights)
    logs = fit(distiller, steps=1).history
    for old, new, gradient in zip(
        before, joined.trainable_weights, expected, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.1 * gradient, atol=1e-6)
    by_hand = sum(weights[t] * logs[f"{t}_loss"][0] for t in TASKS)
    np.testing.assert_allclose(logs["loss"][0], by_hand, rtol=1e-6)
    assert set(logs) == {
        "loss",
        "topic_loss", "topic_hard_labels_loss", "topic_soft_targets_loss",
        "topic_accuracy",
        "tone_loss", "tone_hard_labels_loss", "tone_logits_mse_loss",
    }  # fmt: skip


def test_one_task_is_a_distiller():
    weights = []
    for several in (True, False):
        student = make_students()["topic"]
        distiller = Distiller(student, losses=[SoftTargets(2.0)])
        if several:
            trained = MultiTaskDistiller({"topic": distiller})
            trained.compile(
                keras.optimizers.Adam(0.01), loss={"topic": make_loss()}
            )
            fit(trained, tasks=["topic"], epochs=2)
        else:
            distiller.compile(keras.optimizers.Adam(0.01), loss=make_loss())
            distiller.fit(
                make_batches("topic"), steps_per_epoch=3, epochs=2, verbose=0
            )
        weights.append(student.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_micro_batches_make_the_same_step():
    weights = []
    for pieces in (1, 5):
        distiller = make_distiller(make_students(), accumulation_steps=pieces)
        fit(distiller)
        weights.append(distiller.student.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_task_of_weight_0_changes_its_head_and_the_encoder_not():
    students = make_students()
    distiller = make_distiller(
        students, weights={"tone": LinearSchedule(0.0, 0.0, 10)}
    )
    head = students["tone"].get_layer("tone_logits").get_weights()
    table = students["topic"].get_layer("token_embedding").get_weights()
    fit(distiller)
    for one, other in zip(
        head, students["tone"].get_layer("tone_logits").get_weights()
    ):
        np.testing.assert_array_equal(one, other)
    after = students["topic"].get_layer("token_embedding").get_weights()
    assert np.abs(after[0] - table[0]).max() > 1e-3


def test_validation_scores_each_task_on_rows_of_its_own():
    distiller = make_distiller(make_students())
    rows = {
        "topic": tf.data.Dataset.from_tensors(make_batch("topic", 9, seed=1)),
        "tone": tf.data.Dataset.from_tensors(make_batch("tone", seed=1)).repeat(
            4
        ),
    }
    stop = keras.callbacks.EarlyStopping("val_topic_accuracy", mode="max")
    history = fit(
        distiller, epochs=2, validation_data=rows, callbacks=[stop]
    ).history
    assert len(history["val_loss"]) == len(history["loss"])
    results = distiller.evaluate(rows)
    expected = distiller.distillers["topic"].evaluate(
        rows["topic"], verbose=0, return_dict=True
    )
    for name, value in expected.items():
        assert results[f"topic_{name}"] == pytest.approx(value)
    assert results["loss"] == pytest.approx(
        results["topic_loss"] + results["tone_loss"]
    )
    assert history["val_topic_accuracy"][-1] == results["topic_accuracy"]


@pytest.mark.filterwarnings("ignore:The rows to evaluate")
def test_a_task_of_which_no_loss_can_be_measured():
    distiller = make_distiller(make_students())
    losses = {"tone": make_loss()}
    distiller.compile(loss=losses, metrics={"topic": ["accuracy"]})
    rows = {}
    for name in ("topic", "tone"):
        x, y = make_batch(name)
        rows[name] = x, {"labels": y["labels"]}
    results = distiller.evaluate(rows)
    assert set(results) >= {"loss", "topic_accuracy", "tone_hard_labels_loss"}
    assert results["loss"] == pytest.approx(results["tone_loss"])


def test_weights_of_rows_are_those_of_their_task():
    x, y = make_batch("topic")
    weights = np.linspace(0, 2, ROWS).astype("float32")
    datasets = {
        "topic": tf.data.Dataset.from_tensors((x, y, weights)),
        "tone": make_batches("tone"),
    }
    students = make_students()
    expected = Distiller(students["topic"], losses=[SoftTargets(2.0)])
    expected.compile(loss=make_loss())
    expected = expected.evaluate(
        x, y, sample_weight=weights, verbose=0, return_dict=True
    )
    logs = make_distiller(students).fit(datasets, verbose=0).history
    assert logs["topic_loss"][0] == pytest.approx(expected["loss"], rel=1e-5)


def test_training_goes_on_exactly_where_it_was_left(tmp_path):
    def make():
        return make_distiller(make_students(), keras.optimizers.Adam(0.01))

    whole, first, second = make(), make(), make()
    fit(whole, steps=4)
    fit(first, steps=2)
    first.save_weights(tmp_path / "state.weights.h5")
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "state.weights.h5")
    fit(second, steps=2)
    assert int(second.optimizer.iterations) == 4
    for one, other in zip(
        whole.student.get_weights(), second.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_student_is_one_plain_model_and_one_file(tmp_path):
    encoder = recurrent_student(VOCABULARY, 7, units=4, embedding_dim=4)
    students = with_task_heads(encoder, TASKS)
    distiller = make_distiller(students)
    fit(distiller)
    distiller.student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    x, _ = make_batch("topic")
    expected = distiller.predict(x, verbose=0)
    assert set(expected) == set(TASKS)
    for task, logits in loaded.predict(x, verbose=0).items():
        np.testing.assert_array_equal(logits, expected[task])
        np.testing.assert_allclose(
            students[task].predict(x, verbose=0), logits, atol=1e-6
        )
    export_litert(
        loaded, tmp_path / "student.tflite", x, "float32", max_length=LENGTH
    )
    received = LiteRTModel(tmp_path / "student.tflite").predict(x)
    for task, logits in expected.items():
        np.testing.assert_allclose(received[task], logits, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        distiller = make_distiller(make_students())
    finally:
        keras.config.set_dtype_policy(before)
    history = fit(distiller, epochs=3).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    scaled = hasattr(distiller.optimizer, "inner_optimizer")
    assert scaled == (policy == "mixed_float16")


def test_loss_is_what_was_minimised_where_weights_change():
    distiller = make_distiller(
        make_students(),
        keras.optimizers.SGD(0.0),
        {"topic": LinearSchedule(1.0, 0.0, 4)},
    )
    logs = {n: v[0] for n, v in fit(distiller, steps=4).history.items()}
    mean = (1.0 + 0.75 + 0.5 + 0.25) / 4
    assert logs["loss"] == pytest.approx(
        mean * logs["topic_loss"] + logs["tone_loss"], rel=1e-5
    )


def test_order_of_the_tasks_does_not_matter(tmp_path):
    students = make_students()
    first = make_distiller(students)
    fit(first)
    first.save_weights(tmp_path / "state.weights.h5")
    other = make_students()
    second = make_distiller(dict(reversed(other.items())))
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "state.weights.h5")
    for task, student in students.items():
        for one, loaded in zip(
            student.get_weights(), other[task].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, loaded)


def test_a_task_without_labels_learns_from_a_live_teacher():
    students = make_students()
    teacher = bag_student(VOCABULARY, TASKS["tone"], embedding_dim=4)
    distiller = MultiTaskDistiller(
        {
            "topic": Distiller(students["topic"]),
            "tone": Distiller(students["tone"], teacher, [SoftTargets(2.0)]),
        }
    )
    distiller.compile("sgd", loss={"topic": make_loss()})
    x, _ = make_batch("tone")
    batches = {
        "topic": make_batches("topic"),
        "tone": tf.data.Dataset.from_tensors((x,)).repeat(),
    }
    logs = distiller.fit(batches, steps_per_epoch=2, verbose=0).history
    assert logs["tone_soft_targets_loss"][0] > 0
    assert "tone_hard_labels_loss" not in logs


def test_teacher_that_is_given_later_teaches():
    first, second = make_students(), make_students()
    second["tone"].set_weights([3 * w for w in second["tone"].get_weights()])

    def make_unlabelled(task):
        return tf.data.Dataset.from_tensors((make_batch(task)[0], {})).repeat()

    def train(teachers, weights=None):
        distiller = MultiTaskDistiller(
            {
                name: Distiller(one, teachers[name], [LogitsMSE()])
                for name, one in make_students().items()
            }
        )
        if weights is not None:
            distiller.student.set_weights(weights)
        distiller.compile(keras.optimizers.SGD(0.1))
        return distiller, once(distiller)

    def once(distiller):
        data = {task: make_unlabelled(task) for task in TASKS}
        return distiller.fit(data, steps_per_epoch=1, verbose=0).history

    distiller, _ = train(first)
    weights = distiller.student.get_weights()
    distiller.distillers["tone"].teacher = second["tone"]
    given_later = once(distiller)
    fresh, from_the_start = train({**first, "tone": second["tone"]}, weights)
    assert given_later["loss"] == pytest.approx(from_the_start["loss"])
    for one, other in zip(
        distiller.student.get_weights(), fresh.student.get_weights()
    ):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_inputs_are_picked_by_name_in_predict():
    distiller = make_distiller(make_students())
    x, _ = make_batch("topic")
    expected = distiller.predict(x, verbose=0)
    more = {**x, "segment_ids": np.ones((ROWS, LENGTH), "int32")}
    for rows in (more, tf.data.Dataset.from_tensors((more,))):
        for task, logits in distiller.predict(rows, verbose=0).items():
            np.testing.assert_allclose(logits, expected[task], atol=1e-6)


def test_predictions_are_those_of_the_rounded_weights():
    students = make_students()
    distiller = MultiTaskDistiller(
        {n: Distiller(s, quantization="dynamic") for n, s in students.items()}
    )
    distiller.compile(loss={name: make_loss() for name in TASKS})
    x, _ = make_batch("topic")
    before = distiller.student.get_weights()
    results = [distiller.predict(x, verbose=0), distiller.predict_on_batch(x)]
    with distiller.deployed_weights():
        expected = distiller.student.predict(x, verbose=0)
    plain = distiller.student.predict(x, verbose=0)
    for received in results:
        for task in TASKS:
            np.testing.assert_allclose(
                received[task], expected[task], atol=1e-7
            )
            assert np.abs(received[task] - plain[task]).max() > 1e-6
    for one, other in zip(before, distiller.student.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_validation_now_and_then_on_arrays():
    distiller = make_distiller(make_students())
    rows = {task: make_batch(task, seed=1) for task in TASKS}
    history = fit(
        distiller, epochs=3, validation_data=rows, validation_freq=2
    ).history
    assert len(history["val_loss"]) == 1
    endless = {task: make_batches(task, seed=1) for task in TASKS}
    results = distiller.evaluate(endless, steps=2)
    for name, value in distiller.evaluate(rows).items():
        assert results[name] == pytest.approx(value, rel=1e-5)


def test_train_on_batch_names_what_it_gives():
    distiller = make_distiller(make_students())
    parts = {task: make_batch(task) for task in TASKS}
    x, y = ({task: part[i] for task, part in parts.items()} for i in range(2))
    logs = distiller.train_on_batch(x, y)
    assert logs["loss"] == pytest.approx(logs["topic_loss"] + logs["tone_loss"])
    assert distiller.steps_made == 1


def test_what_is_refused(tmp_path):
    students = make_students()
    apart = {
        name: Distiller(bag_student(VOCABULARY, number, embedding_dim=4))
        for name, number in TASKS.items()
    }
    with pytest.raises(ValueError, match="must read the same keras.Inputs"):
        MultiTaskDistiller(apart)
    distillers = {name: Distiller(one) for name, one in students.items()}
    with pytest.raises(ValueError, match=r"Received: \['mood'\], where"):
        MultiTaskDistiller(distillers, {"mood": 1.0})
    with pytest.raises(ValueError, match=r"task_weights\['tone'\]"):
        MultiTaskDistiller(distillers, {"tone": -1.0})
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        with pytest.raises(ValueError, match="Received: OneDeviceStrategy"):
            MultiTaskDistiller(distillers)
    distiller = MultiTaskDistiller(distillers)
    with pytest.raises(ValueError, match="`metrics` must be a dictionary"):
        distiller.compile(metrics={"mood": ["accuracy"]})
    with pytest.raises(ValueError, match="`loss` must be a dictionary"):
        distiller.compile(loss=make_loss())
    distiller.compile(loss={name: make_loss() for name in TASKS})
    with pytest.raises(ValueError, match=r"`x` must have.*\['topic'\]"):
        fit(distiller, tasks=["topic"])
    with pytest.raises(ValueError, match="`validation_data` must have"):
        fit(distiller, validation_data={"tone": make_batches("tone")})
    arrays = {task: make_batch(task) for task in TASKS}
    with pytest.raises(ValueError, match="must be a tf.data.Dataset"):
        distiller.fit(arrays)
    with pytest.raises(NotImplementedError, match="Save `student`"):
        distiller.save(tmp_path / "distiller.keras")
    with pytest.raises(ValueError, match="last layer is 'probabilities'"):
        outputs = keras.layers.Softmax(name="probabilities")(
            students["topic"].output
        )
        with_task_heads(keras.Model(students["topic"].input, outputs), TASKS)
    for names in ({"two words": 2}, {1: 2}, {}, ["topic"]):
        with pytest.raises(ValueError, match="`num_outputs` must map"):
            with_task_heads(students["topic"], names)
