"""Whether a file's answers are as good as Keras', for each kind of task.

The tests stand here, and not in `keras_kd.evaluation`: an export needs no more
of it than these few lines.
"""

import numpy as np

from keras_kd import batch
from keras_kd.export.errors import ExportError
from keras_kd.export.export_arguments import check_targets

CLASSIFICATION = "classification"
MULTI_LABEL = "multi_label"
REGRESSION = "regression"
TOKEN_TAGGING = "token_tagging"
QUESTION_ANSWERING = "question_answering"
# What is decided for each token, or over all of them, the task knows.
DECIDED_BY_TASK = (TOKEN_TAGGING, QUESTION_ANSWERING)
KINDS = (CLASSIFICATION, MULTI_LABEL, REGRESSION, *DECIDED_BY_TASK)

# Files that are held to the logits themselves.
FLOATS = ("float32", "float16")
MINIMUM_AGREEMENT = 0.97
# Of fewer than 67 decisions a single other one, or two, would be too many.
FEW_OTHERS, SHARE_OF_FEW = 2, 0.1
EXPECTED_AGREEMENT = f"{MINIMUM_AGREEMENT:.0%} (of few, all but two)"
# Most labels of most rows are a no: two files that never say yes agree.
MINIMUM_LABEL_F1 = 0.9
MINIMUM_CORRELATION = 0.99
# Half a point of explained variance.
ALLOWED_RISE = 0.005
SIGNIFICANCE = 0.05


def agrees_too_seldom(others, count):
    """Whether too many of `count` decisions are other ones.

    More than 3% are, and more than two; of less than 20, more than a tenth.
    """
    few = min(FEW_OTHERS, SHARE_OF_FEW * count)
    return others > max((1.0 - MINIMUM_AGREEMENT) * count + 1e-6, few)


def check_kind(kind, student, decide=None):
    """Raises a `ValueError` for a kind that is none, or not the student's."""
    if kind not in KINDS:
        raise ValueError(
            f"`kind` must be one of {list(KINDS)}. Received: {kind!r}"
        )
    if (decide is None) is (kind in DECIDED_BY_TASK):
        raise ValueError(
            f"`decide` is for the kinds {list(DECIDED_BY_TASK)}, and they need "
            f"it: `TokenTagging.decisions`, for example. Received: {decide} "
            f"for kind '{kind}'."
        )
    if kind not in (MULTI_LABEL, REGRESSION):
        return
    shapes = {
        name: output.shape
        for name, output in batch.named_outputs(student.output).items()
    }
    widths = [shape[-1] for shape in shapes.values() if len(shape) == 2]
    if len(shapes) != 1 or not widths or (kind == REGRESSION and widths != [1]):
        width = "1" if kind == REGRESSION else "labels"
        raise ValueError(
            f"A student for kind '{kind}' has one output, [rows, {width}]. "
            f"Received outputs of the shapes: {shapes}. Give the kind of the "
            "task that it was trained for."
        )


def check_row_targets(kind, student, rows, labels_of_rows):
    """Gives the labels of multi-label or regression rows, or `None`.

    Args:
        kind: `"multi_label"` or `"regression"`.
        student: A `keras.Model` that passed `check_kind`.
        rows: Dictionary of the inputs, `[n, ...]`.
        labels_of_rows: `[n, labels]` of 0 and 1, where a row with a value
            below zero has no label; or `[n]` or `[n, 1]` numbers, where NaN is
            no label; or `None`. Also as a dictionary with the output's name.

    Raises:
        ValueError: Another shape, or other values.
    """
    if labels_of_rows is None:
        return None
    ((name, output),) = batch.named_outputs(student.output).items()
    targets = batch.named_outputs(labels_of_rows)
    values = np.asarray(targets.get(name, []))
    numeric = values.dtype.kind in "biuf"
    shape = (len(next(iter(rows.values()))), output.shape[-1])
    if kind == REGRESSION and values.ndim == 1:
        values = values[:, np.newaxis]
    if not numeric or values.shape != shape or len(targets) != 1:
        received = {key: np.shape(value) for key, value in targets.items()}
        raise ValueError(
            f"`labels_of_rows` must be numbers of the shape {shape} for the "
            f"output '{name}' of kind '{kind}'. Received shapes: {received}."
        )
    if (
        kind == MULTI_LABEL
        and not (np.isin(values, (0, 1)) | (values < 0)).all()
    ):
        raise ValueError(
            "`labels_of_rows` of kind 'multi_label' must be 0 or 1, or below "
            f"zero where there is no label. Received: {np.unique(values)[:5]}"
        )
    return {name: values.astype("float64")}


