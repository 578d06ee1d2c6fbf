"""What stands in the event files, read with TensorBoard's own reader."""

import keras
import numpy as np
import pytest

from keras_kd.data.rows import write_rows
from keras_kd.distiller import Distiller
from keras_kd.losses.focal_temperature import FocalTemperature
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.runs.distillation_log import DistillationLog
from keras_kd.schedules import LinearSchedule
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.tasks.text_regression import TextRegression
from tests import tiny


def read(folder):
    """`{tag: {step: value}}` of all events in a folder."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={"tensors": 0}
    )
    events.Reload()
    return {
        tag: {
            event.step: tensor_util.make_ndarray(event.tensor_proto)
            for event in events.Tensors(tag)
        }
        for tag in events.Tags()["tensors"]
    }


def make_distiller(outputs=2):
    student = tiny.bag_student("bag", len(tiny.WORDS), outputs)
    distiller = Distiller(
        student,
        losses=[
            SoftTargets(LinearSchedule(8.0, 2.0, steps=6), weight=0.5),
            LogitsMSE(weight=LinearSchedule(0.0, 1.0, steps=4)),
        ],
        hard_label_weight=0.25,
    )
    distiller.compile(keras.optimizers.SGD(LinearSchedule(0.4, 0.0, steps=4)))
    return distiller


def batches(outputs=2):
    ids = np.full((3, 4), 5, "int32")
    x = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return x, {"teacher": {"logits": np.ones((3, outputs), "float32")}}


def fit(distiller, *callbacks, epochs=2, outputs=2):
    x, y = batches(outputs)
    distiller.fit(
        x, y, batch_size=1, epochs=epochs, verbose=0, callbacks=list(callbacks)
    )


@pytest.fixture
def rows(tmp_path):
    def make(task, pairs=False):
        examples = [tiny_example(number, pairs) for number in range(12)]
        tokenizer = tiny.make_teacher(tmp_path / "teacher").tokenizer
        return write_rows(
            tmp_path / "rows", task.featurize(examples, tokenizer, 8), {}
        )

    return make


def tiny_example(number, pairs):
    from keras_kd.data.sources import Example

    fields = ("a great film" if number % 2 else "a dull | film",)
    return Example(f"row-{number}", fields + ("was it",) * pairs, None)


class TestScalars:
    def test_weights_and_temperatures_of_the_last_step(self, tmp_path):
        fit(make_distiller(), DistillationLog(tmp_path))
        found = read(tmp_path)
        # Three steps an epoch: the values of the steps 2 and 5, from 0.
        expected = {
            "weight/hard_labels": (0.25, 0.25),
            "weight/soft_targets": (0.5, 0.5),
            "weight/logits_mse": (0.5, 1.0),
            "temperature/soft_targets": (6.0, 3.0),
        }
        assert set(found) == set(expected)
        for name, values in expected.items():
            assert list(found[name]) == [3, 6]
            np.testing.assert_allclose(list(found[name].values()), values)

    def test_temperature_of_an_average_example(self, tmp_path):
        student = tiny.bag_student("bag", len(tiny.WORDS), 2)
        loss = SoftTargets(FocalTemperature(4.0, beta=1.0))
        distiller = Distiller(student, losses=[loss])
        distiller.compile("sgd")
        fit(distiller, DistillationLog(tmp_path), epochs=1)
        found = read(tmp_path)
        assert found["temperature/soft_targets"] == {3: 4.0}

    def test_keras_own_callback_has_losses_and_learning_rate(self, tmp_path):
        fit(make_distiller(), keras.callbacks.TensorBoard(tmp_path))
        found = read(tmp_path / "train")
        for name in ("loss", "soft_targets_loss", "logits_mse_loss"):
            assert list(found[f"epoch_{name}"]) == [0, 1]
        rates = list(found["epoch_learning_rate"].values())
        np.testing.assert_allclose(rates, [0.1, 0.0], atol=1e-7)


class TestPredictions:
    def test_same_texts_each_time_with_the_students_answers(
        self, tmp_path, rows
    ):
        task = TextClassification(tiny.LABELS)
        distiller = make_distiller()
        log = DistillationLog(tmp_path / "log", rows(task), task)
        fit(distiller, log)
        found = read(tmp_path / "log")["predictions"]
        assert list(found) == [3, 6]
        first, second = (text.item().decode() for text in found.values())
        for text in (first, second):
            lines = text.splitlines()
            assert lines[0] == "| text | answer | probability |"
            assert len(lines) == 2 + 8
            assert "a dull \\| film" in lines[2]
            assert "a great film" in lines[3]
        assert first != second
        # The table is of the student as it is now.
        assert log._predictions() == second
        shown = [line.split(" | ")[-2:] for line in second.splitlines()[2:]]
        for answer, probability in shown:
            assert answer in tiny.LABELS
            assert 0.5 <= float(probability.rstrip(" |")) <= 1.0

    def test_pairs_and_numbers_that_have_no_probability(self, tmp_path, rows):
        task = TextRegression()
        distiller = make_distiller(outputs=1)
        distiller.objective.losses_by_name.pop("soft_targets")
        log = DistillationLog(tmp_path / "log", rows(task, pairs=True), task)
        fit(distiller, log, epochs=1, outputs=1)
        (text,) = read(tmp_path / "log")["predictions"].values()
        assert "a great film / was it" in text.item().decode()
