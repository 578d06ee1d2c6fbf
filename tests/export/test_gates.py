"""The gates of multi-label and regression files, and their exact tests."""

import itertools
import json
import zipfile

import keras
import numpy as np
import pytest

from keras_kd.export.errors import ExportError
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_gates import check_outputs
from keras_kd.export.score_gates import check_kind
from keras_kd.export.score_gates import check_row_targets
from keras_kd.export.score_gates import loss_probability
from keras_kd.export.score_gates import rise_probability

LENGTH = 16


def check(expected, received, labels=None, kind="multi_label", how="dynamic"):
    return check_outputs(
        how,
        {"logits": np.asarray(expected, "float32")},
        {"logits": np.asarray(received, "float32")},
        labels=None if labels is None else {"logits": np.asarray(labels)},
        kind=kind,
    )


def logits(yes):
    return np.where(yes, 2.0, -2.0)


def many_labels(rows=500, labels=4, share=0.3):
    generator = np.random.default_rng(0)
    return generator.random((rows, labels)) < share


# === Multi-label ===


def test_multi_label_counts_decisions():
    yes = many_labels()
    file = yes.copy()
    file.flat[:60] ^= True
    report = check(logits(yes), logits(file))
    assert report["kind"] == "multi_label"
    assert report["agreement"] == pytest.approx(0.97)
    assert report["max_difference"] == 4.0
    assert "score_name" not in report
    file.flat[60] ^= True
    said = r"96.95% of 2000 decisions.*At least 97% \(of few, all but two\) and"
    with pytest.raises(ExportError, match=said):
        check(logits(yes), logits(file))
    # A class is not what is compared: the largest logit may well be another.
    order = np.array([[3.0, 2.0, -1.0]])
    assert check(order, order[:, [1, 0, 2]])["agreement"] == 1.0


def test_a_file_that_never_says_yes_is_refused():
    """With rare labels it decides as Keras does on more than 97%."""
    yes = many_labels(share=0.02)
    with pytest.raises(ExportError, match="97.40%.*an F1 of 0.00 against"):
        check(logits(yes), logits(np.zeros_like(yes)))
    none = logits(np.zeros_like(yes))
    assert check(none, none)["agreement"] == 1.0


def test_multi_label_refuses_a_significant_loss():
    truth = many_labels()
    file = truth.copy()
    file[:10, 0] ^= True
    labels = truth.astype("float64")
    with pytest.raises(
        ExportError, match="99.50% of 2000.*500 rows, p=0.00098"
    ):
        check(logits(truth), logits(file), labels)
    # As many that Keras had wrong are right in the file.
    keras_yes = truth.copy()
    keras_yes[10:20, 1] ^= True
    report = check(logits(keras_yes), logits(file), labels)
    assert report["score_name"] == "hamming_accuracy"
    assert report["score_keras"] == report["score_file"] == 0.995
    # Rows without labels do not count.
    labels[:10] = -1
    report = check(logits(truth), logits(file), labels)
    assert report["score_keras"] == report["score_file"] == 1.0
    labels[:] = -1
    assert "score_name" not in check(logits(truth), logits(file), labels)


def test_float_files_are_held_to_the_logits_of_every_kind():
    yes = many_labels()
    for kind, values in (
        ("multi_label", logits(yes)),
        ("regression", np.linspace(-1, 1, 50)[:, None]),
    ):
        for how, tolerance in (("float32", 1e-3), ("float16", 5e-3)):
            near = values + 0.9 * tolerance
            assert check(values, near, kind=kind, how=how)["agreement"] > 0.99
            with pytest.raises(ExportError, match="is off in 'logits'"):
                check(values, values + 2.5 * tolerance, kind=kind, how=how)


