"""Files for MediaPipe's Text Classifier, and in MediaPipe itself."""

import csv
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.data.errors import DataError
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.export.attachments import attach
from keras_kd.export.classifier_metadata import add_classifier_metadata
from keras_kd.export.errors import ExportError
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.mediapipe import export_mediapipe
from keras_kd.export.mediapipe import logits_of
from keras_kd.export.mediapipe import probabilities_of
from keras_kd.models.students import STUDENTS
from tests.export.test_student_matrix import firm_student

LENGTH = 16
LABELS = ["negative", "neutral", "positive"]
INPUTS = {
    "token_ids": "ids",
    "padding_mask": "mask",
    "segment_ids": "segment_ids",
}
# Conversions take seconds: these have all that there is to see.
ALWAYS = {("bigru", "float32"), ("bag", "dynamic")}
REVIEWS = Path(__file__).parents[2] / "recipes/data/sentiment_sentences.csv"


def softmax(logits):
    powers = np.exp(np.float64(logits) - np.max(logits, -1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def export(student, path, rows, tokenizer, **options):
    options = {"max_length": LENGTH, "labels": LABELS, **options}
    return export_mediapipe(student, path, rows, tokenizer, **options)


def with_segments(rows):
    return {"segment_ids": np.zeros_like(rows["token_ids"]), **rows}


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        pytest.param(
            kind,
            quantization,
            marks=[] if (kind, quantization) in ALWAYS else [pytest.mark.slow],
        )
        for kind in STUDENTS
        for quantization in ("float32", "float16", "dynamic")
    ],
)
def test_students(kind, quantization, make_rows, tokenizer, tmp_path):
    student = firm_student(kind, 1, tokenizer.vocabulary_size)
    rows = make_rows(60)
    given = with_segments(rows) if kind == "bert" else rows
    logits = student.predict_on_batch(given)
    path = tmp_path / "student.tflite"
    report = export(
        student,
        path,
        given,
        tokenizer,
        quantization=quantization,
        labels_of_rows=logits.argmax(-1),
        metadata={"licence": "MIT"},
    )
    assert report["format"] == "mediapipe"
    assert report["bytes"] == path.stat().st_size
    assert report["accuracy_keras"] == 1.0
    (warning,) = report["warnings"]
    assert "not in Latin letters" in warning
    assert "WHILE" not in report["ops"]
    model = LiteRTModel(path)
    assert sorted(model.input_names) == sorted(INPUTS)
    assert model.output_names == ["probabilities"]
    received = model.predict(with_segments(rows))
    tolerance = {"float32": 1e-5, "float16": 1e-2, "dynamic": 0.2}
    expected = softmax(logits)
    np.testing.assert_allclose(received, expected, atol=tolerance[quantization])
    assert expected.std(axis=0).min() > 0.05
    # Again: no state is kept from row to row.
    np.testing.assert_array_equal(model.predict(with_segments(rows)), received)


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        pytest.param(
            kind,
            quantization,
            marks=[] if (kind, quantization) in ALWAYS else [pytest.mark.slow],
        )
        for kind in STUDENTS
        for quantization in ("float32", "dynamic", "int8-embedding")
    ],
)
def test_scores_in_the_client(
    kind, quantization, make_rows, tokenizer, tmp_path
):
    pytest.importorskip("mediapipe", reason="pip install mediapipe")
    student = firm_student(kind, 1, tokenizer.vocabulary_size)
    path = tmp_path / "student.tflite"
    rows = make_rows(60)
    if kind == "bert":
        rows = with_segments(rows)
    export(student, path, rows, tokenizer, quantization=quantization)
    texts = ["a fine film", "The WORLD of films!", "", "of " * 40, "Caf\u00e9"]
    expected = LiteRTModel(path).predict(client_inputs(tokenizer, texts))
    # An untrained BERT tells texts apart by little: less counts for it.
    spread = expected.std(axis=0).min()
    assert spread > 1e-4
    received = scores_in_client(path, texts)
    np.testing.assert_allclose(
        received, expected, rtol=0, atol=min(1e-3, spread / 10)
    )


def client_inputs(tokenizer, texts, length=LENGTH):
    """What MediaPipe puts into the file for some texts."""
    inputs = {name: np.zeros((len(texts), length), "int32") for name in INPUTS}
    encoded = read_as_mediapipe(tokenizer).encode(texts, length)
    for row, (ids, _) in enumerate(encoded):
        inputs["token_ids"][row, : len(ids)] = ids
        inputs["padding_mask"][row, : len(ids)] = 1
    return inputs


def scores_in_client(path, texts):
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python import text

    options = text.TextClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path))
    )
    rows = []
    with text.TextClassifier.create_from_options(options) as classifier:
        for one in texts:
            (head,) = classifier.classify(one).classifications
            scores = {each.index: each.score for each in head.categories}
            rows.append([scores[index] for index in sorted(scores)])
    return np.array(rows)


