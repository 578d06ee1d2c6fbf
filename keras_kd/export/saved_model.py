"""Students as SavedModels, for TensorFlow Serving and plain TensorFlow."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd import batch
from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import scratch_folder
from keras_kd.export.attachments import LABELS_FILE
from keras_kd.export.attachments import METADATA_FILE
from keras_kd.export.attachments import describe_tokenizer
from keras_kd.export.child_process import run_child
from keras_kd.export.errors import ExportError
from keras_kd.export.errors import full_disk_explained
from keras_kd.export.export_arguments import check_labels
from keras_kd.export.export_arguments import check_vocabulary
from keras_kd.export.float32_copy import float32_copy
from keras_kd.export.text_preprocessing import InGraphTokenizer
from keras_kd.export.text_preprocessing import unsupported_reason
from keras_kd.version import __version__

FEATURES = "serving_default"
TEXT = "text"
TEXT_INPUTS = ("text", "text_pair")
CHECK_SCRIPT = Path(__file__).with_name("saved_model_check.py")
# The same operations in the same library: only the order of sums may differ.
TOLERANCE = 1e-4
# Rows of the sample that may hold characters of the tokenizer's exceptions.
OTHER_TOKENS_ALLOWED = 0.01
PROBABILITIES = {
    "softmax": tf.nn.softmax,
    "sigmoid": tf.nn.sigmoid,
    None: None,
}


def export_saved_model(
    student,
    folder,
    tokenizer=None,
    labels=None,
    max_length=None,
    sample=None,
    activation="softmax",
    pairs=False,
):
    """Writes a student as a SavedModel, and checks it in another process.

    There are two signatures. `serving_default` takes the student's features,
    int32 `[batch, length]` by name. `text` takes strings `[batch]`, `text` (and
    `text_pair`, for pairs), and has the tokenizer in the graph; it is there
    for the kinds `"wordpiece"`, `"word"` and `"character"` with BERT's
    normaliser. Both give the student's outputs by name (`logits`, float32) and
    `probabilities`. With the signature `text`, whoever loads the folder has to
    `import tensorflow_text` before.

    Labels, tokenizer and `metadata.json` are in the folder's `assets`.

    Args:
        student: A functional `keras.Model`.
        folder: Where it goes. An existing folder is replaced when the new one
            has passed its check.
        tokenizer: The student's `Tokenizer`, or `None`.
        labels: Names of the classes in the order of the logits, or `None`.
        max_length: The most tokens of a text; needed with a tokenizer.
        sample: What the check runs: a list of real texts with a tokenizer (or
            of `(text, text_pair)`), or a dictionary of int32 `[n, length]`
            arrays: then there is no signature `text`.
        activation: What makes probabilities of logits: `"softmax"`,
            `"sigmoid"`, or `None` for no probabilities.
        pairs: Whether the student reads pairs of texts.

    Returns:
        A dictionary for the report: `file`, `format`, `bytes`, `signatures`,
        `rows`, `max_difference` and `agreement` over all signatures,
        `rows_with_other_tokens` (of the text signature), and
        `no_text_signature`, the reason where there is none.

    Raises:
        ValueError: An argument that can't be right; says which.
        ExportError: The folder did not load, or gave other values than Keras.
            Nothing is left behind.

    Example, in a process that knows nothing of keras_kd:

    >>> import tensorflow as tf
    >>> import tensorflow_text
    >>> model = tf.saved_model.load("saved_model")
    >>> model.signatures["text"](text=tf.constant(["A fine film."]))
    """
    folder = Path(folder)
    _check_arguments(student, tokenizer, max_length, sample, activation, pairs)
    check_labels(student, labels)
    check_vocabulary(student, tokenizer)
    student = float32_copy(student)
    reason = "no tokenizer was given"
    in_graph = None
    if tokenizer is not None:
        reason = unsupported_reason(tokenizer)
        if isinstance(sample, dict):
            reason = "the sample holds features, not texts"
        if reason is None:
            in_graph = InGraphTokenizer(tokenizer, max_length)
    check = _Check(student, tokenizer, in_graph, max_length, sample, pairs)
    with full_disk_explained(folder), folder_aside(folder) as temporary:
        signatures = _save(
            student, temporary, tokenizer, in_graph, labels, max_length,
            activation, pairs,
        )  # fmt: skip
        report = check.run(temporary)
        size = sum(
            file.stat().st_size
            for file in temporary.rglob("*")
            if file.is_file()
        )
    report = {
        "file": folder.name,
        "format": "savedmodel",
        "bytes": size,
        "signatures": signatures,
        **report,
    }
    if reason:
        report["no_text_signature"] = reason
    return report


def _save(
    student, folder, tokenizer, in_graph, labels, max_length, activation, pairs
):
    """Writes the SavedModel; gives the names of its signatures."""

    def outputs_of(features):
        outputs = batch.named_outputs(
            student(batch.select_inputs(student, features), training=False)
        )
        probabilities = PROBABILITIES[activation]
        if probabilities and list(outputs) == [batch.LOGITS]:
            outputs["probabilities"] = probabilities(outputs[batch.LOGITS])
        return outputs

    module = tf.Module()
    # A module that holds only the Keras model loses the weights in silence.
    module.student_variables = [
        variable.value for variable in student.variables
    ]

    @tf.function
    def from_features(**features):
        return outputs_of(features)

    signatures = {
        FEATURES: from_features.get_concrete_function(
            **{
                name: tf.TensorSpec([None, None], tf.int32, name=name)
                for name in batch.input_names(student)
            }
        )
    }
    if in_graph is not None:
        module.tokenizer = in_graph

        @tf.function
        def from_text(text, text_pair=None):
            return outputs_of(in_graph(text, text_pair))

        signatures[TEXT] = from_text.get_concrete_function(
            **{
                name: tf.TensorSpec([None], tf.string, name=name)
                for name in TEXT_INPUTS[: 1 + pairs]
            }
        )
    metadata = {
        "keras_kd": __version__,
        "inputs": batch.input_names(student),
        "signatures": list(signatures),
        "max_length": max_length,
        "pairs": pairs,
    }
    with scratch_folder(folder.parent / "assets") as assets:
        if labels is not None:
            metadata["labels"] = list(labels)
            text = "".join(f"{label}\n" for label in labels)
            (assets / LABELS_FILE).write_text(text, encoding="utf-8")
        if tokenizer is not None:
            metadata["tokenizer"] = describe_tokenizer(tokenizer)
            tokenizer.save(assets)
        (assets / METADATA_FILE).write_text(
            json.dumps(metadata, indent=2, ensure_ascii=False),
            encoding="utf-8",
        )
        module.assets = [
            tf.saved_model.Asset(str(file)) for file in sorted(assets.iterdir())
        ]
        tf.saved_model.save(module, str(folder), signatures=signatures)
    return list(signatures)


class _Check:
    """What Keras says about the sample, and whether a folder says the same."""

    def __init__(self, student, tokenizer, in_graph, max_length, sample, pairs):
        self.has_text = in_graph is not None
        self.same_tokens = None
        encoded = sample
        if not isinstance(sample, dict):
            texts = list(zip(*sample)) if pairs else [sample]
            encoded = _encode(tokenizer, texts, max_length)
        self.features = {
            name: np.asarray(encoded[name], "int32")
            for name in batch.input_names(student)
        }
        self.inputs = {
            f"{FEATURES}/{name}": x for name, x in self.features.items()
        }
        self.expected = {
            name: np.asarray(values)
            for name, values in batch.named_outputs(
                student(
                    batch.select_inputs(student, self.features),
                    training=False,
                )
            ).items()
        }
        if self.has_text:
            for name, strings in zip(TEXT_INPUTS, texts):
                self.inputs[f"{TEXT}/{name}"] = np.array(strings)
            self.same_tokens = _rows_with_same_tokens(in_graph, texts, encoded)

    def run(self, folder):
        """Runs the folder in a fresh process and compares.

        Returns:
            The report's part about the comparison.

        Raises:
            ExportError: It did not run, or gave other values.
        """
        with scratch_folder(folder.parent / "check") as exchange:
            inputs = exchange / "inputs.npz"
            outputs = exchange / "outputs.npz"
            np.savez(inputs, **self.inputs)
            run_child(
                [CHECK_SCRIPT, folder, inputs, outputs],
                "the check of the SavedModel",
            )
            with np.load(outputs) as arrays:
                received = dict(arrays)
        every_row = np.ones(len(next(iter(self.features.values()))), bool)
        differences, agreements = [], []
        for signature in [FEATURES, TEXT] if self.has_text else [FEATURES]:
            rows = self.same_tokens if signature == TEXT else every_row
            for name, values in self.expected.items():
                difference, agreement = _compare(
                    signature, name, values[rows],
                    received[f"{signature}/{name}"][rows],
                )  # fmt: skip
                differences.append(difference)
                agreements.append(agreement)
        report = {
            "rows": len(every_row),
            "max_difference": max(differences),
            "agreement": min(agreements),
        }
        if self.has_text:
            report["rows_with_other_tokens"] = int((~self.same_tokens).sum())
        return report


def _encode(tokenizer, texts, max_length):
    """Texts, or texts and second texts, as a student's padded inputs."""
    first, *second = map(list, texts)
    encoded = tokenizer.encode(first, max_length, *second)
    longest = max(len(ids) for ids, _ in encoded)
    shape = (len(encoded), longest)
    token_ids = np.full(shape, tokenizer.pad_id or 0, "int32")
    segment_ids = np.zeros(shape, "int32")
    padding_mask = np.zeros(shape, "int32")
    for row, (ids, segments) in enumerate(encoded):
        token_ids[row, : len(ids)] = ids
        segment_ids[row, : len(ids)] = segments
        padding_mask[row, : len(ids)] = 1
    return {
        batch.TOKEN_IDS: token_ids,
        batch.SEGMENT_IDS: segment_ids,
        batch.PADDING_MASK: padding_mask,
    }