def targets_of_rows(kind, student, rows, labels_of_rows):
    """The checked labels of the rows by output name, or `None`.

    See `check_targets` and, for labels that are no class ids,
    `check_row_targets`.
    """
    if kind in (MULTI_LABEL, REGRESSION):
        return check_row_targets(kind, student, rows, labels_of_rows)
    return check_targets(student, rows, labels_of_rows)


def compare_label_sets(quantization, expected, received, labels=None):
    """Compares the decisions about each (row, label), at a probability of 0.5.

    Args:
        quantization: How the file holds its numbers.
        expected: Keras' logits, `[rows, labels]`.
        received: The file's logits.
        labels: As `check_row_targets` gives them, or `None`.

    Returns:
        Dictionary with `agreement`, and with labels `score_name`,
        `score_keras` and `score_file`: the share of decisions that are right.

    Raises:
        ExportError: A quantised file that decides otherwise too often, or one
            that is significantly less often right.
    """
    keras_yes, file_yes = expected > 0, received > 0
    agreement = float((keras_yes == file_yes).mean())
    given = int(keras_yes.sum() + file_yes.sum())
    f1 = 2 * int((keras_yes & file_yes).sum()) / given if given else 1.0
    others = int((keras_yes != file_yes).sum())
    if quantization not in FLOATS:
        if agrees_too_seldom(others, keras_yes.size) or f1 < MINIMUM_LABEL_F1:
            raise ExportError(
                f"The {quantization} file decides as Keras does on "
                f"{agreement:.2%} of {keras_yes.size} decisions, and the "
                f"labels that it gives have an F1 of {f1:.2f} against those of "
                f"Keras. At least {EXPECTED_AGREEMENT} and "
                f"{MINIMUM_LABEL_F1} are expected. "
                "Use float16, or train the student further: an untrained one "
                "has no firm decisions."
            )
    report = {"agreement": agreement}
    if labels is None:
        return report
    known = (labels >= 0).all(axis=1)
    if not known.any():
        return report
    truth = labels[known] > 0
    keras_right = (keras_yes[known] == truth).sum(axis=1)
    file_right = (file_yes[known] == truth).sum(axis=1)
    score_keras = float(keras_right.sum() / truth.size)
    score_file = float(file_right.sum() / truth.size)
    probability = loss_probability(keras_right, file_right)
    if probability < SIGNIFICANCE:
        raise ExportError(
            f"The file is right on {score_file:.2%} of {truth.size} labelled "
            f"decisions and Keras on {score_keras:.2%}: a significant loss "
            f"(sign-flip test over {len(truth)} rows, p={probability:.2g}). "
            "Use float16."
        )
    return {
        **report,
        "score_name": "hamming_accuracy",
        "score_keras": score_keras,
        "score_file": score_file,
    }