@pytest.fixture(scope="session")
def exported_once():
    return []


@pytest.fixture
def exported(exported_once, linear_student, make_rows, tokenizer, tmp_path):
    path = tmp_path / "exported" / "student.tflite"
    if not exported_once:
        report = export(
            linear_student, path, make_rows(8), tokenizer,
            quantization="float32", metadata={"licence": "MIT"},
        )  # fmt: skip
        exported_once.append((path.read_bytes(), report))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(exported_once[0][0])
    return path


def read_table(buffer, position):
    """The fields of a flatbuffer's table: offsets of what stands there."""
    position = int(position)
    table = position - int.from_bytes(
        buffer[position : position + 4], "little", signed=True
    )
    size = int.from_bytes(buffer[table : table + 2], "little")
    return {
        number: position + offset
        for number in range(size // 2 - 2)
        if (
            offset := int.from_bytes(
                buffer[table + 4 + 2 * number :][:2], "little"
            )
        )
    }


def follow(buffer, position):
    return position + int.from_bytes(buffer[position : position + 4], "little")


def vector_of(buffer, position):
    start = follow(buffer, position)
    count = int.from_bytes(buffer[start : start + 4], "little")
    return [follow(buffer, start + 4 + 4 * number) for number in range(count)]


def string_at(buffer, position):
    start = follow(buffer, position)
    count = int.from_bytes(buffer[start : start + 4], "little")
    return buffer[start + 4 : start + 4 + count].decode()


def read_metadata(path):
    """The metadata of a file, and its inputs, read without our writer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (entry,) = [x for x in model.metadata if x.name == b"TFLITE_METADATA"]
    buffer = bytes(model.buffers[entry.buffer].data)
    assert buffer[4:8] == b"M001"
    (signature,) = model.signatureDefs
    names = {x.tensorIndex: x.name.decode() for x in signature.inputs}
    return buffer, [names[index] for index in model.subgraphs[0].inputs]


def test_the_metadata_names_each_input_where_it_is(exported):
    buffer, inputs = read_metadata(exported)
    root = read_table(buffer, follow(buffer, 0))
    assert string_at(buffer, root[0]) == "linear"
    assert string_at(buffer, root[5]) == "MIT"
    (subgraph,) = vector_of(buffer, root[3])
    subgraph = read_table(buffer, subgraph)
    named = [
        string_at(buffer, read_table(buffer, one)[0])
        for one in vector_of(buffer, subgraph[2])
    ]
    assert named == [INPUTS[name] for name in inputs]
    (output,) = vector_of(buffer, subgraph[3])
    (labels,) = vector_of(buffer, read_table(buffer, output)[6])
    labels = read_table(buffer, labels)
    assert string_at(buffer, labels[0]) == "labels.txt"
    assert buffer[labels[2]] == 2  # TENSOR_AXIS_LABELS
    (unit,) = vector_of(buffer, subgraph[5])
    unit = read_table(buffer, unit)
    assert buffer[unit[0]] == 4  # BertTokenizerOptions
    options = read_table(buffer, follow(buffer, unit[1]))
    (vocabulary,) = vector_of(buffer, options[0])
    vocabulary = read_table(buffer, vocabulary)
    assert string_at(buffer, vocabulary[0]) == "vocab.txt"
    assert buffer[vocabulary[2]] == 5  # VOCABULARY


def test_what_is_attached(exported, tokenizer):
    with zipfile.ZipFile(exported) as archive:
        assert archive.read("labels.txt").decode().split() == LABELS
        tokens = archive.read("vocab.txt").decode().split("\n")
        assert all(x.compress_type == 0 for x in archive.infolist())
    assert tokens == [*tokenizer.vocabulary, ""]
    model = LiteRTModel(exported)
    assert model.labels == LABELS
    assert model.metadata["activation"] == "softmax"
    assert model.metadata["licence"] == "MIT"
    assert model.metadata["max_length"] == model.length == LENGTH


def test_several_labels_are_sigmoids(
    linear_student, make_rows, tokenizer, tmp_path
):
    rows = make_rows(20)
    logits = linear_student.predict_on_batch(rows)
    labels_of_rows = (logits > 0).astype(int)
    report = export(
        linear_student, tmp_path / "x.tflite", rows, tokenizer,
        quantization="float32", activation="sigmoid",
        labels_of_rows=labels_of_rows,
    )  # fmt: skip
    assert report["kind"] == "multi_label"
    assert report["score_keras"] == report["score_file"] == 1.0
    received = LiteRTModel(tmp_path / "x.tflite").predict(with_segments(rows))
    np.testing.assert_allclose(received, 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_of_probabilities_give_them_back(activation):
    logits = np.array([[-3.0, 0.0, 2.0], [90.0, -90.0, 0.0]])
    probabilities = probabilities_of(logits, activation)
    back = logits_of(probabilities, activation)
    assert np.isfinite(back).all()
    np.testing.assert_allclose(
        probabilities_of(back, activation), probabilities, atol=1e-6
    )
    # Softmax leaves out what all logits have in common.
    first = logits[0] - (
        np.log(np.exp(logits[0]).sum()) if activation == "softmax" else 0.0
    )
    np.testing.assert_allclose(back[0], first, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": None}, "'softmax' or 'sigmoid'. Received: None"),
        ({"labels": None}, "names of labels. Received: labels=None"),
        ({"labels": ["a", "b"]}, "is 3 wide. Received: 2 labels"),
        ({"max_length": None}, "never cuts texts"),
        ({"max_length": 4}, "must be 8 or more"),
        ({"quantization": "int8"}, "crashes the converter"),
    ],
)
def test_arguments_that_cannot_be_right(
    options, message, linear_student, make_rows, tokenizer, tmp_path
):
    with pytest.raises(ValueError, match=message):
        export(
            linear_student, tmp_path / "x.tflite", make_rows(4), tokenizer,
            **options,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_students_that_are_no_classifiers(
    make_rows, tokenizer, word_tokenizer, linear_student, tmp_path
):
    path = tmp_path / "x.tflite"
    inputs = {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids")
    }
    x = keras.layers.Embedding(2000, 3)(inputs["token_ids"])
    with pytest.raises(ValueError, match="one output, .rows, labels."):
        export(keras.Model(inputs, x), path, make_rows(4), tokenizer)
    one = keras.layers.Dense(1)(keras.ops.mean(x, axis=1))
    with pytest.raises(ValueError, match="softmax of one logit"):
        export(keras.Model(inputs, one), path, make_rows(4), tokenizer)
    with pytest.raises(DataError, match="WordPiece vocabularies"):
        export(linear_student, path, make_rows(4), word_tokenizer)
    assert list(tmp_path.iterdir()) == []


def convert(function, length=LENGTH, names=tuple(INPUTS)):
    """Bytes of a file with the three inputs and one signature."""
    concrete = tf.function(function).get_concrete_function(
        **{name: tf.TensorSpec([1, length], tf.int32, name) for name in names}
    )
    module = tf.Module()
    module.function = concrete
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], module
    )
    return converter.convert()


def test_a_file_with_a_loop_is_refused():
    def looped(token_ids, padding_mask, segment_ids):
        x = tf.cast(token_ids + padding_mask + segment_ids, tf.float32)
        end = tf.reduce_sum(padding_mask)
        _, x = tf.while_loop(
            lambda i, x: i < end, lambda i, x: (i + 1, x * 1.5), (0, x)
        )
        return {"probabilities": x}

    with pytest.raises(ExportError, match="one subgraph. Received: 3"):
        add_classifier_metadata(convert(looped), "loop")


def test_a_file_that_lacks_an_input_is_refused():
    def two(token_ids, padding_mask):
        return {"x": tf.cast(token_ids * padding_mask, tf.float32)}

    content = convert(two, names=("token_ids", "padding_mask"))
    with pytest.raises(ExportError, match="dropped what it could"):
        add_classifier_metadata(content, "two")


class TestTheClientsTokens:
    """What MediaPipe puts into a file, shown by a file that gives it back."""

    @pytest.fixture
    def tokens_in_client(self, tmp_path):
        pytest.importorskip(
            "mediapipe", reason="pip install keras_kd[mediapipe]"
        )
        length = 64

        def probe(token_ids, padding_mask, segment_ids):
            x = token_ids + 100_000 * padding_mask + 1_000_000 * segment_ids
            return {"probabilities": tf.cast(x, tf.float32)}

        path = tmp_path / "probe.tflite"

        def read(tokenizer, texts):
            path.write_bytes(
                add_classifier_metadata(convert(probe, length), "probe")
            )
            attach(path, tokenizer, [str(i) for i in range(length)], {})
            values = scores_in_client(path, texts)
            expected = client_inputs(tokenizer, texts, length)
            expected = (
                expected["token_ids"] + 100_000 * expected["padding_mask"]
            )
            return [
                text
                for text, a, b in zip(texts, values, expected, strict=True)
                if (a != b).any()
            ]

        return read

    def test_nasty_strings(self, tokens_in_client, tokenizer, nasty_strings):
        assert tokens_in_client(tokenizer, nasty_strings) == []

    def test_reviews(self, tokens_in_client):
        with open(REVIEWS, encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        assert len(texts) >= 2000
        tokenizer = build_tokenizer("wordpiece", texts, 2000)
        assert tokens_in_client(tokenizer, texts) == []
