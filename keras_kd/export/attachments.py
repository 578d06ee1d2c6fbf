"""Labels, vocabulary and metadata inside a `.tflite` file, as a zip archive."""

import json
import zipfile

from keras_kd.version import __version__

LABELS_FILE = "labels.txt"
VOCABULARY_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
METADATA_FILE = "metadata.json"
# Files with the same content are the same bytes.
TIME_STAMP = (1980, 1, 1, 0, 0, 0)


def attach(path, tokenizer, labels, metadata):
    """Appends the attachments to a file; the runtimes still load it.

    Args:
        path: The file.
        tokenizer: `Tokenizer`, or `None`. A WordPiece one goes in as
            `vocab.txt`, another one as `tokenizer.json`.
        labels: Names of the classes, or `None`.
        metadata: Dictionary of JSON values.
    """
    attachments = {}
    metadata = {"keras_kd": __version__, **metadata}
    if labels is not None:
        metadata["labels"] = list(labels)
        attachments[LABELS_FILE] = "".join(f"{label}\n" for label in labels)
    if tokenizer is not None:
        metadata["tokenizer"] = describe_tokenizer(tokenizer)
        if tokenizer.kind == "wordpiece":
            attachments[VOCABULARY_FILE] = "".join(
                f"{token}\n" for token in tokenizer.vocabulary
            )
        else:
            attachments[TOKENIZER_FILE] = tokenizer.backend.to_str()
    attachments[METADATA_FILE] = json.dumps(
        metadata, indent=1, ensure_ascii=False
    )
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, text in attachments.items():
            archive.writestr(zipfile.ZipInfo(name, TIME_STAMP), text)


def describe_tokenizer(tokenizer):
    """What a client has to know of a tokenizer beside its vocabulary."""
    return {
        "kind": tokenizer.kind,
        "lowercase": tokenizer.lowercase,
        "pad_id": tokenizer.pad_id,
        "cls_id": tokenizer.cls_id,
        "sep_id": tokenizer.sep_id,
        "unk_id": tokenizer.unk_id,
        "vocabulary_size": tokenizer.vocabulary_size,
        "fingerprint": tokenizer.fingerprint,
    }


def read_attachments(path):
    """Reads `(labels, metadata)`: `(None, {})` where a file has none."""
    if not zipfile.is_zipfile(path):
        return None, {}
    labels, metadata = None, {}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if METADATA_FILE in names:
            metadata = json.loads(archive.read(METADATA_FILE))
        if LABELS_FILE in names:
            text = archive.read(LABELS_FILE).decode("utf-8")
            labels = text.removesuffix("\n").split("\n")
    return labels, metadata
