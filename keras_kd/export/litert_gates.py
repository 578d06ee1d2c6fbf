"""Whether a converted file still says what the Keras model says."""

import numpy as np

from keras_kd.export.errors import ExportError
from keras_kd.export.score_gates import CLASSIFICATION
from keras_kd.export.score_gates import EXPECTED_AGREEMENT
from keras_kd.export.score_gates import FLOATS
from keras_kd.export.score_gates import MULTI_LABEL
from keras_kd.export.score_gates import REGRESSION
from keras_kd.export.score_gates import SIGNIFICANCE
from keras_kd.export.score_gates import agrees_too_seldom
from keras_kd.export.score_gates import compare_label_sets
from keras_kd.export.score_gates import compare_numbers
from keras_kd.export.score_gates import loss_probability

# Largest |difference| of a logit, over max(1, |logit|).
TOLERANCES = {"float32": 1e-3, "float16": 5e-3}


def check_outputs(
    quantization,
    expected,
    received,
    padding_mask=None,
    labels=None,
    kind=CLASSIFICATION,
    decide=None,
):
    """Compares a file's outputs with those of Keras on the same rows.

    float32 and float16 files must give the same logits, within 1e-3 and 5e-3
    x max(1, |logit|). Any other file must answer as Keras does:

    - `classification`, and what `decide` gives: the same decision on 97% of
      the rows, or of the tokens (of few, on all but two);
    - `multi_label`: the same on 97% of the (row, label) decisions (of few, on
      all but two), and the labels that it gives have an F1 of 0.9 against those
      that Keras gives;
    - `regression`: numbers that correlate with those of Keras by 0.99.

    With labels it must not be significantly worse, at 5%: right less often
    (exact one-sided McNemar test; of multi-label rows a sign-flip test), or,
    for `regression`, with a mean squared error that rises by more than 0.005
    of the labels' variance (one-sided t-test).

    Args:
        quantization: How the file holds its numbers.
        expected: Dictionary of the Keras outputs by name, `[rows, ...]`.
        received: Dictionary of the file's outputs.
        padding_mask: `[rows, length]`; outputs for each token are compared
            where it is 1.
        labels: Dictionary of class ids by output name, or `None`. Ids below
            zero mean that there is no label. For the other kinds, see
            `score_gates.check_row_targets`.
        kind: One of `score_gates.KINDS`.
        decide: As in `export_litert`.

    Returns:
        Dictionary with `kind`, `max_difference`, `agreement` and, with labels,
        `accuracy_keras` and `accuracy_file`; for the other kinds `score_name`,
        `score_keras` and `score_file`.

    Raises:
        ExportError: A gate was not passed; says what was measured.
    """
    if set(expected) != set(received):
        raise ExportError(
            f"The file's outputs are {sorted(received)}, those of the Keras "
            f"model {sorted(expected)}."
        )
    _check_finite(expected, "The Keras model")
    _check_finite(received, "The file")
    decided = [
        {name: decide(values) for name, values in outputs.items()}
        for outputs in (expected, received)
        if decide is not None
    ]
    if kind not in (MULTI_LABEL, REGRESSION):
        expected = _real_tokens(expected, padding_mask)
        received = _real_tokens(received, padding_mask)
    report = {"kind": kind, "max_difference": 0.0}
    for name in expected:
        worst = _compare_logits(
            quantization, name, expected[name], received[name]
        )
        report["max_difference"] = max(report["max_difference"], worst)
    if kind in (MULTI_LABEL, REGRESSION):
        (name,) = expected
        compare = compare_numbers
        if kind == MULTI_LABEL:
            compare = compare_label_sets
        target = None if labels is None else labels[name]
        return report | compare(
            quantization, expected[name], received[name], target
        )
    if decide is None:
        decided = [
            {name: decisions(values) for name, values in outputs.items()}
            for outputs in (expected, received)
        ]
        labels = labels and _real_tokens(
            {name: np.asarray(x) for name, x in labels.items()}, padding_mask
        )
    by_keras, by_file = decided
    same = np.concatenate(
        [
            (values == by_file[name])[values >= 0]
            for name, values in by_keras.items()
        ]
    )
    if not len(same):
        raise ExportError(
            "The rows hold nothing that is decided. Expected one decision or "
            "more, to compare the file's with those of Keras. Give real "
            "validation rows, with the padding mask that belongs to them."
        )
    report["agreement"] = float(same.mean())
    too_seldom = agrees_too_seldom(int((~same).sum()), len(same))
    if quantization not in FLOATS and too_seldom:
        raise ExportError(
            f"The {quantization} file decides as Keras does on "
            f"{report['agreement']:.2%} of {len(same)} decisions. At least "
            f"{EXPECTED_AGREEMENT} are expected. Use float16, or train the "
            "student further: an untrained one has no firm decisions."
        )
    if labels is not None:
        report.update(_compare_accuracy(by_keras, by_file, labels))
    return report


