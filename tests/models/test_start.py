"""Students that begin as a saved one."""

import keras
import numpy as np
import pytest

from keras_kd.models.pretrained import load_pretrained
from keras_kd.models.start import start_from
from keras_kd.models.students import build_student
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture
def saved(tmp_path):
    student = build_student("bag", 12, 3, width=4, embedding_dim=4)
    student.save(tmp_path / "student.keras")
    return student, tmp_path / "student.keras"


def test_all_of_the_same_shape(saved):
    given, path = saved
    student = build_student("bag", 12, 3, width=4, embedding_dim=4)
    assert start_from(student, path) == []
    for own, copied in zip(student.get_weights(), given.get_weights()):
        np.testing.assert_array_equal(own, copied)


def test_another_head_stays_fresh(saved):
    given, path = saved
    student = build_student("bag", 12, 2, width=4, embedding_dim=4)
    before = student.get_layer("logits").get_weights()
    assert start_from(student, path) == ["logits"]
    for own, fresh in zip(student.get_layer("logits").get_weights(), before):
        np.testing.assert_array_equal(own, fresh)
    table = student.get_layer("token_embedding").get_weights()[0]
    expected = given.get_layer("token_embedding").get_weights()[0]
    np.testing.assert_array_equal(table, expected)


def test_nothing_fits(saved):
    student = build_student("bigru", 9, 2, width=5, embedding_dim=5)
    with pytest.raises(ValueError, match="No layer of the student has"):
        start_from(student, saved[1])


def test_a_longer_position_table_is_cut(tmp_path):
    given = build_student("transformer", 12, 2, width=4, max_length=16)
    given.save(tmp_path / "student.keras")
    student = build_student("transformer", 12, 2, width=4, max_length=8)
    assert start_from(student, tmp_path / "student.keras") == []
    own, whole = (
        model.get_layer("position_embedding").get_weights()[0]
        for model in (student, given)
    )
    np.testing.assert_array_equal(own, whole[:8])


def test_a_shorter_position_table_stays_fresh(tmp_path):
    given = build_student("transformer", 12, 2, width=4, max_length=8)
    given.save(tmp_path / "student.keras")
    student = build_student("transformer", 12, 2, width=4, max_length=16)
    left = start_from(student, tmp_path / "student.keras")
    assert left == ["position_embedding"]


def test_a_language_model_of_the_same_shape(tmp_path):
    """Its head is none of a task; what is below it is copied."""
    folder = tiny_lm.write_masked_lm(tmp_path / "model")
    student = build_student(
        "bert", len(tiny.WORDS), 2, 3, 12, heads=3, intermediate=16,
        max_length=16,
    )  # fmt: skip
    assert start_from(student, folder) == ["pooled_dense", "logits"]
    given = load_pretrained(folder, None)
    inputs = {
        "token_ids": np.array([[2, 7, 9, 3]], "int32"),
        "segment_ids": np.zeros((1, 4), "int32"),
        "padding_mask": np.ones((1, 4), "int32"),
    }
    last = student.get_layer("transformer_layer_2").output
    np.testing.assert_allclose(
        keras.Model(student.input, last)(inputs),
        given(inputs)["sequence_output"],
        rtol=1e-5,
    )
