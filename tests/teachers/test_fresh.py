"""A teacher from scratch: its vocabulary, its shape, that it can be taught."""

import collections

import keras
import numpy as np
import pytest

from keras_kd.data.pipeline import training_batches
from keras_kd.distiller import Distiller
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.teachers.fresh import fresh_teacher
from keras_kd.teachers.teacher import Teacher
from tests import tiny

SMALL = {"num_layers": 1, "hidden_dim": 8, "max_length": 16}


def texts(count=60):
    return (text for text, _ in tiny.make_rows(count))


def test_vocabulary_is_that_of_the_texts():
    teacher = fresh_teacher(texts(), 2, "word", 100, **SMALL)
    counts = collections.Counter(w for text in texts() for w in text.split())
    words = {word for word, count in counts.items() if count > 1}
    assert set(teacher.tokenizer.vocabulary[5:]) == words
    assert teacher.labels is None


def test_vocabulary_has_no_more_than_its_size():
    teacher = fresh_teacher(texts(), 2, "word", 10, **SMALL)
    assert teacher.tokenizer.vocabulary_size == 10
    table = teacher.model.get_layer("token_embedding").get_weights()[0]
    assert table.shape == (10, 8)


def test_chinese_characters():
    teacher = fresh_teacher(["这酒店好", "酒店差"], 2, "character", **SMALL)
    # What stands there once is no token.
    assert teacher.tokenizer.vocabulary[5:] == ["店", "酒"]


def test_shape_of_the_model():
    teacher = fresh_teacher(
        texts(), 3, "word", num_layers=2, hidden_dim=12, max_length=9,
        labels=["a", "b", "c"],
    )  # fmt: skip
    model = teacher.model
    assert model.output.shape == (None, 3)
    assert set(model.input) == {"token_ids", "padding_mask"}
    (table,) = model.get_layer("position_embedding").get_weights()
    assert table.shape == (9, 12)
    names = {layer.name for layer in model.layers}
    assert {"transformer_layer_0", "transformer_layer_1"} <= names
    assert "transformer_layer_2" not in names
    assert teacher.labels == ["a", "b", "c"]


def test_same_seed_same_teacher():
    def make(seed):
        keras.utils.set_random_seed(seed)
        return fresh_teacher(texts(), 2, "word", **SMALL).fingerprint

    assert make(1) == make(1)
    assert make(1)["weights"] != make(2)["weights"]
    assert make(1)["tokenizer"] == make(2)["tokenizer"]


def test_it_is_taught_saved_and_opened(tmp_path):
    task = TextClassification(tiny.LABELS)
    teacher = fresh_teacher(
        texts(), 2, "word", num_layers=1, hidden_dim=16, labels=task.labels
    )
    data = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(120))
    rows = task.make_rows(data, teacher.tokenizer, tmp_path / "rows", 16)
    labels = rows.column("label")

    def accuracy():
        logits = predict_rows(keras_runtime(teacher.model), rows)
        return np.mean(logits.argmax(axis=-1) == labels)

    trainer = Distiller(teacher.model)
    trainer.compile(keras.optimizers.AdamW(5e-3), loss=task.hard_label_loss())
    trainer.fit(
        training_batches(rows, teacher.model, 16),
        steps_per_epoch=40,
        verbose=0,
    )
    assert accuracy() > 0.95
    teacher.save(tmp_path / "teacher")
    opened = Teacher.open(tmp_path / "teacher")
    assert opened.labels == tiny.LABELS
    assert opened.fingerprint == teacher.fingerprint


def test_unknown_kind_of_tokens():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        fresh_teacher(texts(), 2, "words", **SMALL)