def decisions(logits):
    """The class of each row; of a single logit, whether it is above 0."""
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype("int64")
    return logits.argmax(-1)


def _check_finite(outputs, who):
    for name, values in outputs.items():
        rows = np.flatnonzero(
            ~np.isfinite(values.reshape(len(values), -1)).all(1)
        )
        if len(rows):
            raise ExportError(
                f"{who} gives NaN or infinite values in '{name}' for "
                f"{len(rows)} of {len(values)} rows, the first of them row "
                f"{rows[0]}. Expected finite logits. Check that the training "
                "did not diverge and that the rows are real ones."
            )


def _real_tokens(outputs, padding_mask):
    """Outputs for each token as one long list, without the padding."""
    if padding_mask is None:
        return outputs
    shape = padding_mask.shape

    def select(values):
        # Start and end logits of a span are [rows, length] as well, and are
        # decided over the whole row: only a third dimension, or a class for
        # each token, means one decision a token.
        if values.ndim == 3 and values.shape[:2] == shape:
            return values[padding_mask == 1]
        if values.shape == shape and values.dtype.kind in "iu":
            return values[padding_mask == 1]
        return values

    return {name: select(values) for name, values in outputs.items()}


def _compare_logits(quantization, name, expected, received):
    if expected.shape != received.shape:
        raise ExportError(
            f"The file's output '{name}' has the shape {received.shape}, that "
            f"of the Keras model {expected.shape}."
        )
    difference = np.abs(expected - received)
    tolerance = TOLERANCES.get(quantization)
    if tolerance is not None:
        allowed = tolerance * np.maximum(1.0, np.abs(expected))
        if (difference > allowed).any():
            worst = np.unravel_index(
                (difference / allowed).argmax(), difference.shape
            )
            raise ExportError(
                f"The {quantization} file is off in '{name}': Keras gives "
                f"{expected[worst]:.6f} and the file {received[worst]:.6f} "
                f"(row {worst[0]}, output {worst[-1]}). Expected differences "
                f"within {tolerance} x max(1, |logit|). Please report this "
                "with the student's configuration: the conversion is wrong."
            )
    return float(difference.max(initial=0.0))


def _compare_accuracy(expected, received, labels):
    keras_right, file_right = [], []
    for name, ids in labels.items():
        known = ids >= 0
        keras_right.append(expected[name][known] == ids[known])
        file_right.append(received[name][known] == ids[known])
    keras_right = np.concatenate(keras_right)
    file_right = np.concatenate(file_right)
    if not len(keras_right):
        return {}
    probability = loss_probability(keras_right, file_right)
    accuracy_keras = float(keras_right.mean())
    accuracy_file = float(file_right.mean())
    if probability < SIGNIFICANCE:
        raise ExportError(
            f"The file is right on {accuracy_file:.2%} of {len(file_right)} "
            f"labelled decisions and Keras on {accuracy_keras:.2%}: a "
            f"significant loss (McNemar p={probability:.2g}). Use float16."
        )
    return {"accuracy_keras": accuracy_keras, "accuracy_file": accuracy_file}
