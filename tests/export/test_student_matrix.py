"""Every student, in every size and quantisation, becomes a LiteRT file."""

import functools

import numpy as np
import pytest

from keras_kd.export.conversion_worker import QUANTIZATIONS
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.models.students import STUDENTS
from keras_kd.models.students import build_student
from keras_kd.tasks.question_answering import QuestionAnswering
from keras_kd.tasks.token_tagging import TokenTagging

LENGTH = 16
LABELS = ["negative", "neutral", "positive"]
# Four bits need a trained student, and two one that was trained for them: on
# this one 2 of 60 decisions change with four, and a gate that is passed by
# lowering it shows nothing.
GATED = [
    name
    for name in QUANTIZATIONS
    if name not in ("int4-embedding", "int2-embedding")
]
# One layer each, float32 and dynamic, are always tested; the others on demand.
MATRIX = [
    pytest.param(
        kind,
        layers,
        quantization,
        marks=[]
        if layers == 1 and quantization in ("float32", "dynamic")
        else [pytest.mark.slow],
    )
    for kind in STUDENTS
    for layers in (1, 2)
    for quantization in GATED
]
TOKEN_TASKS = {
    "token_tagging": TokenTagging(["O", "B-PER", "I-PER"]),
    "chain": TokenTagging(["O", "B-PER", "I-PER"], chain=True),
    "question_answering": QuestionAnswering(),
}
TOKEN_STUDENTS = ("bigru", "bilstm", "transformer")
# Largest difference of a logit.
TOLERANCES = {"float32": 1e-5, "float16": 2e-2}
TOLERANCE_OF_INTEGERS = 0.5


def firm_student(kind, layers, vocabulary_size, **sizes):
    """A student with firm decisions, as trained ones have."""
    table = np.random.default_rng(0).normal(0.0, 0.5, (vocabulary_size, 16))
    student = build_student(
        kind,
        vocabulary_size,
        len(LABELS),
        layers=layers,
        width=16,
        embedding_dim=16,
        max_length=LENGTH,
        embeddings=table,
        **sizes,
    )
    if kind == "bag":
        bigrams = student.get_layer("bigram_embedding")
        bigrams.set_weights([bigrams.get_weights()[0] * 10.0])
    firmer = {"logits": 4.0}
    if kind == "bert":
        # BERT's own, small standard deviation.
        firmer = {"pooled_dense": 20.0, "logits": 20.0}
    for name, factor in firmer.items():
        kernel, bias = student.get_layer(name).get_weights()
        student.get_layer(name).set_weights([kernel * factor, bias])
    return student


@pytest.mark.parametrize(("kind", "layers", "quantization"), MATRIX)
def test_it_passes_the_gates(
    kind, layers, quantization, make_rows, tokenizer, tmp_path
):
    student = firm_student(kind, layers, tokenizer.vocabulary_size)
    passes_the_gates(
        student, kind, quantization, make_rows(60), tokenizer, tmp_path
    )


@pytest.mark.parametrize("quantization", ["float32", "dynamic"])
def test_a_convolution_passes_the_gates(
    quantization, make_rows, tokenizer, tmp_path
):
    size = tokenizer.vocabulary_size
    student = firm_student("attention", 1, size, convolution=3)
    passes_the_gates(
        student, "attention", quantization, make_rows(60), tokenizer, tmp_path
    )


def passes_the_gates(student, kind, quantization, rows, tokenizer, tmp_path):
    if kind == "bert":
        rows["segment_ids"] = (rows["token_ids"] % 2).astype("int32")
    expected = student.predict_on_batch(rows)
    # A test on rows that are all decided alike would show nothing.
    assert len(set(expected.argmax(-1))) > 1
    assert expected.std(axis=0).min() > 0.05
    path = tmp_path / "student.tflite"
    report = export_litert(
        student,
        path,
        rows,
        quantization,
        LENGTH,
        tokenizer=tokenizer,
        labels=LABELS,
        labels_of_rows=expected.argmax(-1),
    )
    tolerance = TOLERANCES.get(quantization, TOLERANCE_OF_INTEGERS)
    assert report["rows"] == 60
    assert report["agreement"] >= (1.0 if quantization == "float32" else 0.97)
    assert report["max_difference"] <= tolerance
    # Built-in operations only, and a loop in recurrent students alone.
    assert report["ops"]
    assert not any("CUSTOM" in name for name in report["ops"])
    assert ("WHILE" in report["ops"]) == (kind in ("bigru", "bilstm"))
    # Quantised files hold quantised numbers.
    assert ("DEQUANTIZE" in report["ops"]) or quantization != "float16"
    assert ("EMBEDDING_LOOKUP" in report["ops"]) == quantization.endswith(
        "embedding"
    )
    received = LiteRTModel(path).predict(rows)
    assert received.shape == (60, len(LABELS))
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance)


def test_the_matrix_has_every_student():
    assert len(MATRIX) == len(STUDENTS) * 2 * len(GATED)
    always = [case.values for case in MATRIX if not case.marks]
    assert sorted(always) == sorted(
        (kind, 1, quantization)
        for kind in STUDENTS
        for quantization in ("float32", "dynamic")
    )


@pytest.mark.slow
@pytest.mark.parametrize("quantization", GATED)
@pytest.mark.parametrize("kind", TOKEN_STUDENTS)
@pytest.mark.parametrize("task", TOKEN_TASKS)
def test_tags_and_answers_pass_the_gates(
    task, kind, quantization, make_rows, tokenizer, tmp_path
):
    task = TOKEN_TASKS[task]
    size = tokenizer.vocabulary_size
    table = np.random.default_rng(0).normal(0.0, 0.5, (size, 16))
    student = build_student(
        kind,
        size,
        task.student_outputs,
        width=16,
        embedding_dim=16,
        max_length=LENGTH,
        embeddings=table,
        per_token=True,
    )
    rows = make_rows(60)
    mask = rows["padding_mask"]
    logits = student.predict_on_batch(rows)
    kernel, bias = student.get_layer("logits").get_weights()
    firm = kernel / logits[mask == 1].std()
    student.get_layer("logits").set_weights([firm, bias])
    expected = student.predict_on_batch(rows)
    decide = functools.partial(task.decisions, token_masks=mask)
    assert len(np.unique(decide(expected))) > 2
    path = tmp_path / "student.tflite"
    report = export_litert(
        student,
        path,
        rows,
        quantization,
        LENGTH,
        tokenizer=tokenizer,
        labels=task.labels,
        kind=task.name,
        decide=decide,
    )
    assert report["agreement"] >= (1.0 if quantization == "float32" else 0.97)
    assert not any("CUSTOM" in name for name in report["ops"])
    assert ("WHILE" in report["ops"]) == (kind != "transformer")
    received = LiteRTModel(path).predict(rows)
    tolerance = TOLERANCES.get(quantization, TOLERANCE_OF_INTEGERS)
    np.testing.assert_allclose(
        received[mask == 1], expected[mask == 1], rtol=0, atol=tolerance
    )
