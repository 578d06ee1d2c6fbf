"""Students as files for MediaPipe's Text Classifier, on phones and in browsers.

MediaPipe itself is not needed: the file is checked by LiteRT, which is what
runs it there too.
"""

from pathlib import Path

import numpy as np

from keras_kd import batch
from keras_kd.atomic_files import write_aside
from keras_kd.data.mediapipe_tokens import check_readable
from keras_kd.data.mediapipe_tokens import vocabulary_warnings
from keras_kd.export.classifier_metadata import add_classifier_metadata
from keras_kd.export.errors import full_disk_explained
from keras_kd.export.export_arguments import check_labels
from keras_kd.export.export_arguments import check_length
from keras_kd.export.export_arguments import check_quantization
from keras_kd.export.export_arguments import check_rows
from keras_kd.export.export_arguments import check_vocabulary
from keras_kd.export.float32_copy import float32_copy
from keras_kd.export.litert import check_operations
from keras_kd.export.litert import finish_file
from keras_kd.export.litert import keras_outputs
from keras_kd.export.litert import load_file
from keras_kd.export.litert import run_conversion
from keras_kd.export.litert_gates import check_outputs
from keras_kd.export.score_gates import CLASSIFICATION
from keras_kd.export.score_gates import MULTI_LABEL
from keras_kd.export.score_gates import targets_of_rows

FORMAT = "mediapipe"
SMALLEST, LARGEST = 1e-30, 1.0 - 1e-7


def export_mediapipe(
    student,
    path,
    rows,
    tokenizer,
    labels,
    quantization="dynamic",
    max_length=128,
    activation="softmax",
    metadata=None,
    labels_of_rows=None,
    progress=None,
):
    """Converts a student to a file that MediaPipe's Text Classifier takes.

    As `export_litert`, but with labels, vocabulary and tokenizer inside of the
    file in the way that MediaPipe reads them, three inputs of fixed length,
    used or not, and probabilities for its output. Recurrent layers are written
    out step by step, for MediaPipe takes no loops: such a file takes longer to
    convert, is larger, and computes the padding too.

    The client reads text as `keras_kd.data.mediapipe_tokens.read_as_mediapipe`
    does, and not as BERT does. Score the file so.

    Args:
        student: A functional `keras.Model` with one output, `[rows, labels]`.
        path: Where the file goes. An existing file is replaced, but only by
            one that passed.
        rows: Dictionary of int32 `[n, max_length]` arrays by input name: real
            validation rows, padded on the right with 0.
        tokenizer: `Tokenizer` of the kind `"wordpiece"`.
        labels: Names of the classes in the order of the logits.
        quantization: As in `export_litert`.
        max_length: Number of tokens that the file takes.
        activation: What makes probabilities of the logits: `"softmax"`, or
            `"sigmoid"` for several labels a text.
        metadata: As in `export_litert`; `licence` is also told to MediaPipe.
        labels_of_rows: As in `export_litert`.
        progress: Function that is told how many rows were checked.

    Returns:
        A dictionary for the report, as that of `export_litert`, of the format
        `"mediapipe"`, with `warnings`. Differences are of probabilities.

    Raises:
        ValueError: An argument that can't be right; says which.
        DataError: A vocabulary that MediaPipe can't read.
        ExportError: The student can't be converted, or the file did not pass.
            Nothing is left behind, and an older file stays as it was.
    """
    path = Path(path)
    check_quantization(quantization)
    _check_arguments(student, labels, max_length, activation)
    check_length(max_length)
    check_labels(student, labels)
    check_readable(tokenizer)
    check_vocabulary(student, tokenizer)
    rows = check_rows(student, rows, max_length, tokenizer)
    kind = MULTI_LABEL if activation == "sigmoid" else CLASSIFICATION
    targets = targets_of_rows(kind, student, rows, labels_of_rows)
    student = float32_copy(student)
    (logits,) = keras_outputs(student, rows).values()
    expected = probabilities_of(logits, activation)
    features = {
        batch.SEGMENT_IDS: np.zeros((len(logits), max_length), "int32"),
        **rows,
    }
    metadata = dict(metadata or {})
    with full_disk_explained(path), write_aside(path) as temporary:
        run_conversion(
            student, temporary, quantization, 1, max_length, activation
        )
        temporary.write_bytes(
            add_classifier_metadata(
                temporary.read_bytes(), student.name, metadata.get("licence")
            )
        )
        model = load_file(temporary)
        ops = check_operations(temporary)
        received = model.predict(features, progress)
        # Several labels are decided one by one, as logits are: above zero.
        middle = 0.5 if kind == MULTI_LABEL else 0.0
        report = {
            "file": path.name,
            "format": FORMAT,
            "quantization": quantization,
            "rows": len(logits),
            **check_outputs(
                quantization,
                {batch.PROBABILITIES: expected - middle},
                {batch.PROBABILITIES: received - middle},
                labels=targets
                and {batch.PROBABILITIES: next(iter(targets.values()))},
                kind=kind,
            ),
        }
        metadata |= {
            **report,
            "activation": activation,
            "inputs": model.input_names,
            "outputs": model.output_names,
            "max_length": max_length,
            "ops": ops,
        }
        first = {name: values[:1] for name, values in features.items()}
        report.update(
            finish_file(temporary, tokenizer, labels, metadata, first, received)
        )
    return {**report, "ops": ops, "warnings": vocabulary_warnings(tokenizer)}


def probabilities_of(logits, activation):
    """The probabilities that a file gives, of Keras' logits."""
    logits = np.asarray(logits, "float64")
    if activation == "sigmoid":
        return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype("float32")
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype("float32")


def logits_of(probabilities, activation):
    """Logits that give a file's probabilities: what scores are computed of."""
    x = np.asarray(probabilities, "float64").clip(SMALLEST, LARGEST)
    if activation == "sigmoid":
        return np.log(x) - np.log1p(-x)
    return np.log(x)


def _check_arguments(student, labels, max_length, activation):
    if activation not in ("softmax", "sigmoid"):
        raise ValueError(
            "A Text Classifier gives probabilities: `activation` must be "
            f"'softmax' or 'sigmoid'. Received: {activation!r}. Export numbers "
            "(regression) in the format litert."
        )
    shapes = [x.shape for x in batch.named_outputs(student.output).values()]
    if [len(shape) for shape in shapes] != [2]:
        raise ValueError(
            "A Text Classifier has one output, [rows, labels]. Received: a "
            f"student with outputs of the shapes {shapes}. Export it in the "
            "format litert."
        )
    if activation == "softmax" and shapes[0][-1] == 1:
        raise ValueError(
            "The softmax of one logit is always 1. Received: a student with "
            "one output. Use activation='sigmoid'."
        )
    if not labels:
        raise ValueError(
            "MediaPipe answers with the names of labels. Received: "
            f"labels={labels!r}. Give one for each logit, in their order."
        )
    if max_length is None:
        raise ValueError(
            "MediaPipe never cuts texts for a file that takes any length. "
            "Received: max_length=None. Give the length of the training."
        )