def _rows_with_same_tokens(in_graph, texts, features):
    received = in_graph(*(tf.constant(list(strings)) for strings in texts))
    received = {name: values.numpy() for name, values in received.items()}
    names = (batch.TOKEN_IDS, batch.SEGMENT_IDS)
    lengths, other_lengths = (
        np.sum(x[batch.PADDING_MASK], axis=1) for x in (features, received)
    )
    same = lengths == other_lengths
    for row in np.flatnonzero(same):
        same[row] = all(
            np.array_equal(
                features[name][row, : lengths[row]],
                received[name][row, : lengths[row]],
            )
            for name in names
        )
    # One has to be left to compare.
    allowed = min(max(1, OTHER_TOKENS_ALLOWED * len(same)), len(same) - 1)
    if (~same).sum() > allowed:
        first = np.flatnonzero(~same)[0]
        raise ExportError(
            f"The tokenizer in the graph gives other tokens for {(~same).sum()}"
            f" of {len(same)} texts, the first of them {texts[0][first]!r}. At "
            f"most {allowed:.0f} are expected. Export the features signature "
            "alone (tokenizer=None), and report these texts."
        )
    return same


def _compare(signature, name, expected, received):
    difference = np.abs(expected - received)
    # Written so that NaN does not pass.
    passed = difference <= TOLERANCE * np.maximum(1.0, np.abs(expected))
    if not passed.all():
        raise ExportError(
            f"The SavedModel's signature '{signature}' is off in '{name}': "
            f"differences up to {difference.max()}, where {TOLERANCE} x max(1, "
            "|logit|) is expected. Check that the student's outputs are finite "
            "and that it gives the same values when it is called twice."
        )
    same = expected.argmax(-1) == received.argmax(-1)
    return float(difference.max()), float(same.mean())


