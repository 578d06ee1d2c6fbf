"""Students as LiteRT (`.tflite`) files, checked before they get their name."""

import json
import zlib
from pathlib import Path

import numpy as np

from keras_kd import batch
from keras_kd.atomic_files import scratch_folder
from keras_kd.atomic_files import write_aside
from keras_kd.export.attachments import attach
from keras_kd.export.child_process import run_child
from keras_kd.export.errors import ExportError
from keras_kd.export.errors import full_disk_explained
from keras_kd.export.export_arguments import check_labels
from keras_kd.export.export_arguments import check_length
from keras_kd.export.export_arguments import check_quantization
from keras_kd.export.export_arguments import check_rows
from keras_kd.export.export_arguments import check_vocabulary
from keras_kd.export.float32_copy import float32_copy
from keras_kd.export.litert_gates import check_outputs
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.operations import operations
from keras_kd.export.score_gates import CLASSIFICATION
from keras_kd.export.score_gates import check_kind
from keras_kd.export.score_gates import targets_of_rows
from keras_kd.inference import in_pieces

# Of a large batch, for each thread: what is between two layers then stays in
# the processor's second-level cache.
TOKENS_AT_ONCE = 256


def export_litert(
    student,
    path,
    rows,
    quantization="dynamic",
    max_length=128,
    tokenizer=None,
    labels=None,
    metadata=None,
    labels_of_rows=None,
    progress=None,
    kind=CLASSIFICATION,
    decide=None,
):
    """Converts a student to a `.tflite` file and proves it on real rows.

    The file takes one row of `max_length` tokens, padded on the right. It has
    named inputs and outputs and built-in operations only, so that any LiteRT
    runtime runs it; recurrent layers become loops that run fast there. The
    conversion runs in a process of its own. Then each of `rows` goes through
    Keras and through the file, and only if the two agree (`check_outputs`
    says how closely) does the file get its name.

    Labels, vocabulary and metadata travel inside the file: it is a zip archive
    as well, and `unzip` or `zipfile` list them.

    Args:
        student: A functional `keras.Model` of layers that
            `keras.models.load_model` loads without further code.
        path: Where the file goes. An existing file is replaced, but only by
            one that passed.
        rows: Dictionary of int32 `[n, max_length]` arrays by input name: real
            validation rows, padded on the right with 0.
        quantization: `"dynamic"` (int8 weights), `"float16"`, `"float32"`, or
            `"int8-embedding"`, `"int4-embedding"` or `"int2-embedding"`:
            dynamic, with a scale for
            each row of the word table, and four or eight bits for a number.
        max_length: Number of tokens that the file takes; `None` for any.
        tokenizer: `Tokenizer` whose vocabulary goes into the file, or `None`.
        labels: Names of the classes in the order of the logits, or `None`.
        metadata: Dictionary of further things to say in the file (licence,
            scores, ...); JSON values.
        labels_of_rows: Class ids of the rows, below zero where there is none,
            or a dictionary of them by output name. With them a dynamic file
            must not lose accuracy. Of kind `"multi_label"`: 0 and 1, `[n,
            labels]`; of `"regression"`: numbers, `[n]`; of tokens: of the shape
            that `decide` gives.
        progress: Function that is told how many rows were checked.
        kind: `"classification"`, `"multi_label"`, `"regression"`,
            `"token_tagging"` or `"question_answering"`: what the logits mean,
            and so how they are compared.
        decide: Of the last two kinds, function from the logits of all rows to
            the decisions, integers, `-1` where there is none.

    Returns:
        A dictionary for the report: `file`, `format`, `quantization`, `bytes`,
        `rows`, `kind`, `max_difference`, `agreement`, `accuracy_keras` and
        `accuracy_file` (with labels; of other kinds `score_name`,
        `score_keras` and `score_file`), and `ops`, the names of the operations.

    Raises:
        ValueError: An argument that can't be right; says which.
        ExportError: The student can't be converted, or the file did not pass.
            Nothing is left behind, and an older file stays as it was.
    """
    path = Path(path)
    check_quantization(quantization)
    check_kind(kind, student, decide)
    check_length(max_length)
    check_labels(student, labels)
    check_vocabulary(student, tokenizer)
    rows = check_rows(student, rows, max_length, tokenizer)
    targets = targets_of_rows(kind, student, rows, labels_of_rows)
    student = float32_copy(student)
    expected = keras_outputs(student, rows)
    with full_disk_explained(path), write_aside(path) as temporary:
        run_conversion(student, temporary, quantization, 1, max_length)
        model = load_file(temporary)
        ops = check_operations(temporary)
        report = {
            "file": path.name,
            "format": "litert",
            "quantization": quantization,
            "rows": len(next(iter(rows.values()))),
        }
        received = model.predict(rows, progress)
        report.update(
            check_outputs(
                quantization,
                expected,
                batch.named_outputs(received),
                rows.get(batch.PADDING_MASK),
                targets,
                kind,
                decide,
            )
        )
        metadata = {
            **(metadata or {}),
            **report,
            "inputs": batch.input_names(student),
            "outputs": list(expected),
            "max_length": max_length,
            "ops": ops,
        }
        first = {name: values[:1] for name, values in rows.items()}
        report.update(
            finish_file(temporary, tokenizer, labels, metadata, first, received)
        )
    return {**report, "ops": ops}


