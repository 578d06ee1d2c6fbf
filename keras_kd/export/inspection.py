"""What a LiteRT file says of itself. Needs ai-edge-litert, not TensorFlow."""

from pathlib import Path

from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.operations import operations
from keras_kd.export.text_runner import LiteRTTextModel
from keras_kd.export.text_runner import takes_text

# How well the file did when it was verified, by the name in its metadata.
MEASURED = (
    "rows", "max_difference", "agreement", "accuracy_keras", "accuracy_file",
    "score_name", "score_keras", "score_file",
)  # fmt: skip
NOT_STATED = "not stated"


def inspect_file(path):
    """Describes a `.tflite` file by what is inside it.

    Nothing here is known to this library alone: the file is a zip archive of
    `labels.txt`, `vocab.txt` (or `tokenizer.json`) and `metadata.json` as
    well, and `unzip -p FILE metadata.json` prints most of it.

    Args:
        path: A `.tflite` file, of ours or not.

    Returns:
        Dictionary of strings: `file`, `labels`, `vocabulary`, `length`,
        `quantization`, `licence`, `metrics`, `inputs`, `outputs` and
        `operations`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no LiteRT file.
    """
    path = Path(path)
    model = (LiteRTTextModel if takes_text(path) else LiteRTModel)(path)
    metadata = model.metadata
    tokenizer = metadata.get("tokenizer", {})
    measured = [
        f"{name} {_number(metadata[name])}"
        for name in MEASURED
        if name in metadata
    ]
    length = "any" if model.length is None else str(model.length)
    return {
        "file": f"{path.name}, {path.stat().st_size} bytes",
        "labels": ", ".join(model.labels or []) or NOT_STATED,
        "vocabulary": (
            f"{tokenizer['vocabulary_size']} tokens ({tokenizer['kind']})"
            if tokenizer
            else NOT_STATED
        ),
        "length": f"{length} tokens",
        "quantization": metadata.get("quantization", NOT_STATED),
        "licence": metadata.get("licence", NOT_STATED),
        "metrics": ", ".join(measured) or NOT_STATED,
        "inputs": _tensors(model.input_details),
        "outputs": _tensors(model.output_details),
        "operations": ", ".join(operations(path)),
    }


def _tensors(details):
    """Names, types and shapes of inputs or outputs; `?` is any size."""
    return ", ".join(
        f"{name} {detail['dtype'].__name__} ["
        + ", ".join(
            "?" if size < 0 else str(size) for size in detail["shape_signature"]
        )
        + "]"
        for name, detail in details.items()
    )


def _number(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