def _check_arguments(student, tokenizer, max_length, sample, activation, pairs):
    if activation not in PROBABILITIES:
        raise ValueError(
            "`activation` must be 'softmax', 'sigmoid' or None. Received: "
            f"{activation!r}"
        )
    width = batch.named_outputs(student.output).get(batch.LOGITS)
    if activation == "softmax" and width is not None and width.shape[-1] == 1:
        raise ValueError(
            "The softmax of one logit is always 1. Received: a student with "
            "one output. Use activation='sigmoid', or None for a regression."
        )
    if tokenizer is not None and max_length is None:
        raise ValueError(
            "`max_length` is needed with a tokenizer: the length that the "
            "student was trained with. Received: None."
        )
    columns = sample.values() if isinstance(sample, dict) else [sample]
    if sample is None or not min(map(len, columns), default=0):
        raise ValueError(
            "`sample` must hold some rows for the check. Received: "
            f"{sample!r}. Give real texts, or features without a tokenizer."
        )
    if tokenizer is None or isinstance(sample, dict):
        batch.select_inputs(student, sample)
        return
    if isinstance(sample, str):
        raise ValueError(
            "`sample` must be a list of texts when there is a tokenizer. "
            f"Received: {type(sample).__name__}."
        )
    counts = {
        len(text) if isinstance(text, (tuple, list)) else 1 for text in sample
    }
    if counts != {1 + pairs}:
        raise ValueError(
            f"`sample` must hold {'(text, text_pair)' if pairs else 'a string'}"
            f" for each row with pairs={pairs}. Received: {sample[0]!r}, ..."
        )