@pytest.mark.parametrize("how", ["dynamic", "float32"])
def test_a_file_of_which_nothing_is_compared_is_refused(how):
    outputs = np.zeros((2, 3, 2), "float32")
    file = outputs + (9.0 if how == "dynamic" else 0.0)
    with pytest.raises(ExportError, match="hold nothing that is decided"):
        check_outputs(
            how, {"logits": outputs}, {"logits": file}, np.ones((2, 3)),
            kind="token_tagging",
            decide=lambda logits: np.full(logits.shape[:2], -1),
        )  # fmt: skip
    with pytest.raises(ExportError, match="hold nothing that is decided"):
        check_outputs(
            how, {"logits": outputs}, {"logits": file}, np.zeros((2, 3))
        )


# === Regression ===


def regression(noise, shift=0.0, rows=1000):
    """Labels of variance 1, Keras' numbers, and those of a file."""
    generator = np.random.default_rng(0)
    labels, errors, moved = generator.normal(size=(3, rows, 1))
    expected = labels + 0.5 * errors
    return expected, expected + noise * moved + shift, labels


def test_regression_report():
    expected, received, labels = regression(0.02)
    report = check(expected, received, labels, "regression")
    assert report["agreement"] == pytest.approx(
        np.corrcoef(expected[:, 0], received[:, 0])[0, 1]
    )
    assert report["score_name"] == "mse"
    for name, values in (("keras", expected), ("file", received)):
        assert report[f"score_{name}"] == pytest.approx(
            np.mean((values - labels) ** 2), rel=1e-5
        )
    assert "score_name" not in check(expected, received, None, "regression")


def test_regression_refuses_numbers_that_do_not_correlate():
    # 1 / sqrt(1 + noise^2 / 1.25) is 0.99 at a noise of 0.159.
    assert check(*regression(0.14)[:2], kind="regression")["agreement"] > 0.99
    with pytest.raises(ExportError, match=r"correlate.* by 0.98\d\d on 1000"):
        check(*regression(0.18)[:2], kind="regression")
    expected, received, _ = regression(0.02)
    with pytest.raises(ExportError, match="same number"):
        check(expected, 0 * received, kind="regression")
    with pytest.raises(ExportError, match="all 1 rows"):
        check(expected[:1], received[:1], kind="regression")


