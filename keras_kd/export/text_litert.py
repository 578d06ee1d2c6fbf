"""Students as LiteRT files that take text, tokenizer and all."""

from pathlib import Path

from keras_kd import batch
from keras_kd.atomic_files import write_aside
from keras_kd.export.device_tokenizer import DeviceTokenizer
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
from keras_kd.export.score_gates import check_kind
from keras_kd.export.score_gates import targets_of_rows
from keras_kd.export.text_runner import FORMAT
from keras_kd.export.text_runner import LiteRTTextModel

# tensorflow_text's, and the only ones that are not built into LiteRT.
CUSTOM_OPERATIONS = {
    "CUSTOM:FastBertNormalize",
    "CUSTOM:FastWordpieceTokenizeWithOffsets",
}


def export_text_litert(
    student,
    path,
    texts,
    tokenizer,
    labels=None,
    quantization="dynamic",
    max_length=128,
    metadata=None,
    labels_of_rows=None,
    progress=None,
    kind=CLASSIFICATION,
):
    """Converts a student and its tokenizer to one `.tflite`: text to logits.

    As `export_litert`, but the file takes a string, and an app needs
    tensorflow_text's operations to run it (`LiteRTTextModel` does). Its
    tokenizer is `DeviceTokenizer`, which differs from the student's in rare
    characters; the check compares with Keras on the ids that the file makes.

    Args:
        student: A functional `keras.Model` with one output, `[rows, outputs]`.
        path: Where the file goes. An existing file is replaced, but only by
            one that passed.
        texts: List of real validation texts.
        tokenizer: The student's `Tokenizer`, of the kind `"wordpiece"`.
        labels: Names of the classes in the order of the logits, or `None`.
        quantization: As in `export_litert`.
        max_length: Tokens that are read of a text.
        metadata: As in `export_litert`.
        labels_of_rows: As in `export_litert`, for the texts.
        progress: Function that is told how many texts were checked.
        kind: `"classification"`, `"multi_label"` or `"regression"`.

    Returns:
        A dictionary for the report, as that of `export_litert`, of the format
        `"litert-text"`.

    Raises:
        ValueError: An argument that can't be right; says which.
        ExportError: The student can't be converted, or the file did not pass.
            Nothing is left behind, and an older file stays as it was.
    """
    path = Path(path)
    check_quantization(quantization)
    check_kind(kind, student)
    if max_length is None:
        raise ValueError(
            "A file that takes text cuts it to a fixed number of tokens. "
            "Received: max_length=None. Give that of the training."
        )
    check_length(max_length)
    check_labels(student, labels)
    check_vocabulary(student, tokenizer)
    rows = DeviceTokenizer(tokenizer, max_length).encode(texts)
    rows = check_rows(student, rows, max_length, tokenizer)
    targets = targets_of_rows(kind, student, rows, labels_of_rows)
    student = float32_copy(student)
    expected = keras_outputs(student, rows)
    with full_disk_explained(path), write_aside(path) as temporary:
        run_conversion(
            student, temporary, quantization, 1, max_length, tokenizer=tokenizer
        )
        model = load_file(temporary, LiteRTTextModel)
        ops = check_operations(temporary, CUSTOM_OPERATIONS)
        received = model.predict(texts, progress)
        report = {
            "file": path.name,
            "format": FORMAT,
            "quantization": quantization,
            "rows": len(texts),
            **check_outputs(
                quantization,
                expected,
                batch.named_outputs(received),
                rows.get(batch.PADDING_MASK),
                targets,
                kind,
            ),
        }
        metadata = {
            **(metadata or {}),
            **report,
            "inputs": ["text"],
            "outputs": list(expected),
            "max_length": max_length,
            "ops": ops,
        }
        report.update(
            finish_file(
                temporary,
                tokenizer,
                labels,
                metadata,
                texts[:1],
                received,
                LiteRTTextModel,
            )
        )
    return {**report, "ops": ops}
