"""Word tables of four and eight bits."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_kd.export.classifier_metadata import add_classifier_metadata
from keras_kd.export.conversion_worker import convert
from keras_kd.export.embedding_lookup import LARGEST_SMALL_TABLE
from keras_kd.export.embedding_lookup import with_embedding_lookups
from keras_kd.export.errors import ExportError
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.operations import operations
from keras_kd.models.recurrent import recurrent_student

LENGTH = 16
ROWS, WIDTH = 2000, 16


@pytest.fixture
def table_student():
    """A student that gives the rows of its table."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(ROWS, WIDTH, "normal", name="token_embedding")(
        inputs["token_ids"]
    )
    mask = keras.ops.cast(inputs["padding_mask"], "float32")
    x = x * keras.ops.expand_dims(mask, -1)
    student = keras.Model(inputs, x)
    # Rows of very different size: one scale for all would lose the small ones.
    table = student.get_weights()[0]
    table *= np.logspace(-3, 1, ROWS)[:, np.newaxis]
    student.set_weights([table])
    return student


@pytest.mark.parametrize("length", [LENGTH, None])
@pytest.mark.parametrize("bits", [4, 8])
def test_each_row_has_a_scale_of_its_own(
    bits, length, table_student, make_rows, tmp_path
):
    path = tmp_path / "student.tflite"
    path.write_bytes(
        convert(
            table_student, tmp_path / "x", f"int{bits}-embedding", 1, length
        )
    )
    rows = make_rows(20)
    expected = table_student.predict_on_batch(rows)
    received = LiteRTModel(path).predict(rows)
    # Half a step of a row: its largest number is the last step.
    largest = np.abs(expected).max(axis=-1, keepdims=True)
    steps = 2 ** (bits - 1) - 1
    assert (np.abs(received - expected) <= 0.51 * largest / steps).all()
    assert (received != expected).any()


# Largest difference, in standard deviations of the logits.
@pytest.mark.parametrize(("bits", "tolerance"), [(4, 1.0), (8, 0.1)])
@pytest.mark.parametrize("kind", ["bigru", "transformer"])
def test_students_are_small_and_near(
    kind, bits, tolerance, make_student, make_rows, tmp_path
):
    vocabulary, width = 3000, 32
    size = {"embedding_dim": width} if kind == "bigru" else {}
    if kind == "transformer":
        size = {"hidden_dim": width, "max_length": LENGTH}
    student = make_student(kind, vocabulary_size=vocabulary, **size)
    sizes = {}
    for quantization in ("dynamic", f"int{bits}-embedding"):
        path = tmp_path / f"{quantization}.tflite"
        folder = tmp_path / quantization
        path.write_bytes(convert(student, folder, quantization, 1, LENGTH))
        sizes[quantization] = path.stat().st_size
    found = operations(path)
    assert "EMBEDDING_LOOKUP" in found
    assert not any(name.startswith("CUSTOM") for name in found)
    # A row's scale and zero point take 12 bytes.
    row = width * bits / 8 + 12 - width
    assert sizes[quantization] < sizes["dynamic"] + vocabulary * row + 20_000
    rows = make_rows(20)
    expected = student.predict_on_batch(rows)
    difference = np.abs(LiteRTModel(path).predict(rows) - expected)
    assert difference.max() < tolerance * expected.std(axis=0).max()


@pytest.mark.slow
def test_30_thousand_words_take_3_megabytes(make_rows, tmp_path):
    student = recurrent_student(30522, 2, units=64, embedding_dim=128)
    kernel, bias = student.get_layer("logits").get_weights()
    student.get_layer("logits").set_weights([kernel * 40, bias])
    report = export_litert(
        student, tmp_path / "x.tflite", make_rows(60), "int4-embedding", LENGTH
    )
    assert report["bytes"] <= 3_000_000


def test_a_student_without_a_word_table_is_refused(make_rows, tmp_path):
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(LARGEST_SMALL_TABLE, 4)(inputs["token_ids"])
    student = keras.Model(inputs, keras.ops.mean(x, axis=1))
    with pytest.raises(ValueError, match="more than 512 rows.*Use 'dynamic'"):
        with_embedding_lookups(student)
    with pytest.raises(ExportError, match="no word table to make small"):
        export_litert(
            student,
            tmp_path / "x.tflite",
            {name: np.minimum(x, 99) for name, x in make_rows(4).items()},
            "int4-embedding",
            LENGTH,
        )
    assert not list(tmp_path.iterdir())


def test_masks_of_the_table_are_kept():
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(ROWS, 4, mask_zero=True)(token_ids)
    model = with_embedding_lookups(keras.Model({"token_ids": token_ids}, x))
    assert model.outputs[0]._keras_mask is not None


def test_numbers_stand_inside_the_flatbuffer(make_student, make_rows, tmp_path):
    """Else they are lost with the metadata of MediaPipe's files."""
    student = make_student("transformer", vocabulary_size=20000, hidden_dim=64)
    content = convert(
        student,
        tmp_path / "x",
        "int4-embedding",
        1,
        LENGTH,
        activation="softmax",
    )
    rows, received = make_rows(4), []
    rows["segment_ids"] = np.zeros_like(rows["token_ids"])
    for index, file in enumerate(
        (content, add_classifier_metadata(content, "student"))
    ):
        model = schema.ModelT.InitFromPackedBuf(file, 0)
        assert not any(buffer.offset for buffer in model.buffers)
        path = tmp_path / f"{index}.tflite"
        path.write_bytes(file)
        received.append(LiteRTModel(path).predict(rows))
    np.testing.assert_array_equal(*received)