def test_regression_refuses_a_significant_rise():
    """A shift does not show in the correlation, only in the error."""
    expected, received, labels = regression(0.0, shift=0.2)
    assert check(expected, received, None, "regression")["agreement"] > 0.9999
    with pytest.raises(ExportError, match="squared error is .*1000 labelled"):
        check(expected, received, labels, "regression")
    # Rows without a label do not count; nor does a shift to the better side.
    labels[:] = np.nan
    assert "score_name" not in check(expected, received, labels, "regression")
    better, keras_numbers, labels = regression(0.0, shift=0.2)
    report = check(keras_numbers, better, labels, "regression")
    assert report["score_file"] < report["score_keras"]


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_rounding_is_no_significant_rise(bias):
    """Of a model that is off to one side, half of all files would fail."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        labels = generator.normal(size=(2000, 1))
        expected = labels + bias + 0.5 * generator.normal(size=(2000, 1))
        moved = 1e-3 * (1 + generator.normal(size=(2000, 1)))
        check(expected, expected + moved, labels, "regression")


def test_perfect_numbers_may_move_a_little():
    expected, received, _ = regression(0.02)
    report = check(expected, received, expected, "regression")
    assert report["score_keras"] < 1e-12 < report["score_file"]


# === The tests ===


def test_sign_flips_against_all_of_them():
    generator = np.random.default_rng(0)
    for _ in range(20):
        reference, candidate = generator.integers(0, 5, size=(2, 9))
        lost = reference - candidate
        signs = np.array(list(itertools.product([-1, 1], repeat=9)))
        expected = np.mean((signs * np.abs(lost)).sum(1) >= lost.sum())
        received = loss_probability(reference, candidate)
        assert received == pytest.approx(expected)


def test_sign_flips_of_right_and_wrong_are_mcnemar():
    stats = pytest.importorskip("scipy.stats")
    for lost, won in [(5, 0), (3, 1), (7, 9), (40, 20)]:
        reference = np.repeat([True, False], [lost, won])
        expected = stats.binomtest(lost, lost + won, alternative="greater")
        received = loss_probability(reference, ~reference)
        assert received == pytest.approx(expected.pvalue)


def test_rise_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    a, b = np.random.default_rng(0).random((2, 40))
    expected = stats.ttest_rel(b, a + 0.1, alternative="greater").pvalue
    assert rise_probability(a, b, 0.1) == pytest.approx(expected)
    assert rise_probability(a[:1], b[:1], 0.0) == 1.0
    assert rise_probability(np.zeros(3), np.ones(3), 0.5) == 0.0
    assert rise_probability(np.zeros(3), np.zeros(3), 0.0) == 1.0


# === Arguments ===


def student_of(width):
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(2000, 4, name="token_embedding")(
        inputs["token_ids"]
    )
    mask = keras.ops.cast(inputs["padding_mask"], "float32")
    x = keras.ops.sum(x * keras.ops.expand_dims(mask, -1), axis=1)
    x = keras.layers.Dense(width, name="logits")(x * 10)
    return keras.Model(inputs, x, name="linear")


def test_kinds():
    check_kind("regression", student_of(1))
    check_kind("multi_label", student_of(1))
    check_kind("multi_label", student_of(3))
    with pytest.raises(ValueError, match="Received: 'ranking'"):
        check_kind("ranking", student_of(1))
    with pytest.raises(ValueError, match=r"\[rows, 1\].*\(None, 3\)"):
        check_kind("regression", student_of(3))
    of_tokens = keras.Model(
        inputs := keras.Input((None, 4)), keras.layers.Dense(2)(inputs)
    )
    check_kind("classification", of_tokens)
    with pytest.raises(ValueError, match=r"\(None, None, 2\)"):
        check_kind("multi_label", of_tokens)


def test_labels_of_rows():
    rows = {"token_ids": np.zeros((4, LENGTH))}

    def targets(kind, width, values):
        return check_row_targets(kind, student_of(width), rows, values)

    assert targets("regression", 1, None) is None
    numbers = targets("regression", 1, [1, 2.5, np.nan, 0])["logits"]
    np.testing.assert_array_equal(numbers, [[1], [2.5], [np.nan], [0]])
    sets = np.array([[1, 0]] * 3 + [[-1, -1]], "int8")
    np.testing.assert_array_equal(
        targets("multi_label", 2, {"logits": sets})["logits"], sets
    )
    for values in ([1.0, 2.0], [["a"]] * 4, {"other": [1, 2, 3, 4]}):
        with pytest.raises(ValueError, match=r"of the shape \(4, 1\)"):
            targets("regression", 1, values)
    with pytest.raises(ValueError, match=r"of the shape \(4, 2\)"):
        targets("multi_label", 2, [1, 0, 1, 0])
    with pytest.raises(ValueError, match="must be 0 or 1"):
        targets("multi_label", 2, sets + 1)


# === Real files ===


@pytest.mark.parametrize("kind, width", [("multi_label", 3), ("regression", 1)])
def test_files_of_other_kinds(kind, width, make_rows, tmp_path):
    student, rows = student_of(width), make_rows()
    expected = student.predict_on_batch(rows)
    labels = (expected > 0).astype("int32")
    if kind == "regression":
        labels = expected[:, 0] + 0.1
    path = tmp_path / "student.tflite"
    report = export_litert(
        student,
        path,
        rows,
        "dynamic",
        LENGTH,
        labels_of_rows=labels,
        kind=kind,
    )
    assert report["kind"] == kind and report["agreement"] >= 0.97
    assert report["max_difference"] > 0
    perfect = 1.0 if kind == "multi_label" else 0.01
    assert report["score_keras"] == pytest.approx(perfect, abs=1e-6)
    assert "accuracy_keras" not in report
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["kind"] == kind
    assert metadata["score_file"] == report["score_file"]
    with pytest.raises(ValueError, match="`labels_of_rows` must be numbers"):
        export_litert(
            student,
            path,
            rows,
            "dynamic",
            LENGTH,
            labels_of_rows=[1],
            kind=kind,
        )