def compare_numbers(quantization, expected, received, labels=None):
    """Compares predicted numbers, and their squared errors.

    Args:
        quantization: How the file holds its numbers.
        expected: Keras' numbers, `[rows, 1]`.
        received: The file's numbers.
        labels: As `check_row_targets` gives them, or `None`.

    Returns:
        Dictionary with `agreement`, Pearson's correlation of the two (left out
        where one gives the same number to all rows), and with labels
        `score_name`, `score_keras` and `score_file`: the mean squared errors.

    Raises:
        ExportError: A quantised file that does not correlate with Keras, or
            whose squared error is significantly larger.
    """
    expected, received = (
        np.asarray(values, dtype="float64")[:, 0]
        for values in (expected, received)
    )
    report = {}
    if np.ptp(expected) and np.ptp(received):
        report["agreement"] = float(np.corrcoef(expected, received)[0, 1])
    if quantization not in FLOATS:
        _check_correlation(report.get("agreement"), len(expected))
    if labels is None:
        return report
    known = np.isfinite(labels[:, 0])
    if not known.any():
        return report
    truth = labels[known, 0]
    keras_error = (expected[known] - truth) ** 2
    file_error = (received[known] - truth) ** 2
    # The float files are held to Keras' very numbers.
    if quantization not in FLOATS:
        allowed = ALLOWED_RISE * truth.var()
        probability = rise_probability(keras_error, file_error, allowed)
        if probability < SIGNIFICANCE:
            raise ExportError(
                "The quantised file's mean squared error is "
                f"{file_error.mean():.4g} on {len(truth)} labelled rows, that "
                f"of Keras {keras_error.mean():.4g}. Expected a rise of "
                f"{allowed:.4g} at most, {ALLOWED_RISE} of the labels' "
                "variance; it is significantly larger "
                f"(p={probability:.2g}). Use float16."
            )
    return {
        **report,
        "score_name": "mse",
        "score_keras": float(keras_error.mean()),
        "score_file": float(file_error.mean()),
    }


def _check_correlation(correlation, rows):
    if correlation is None:
        raise ExportError(
            f"The quantised file can't be compared: it or Keras gives all "
            f"{rows} rows the same number. Give rows with different answers, "
            "or train the student further."
        )
    if correlation < MINIMUM_CORRELATION:
        raise ExportError(
            f"The quantised file's numbers correlate with those of Keras by "
            f"{correlation:.4f} on {rows} rows. At least {MINIMUM_CORRELATION} "
            "is expected. Use float16, or train the student further."
        )


def loss_probability(reference_right, candidate_right):
    """Exact one-sided sign-flip test: is the candidate right less often?

    If both were equally good, each row's difference could as well have the
    other sign. For rows that are right or wrong it is McNemar's exact test.

    Args:
        reference_right: `[n]` booleans, or how many of a row's decisions are
            right.
        candidate_right: The same on the same rows.

    Returns:
        The probability of so large losses if signs were tossed; 1 where the
        candidate loses no row.
    """
    from scipy.stats import binom

    lost = reference_right.astype("int64") - candidate_right.astype("int64")
    observed = int(lost[lost > 0].sum())
    if not observed:
        return 1.0
    # How probable each sum of losses is, one size of difference at a time.
    distribution = np.ones(1)
    sizes, counts = np.unique(np.abs(lost[lost != 0]), return_counts=True)
    for size, count in zip(sizes, counts, strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, of_size)
    return float(distribution[observed:].sum())


def rise_probability(reference_errors, candidate_errors, allowed):
    """One-sided paired t-test: is the mean error larger by more than allowed?

    A rise is allowed for, since a file's numbers always differ: in a model
    that is off to one side, the least shift to that side is significant.

    Args:
        reference_errors: Squared errors, `[n]`.
        candidate_errors: The same on the same rows.
        allowed: How much larger the mean may be.

    Returns:
        The probability of such errors if the mean rose by `allowed`; 1 for
        fewer than two rows.
    """
    from scipy.stats import t

    excess = candidate_errors - reference_errors - allowed
    rows = len(excess)
    if rows < 2:
        return 1.0
    spread = excess.std(ddof=1)
    if not spread:
        return float(excess[0] <= 0)
    return float(t.sf(excess.mean() / spread * np.sqrt(rows), rows - 1))