def finish_file(
    path, tokenizer, labels, metadata, first, received, runner=LiteRTModel
):
    """Attaches what travels inside a file, and has it run once more.

    What is shipped is the file with its attachments: it must still load.

    Args:
        path: The file.
        tokenizer, labels, metadata: See `attach`.
        first: The first of what the file was run on, for `runner.predict`.
        received: What the file gave of all.
        runner: Class that runs such a file.

    Returns:
        See `file_sizes`.

    Raises:
        ExportError: It can't be run, or gives something else.
    """
    attach(path, tokenizer, labels, metadata)
    check_same_outputs(load_file(path, runner).predict(first), received)
    return file_sizes(path)


def file_sizes(path):
    """Its `bytes`, and its `compressed_bytes` in a .zip, as apps travel."""
    content = path.read_bytes()
    compressed = len(zlib.compress(content, 9))
    return {"bytes": len(content), "compressed_bytes": compressed}


def convert_teacher(teacher, path, quantization="dynamic"):
    """Converts a teacher for fast labelling: any batch size, any length.

    No rows are compared: whoever labels with it measures what it moves.

    Args:
        teacher: A functional `keras.Model`; not recurrent, since LiteRT runs
            loops for a fixed number of rows only.
        path: Where the file goes.
        quantization: As in `export_litert`.

    Returns:
        A `LiteRTModel`.

    Raises:
        ValueError: Another quantization.
        ExportError: The teacher can't be converted. No file is left.
    """
    path = Path(path)
    check_quantization(quantization)
    with full_disk_explained(path), write_aside(path) as temporary:
        run_conversion(
            float32_copy(teacher), temporary, quantization, None, None
        )
        load_file(temporary)
        check_operations(temporary)
    return LiteRTModel(path)


def litert_runtime(path, num_threads):
    """`(input names, predict)` of a file, for `keras_kd.inference`.

    Args:
        path: A file that takes any number of rows of any length, such as
            `convert_teacher` writes.
        num_threads: Threads of the interpreter.
    """
    model = LiteRTModel(path, num_threads)
    runtime = model.input_names, model.predict_named
    return in_pieces(runtime, TOKENS_AT_ONCE * num_threads)


def run_conversion(
    model,
    output,
    quantization,
    batch_size,
    length,
    activation=None,
    tokenizer=None,
):
    """Runs the conversion worker; `output` is there afterwards.

    Args:
        model: A functional `keras.Model`.
        output: Path of the file.
        quantization: As in `export_litert`.
        batch_size: Rows of the file's inputs; `None` for any number.
        length: Tokens; `None` for any number.
        activation: See `keras_kd.export.conversion_worker.convert`.
        tokenizer: `Tokenizer` that the file begins with, or `None`.

    Raises:
        ExportError: The model can't be converted.
    """
    with scratch_folder(output.parent / "conversion") as folder:
        model.save(folder / "model.keras")
        error = folder / "error.txt"
        settings = {
            "model": str(folder / "model.keras"),
            "output": str(output),
            "error": str(error),
            "quantization": quantization,
            "batch_size": batch_size,
            "length": length,
            "activation": activation,
            "tokenizer": None,
        }
        if tokenizer is not None:
            settings["tokenizer"] = str(folder / "tokenizer")
            tokenizer.save(folder / "tokenizer")
        settings_path = folder / "settings.json"
        settings_path.write_text(json.dumps(settings), encoding="utf-8")
        worker = ["-m", "keras_kd.export.conversion_worker", settings_path]
        try:
            run_child(worker, "the conversion to LiteRT")
        except ExportError:
            if error.is_file():
                message = error.read_text(encoding="utf-8")
                raise ExportError(
                    f"'{model.name}' can't be converted to LiteRT. {message}"
                ) from None
            raise
        if not output.is_file() or not output.stat().st_size:
            raise ExportError(
                f"The conversion of '{model.name}' ended without a file."
            )


def keras_outputs(student, rows, batch_size=32):
    """What Keras says about the rows, in batches that all have one shape."""
    count = len(next(iter(rows.values())))
    pieces = []
    for start in range(0, count, batch_size):
        positions = np.arange(start, start + batch_size) % count
        part = {name: values[positions] for name, values in rows.items()}
        outputs = student.predict_on_batch(batch.select_inputs(student, part))
        pieces.append(batch.named_outputs(outputs))
    return {
        name: np.concatenate([np.asarray(p[name]) for p in pieces])[:count]
        for name in pieces[0]
    }


def load_file(path, runner=LiteRTModel):
    """The file, to be run; an `ExportError` if it can't be."""
    try:
        return runner(path)
    except ValueError as error:
        raise ExportError(str(error)) from error


def check_operations(path, allowed=()):
    """Gives a file's operations; an `ExportError` if one is not built in.

    Args:
        path: The file.
        allowed: Custom operations, such as `"CUSTOM:Name"`, that may be there.
    """
    found = operations(path)
    custom = [
        name
        for name in found
        if name.startswith("CUSTOM:") and name not in allowed
    ]
    if custom:
        raise ExportError(
            f"The file has operations that are not built into LiteRT: {custom}."
        )
    return found


def check_same_outputs(first, all_rows):
    """Raises an `ExportError` if the first row's outputs have changed."""
    first = batch.named_outputs(first)
    for name, values in batch.named_outputs(all_rows).items():
        if not np.array_equal(first[name], values[:1]):
            raise ExportError(
                f"The file gives other values in '{name}' when it is loaded a "
                "second time. Expected the same: please report this."
            )
