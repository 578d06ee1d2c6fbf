"""Soft targets at the tokens that are told, whole and cut to the best k."""

import keras
import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.losses.masked_soft_targets import MaskedSoftTargets
from keras_kd.losses.top_k_soft_targets import TopKSoftTargets
from keras_kd.losses.top_k_soft_targets import log_sum_of_rest
from keras_kd.schedules import LinearSchedule
from keras_kd.teachers.top_k import TopKLogits
from keras_kd.teachers.top_k import cache_bytes
from tests.losses import cases

ROWS, PLACES, WORDS, TEMPERATURE = 3, 4, 9, 2.0
LABELS = np.array([[1, 2, 3, 4], [5, 6] + [NO_TOKEN] * 2, [0] + [NO_TOKEN] * 3])


@pytest.fixture
def logits():
    generator = np.random.default_rng(0)
    shape = (2, ROWS, PLACES, WORDS)
    return generator.normal(0, 3, shape).astype("float32")


def log_softmax(values):
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def divergence(student, teacher):
    """In float64; of probabilities over the last axis."""
    q, p = (
        log_softmax(values.astype("float64") / TEMPERATURE)
        for values in (student, teacher)
    )
    return (np.exp(p) * (p - q)).sum(-1)


def mean_of_told(values):
    used = LABELS != NO_TOKEN
    return (values * used).sum(1) / used.sum(1)


def folded(logits, ids):
    """Log-probabilities of some words, and of all others as one, float64."""
    p = np.exp(log_softmax(logits.astype("float64") / TEMPERATURE))
    top = np.take_along_axis(p, ids, -1)
    return np.log(np.concatenate([top, 1 - top.sum(-1, keepdims=True)], -1))


def test_the_mean_over_the_told_tokens(logits):
    student, teacher = logits
    loss = MaskedSoftTargets(TEMPERATURE)
    values = loss({"logits": student}, {"logits": teacher}, labels=LABELS)
    expected = TEMPERATURE**2 * mean_of_told(divergence(student, teacher))
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("filling", [-np.inf, np.nan])
def test_what_stands_at_tokens_that_are_not_told_changes_nothing(
    logits, filling
):
    student, teacher = ({"logits": values} for values in logits)
    ids = np.argsort(-teacher["logits"], -1)[:, :, :3]
    p = folded(teacher["logits"], ids)
    top = {"top_logits": p[..., :3] * TEMPERATURE, "rest": p[..., 3]}

    def filled(outputs):
        return {
            name: np.where(
                (LABELS != NO_TOKEN).reshape(ROWS, PLACES, *[1] * (v.ndim - 2)),
                v,
                filling,
            )
            for name, v in outputs.items()
        }

    for loss, targets, more in (
        (MaskedSoftTargets(TEMPERATURE), teacher, {}),
        (TopKSoftTargets(TEMPERATURE), top, {"top_ids": ids}),
    ):
        found, expected = (
            cases.gradients(loss, own, {**targets, **more}, labels=LABELS)
            for own, targets in (
                (filled(student), filled(targets)),
                (student, targets),
            )
        )
        np.testing.assert_allclose(
            found["logits"], expected["logits"], rtol=1e-6
        )
        assert np.abs(found["logits"]).max() > 1e-3


def test_a_padding_mask_of_another_length_does_not_count(logits):
    student, teacher = ({"logits": values} for values in logits)
    loss = MaskedSoftTargets(TEMPERATURE)
    mask = np.ones((ROWS, 30), "int32")
    np.testing.assert_array_equal(
        loss(student, teacher, labels=LABELS, mask=mask),
        loss(student, teacher, labels=LABELS),
    )


@pytest.mark.parametrize("k", [1, 3, WORDS - 1])
def test_best_words_and_the_rest(logits, k):
    student, teacher = logits
    kept = TopKLogits(k, TEMPERATURE)(teacher)
    loss = TopKSoftTargets(TEMPERATURE)
    values = loss({"logits": student}, kept, labels=LABELS)
    ids = np.argsort(-teacher, -1)[..., :k]
    np.testing.assert_array_equal(kept["top_ids"], ids)
    q, p = folded(student, ids), folded(teacher, ids)
    expected = mean_of_told((np.exp(p) * (p - q)).sum(-1)) * TEMPERATURE**2
    # Half precision: 3 digits of a logit.
    np.testing.assert_allclose(values, expected, rtol=1e-2, atol=1e-3)
    whole = MaskedSoftTargets(TEMPERATURE)(
        {"logits": student}, {"logits": teacher}, labels=LABELS
    )
    assert (np.asarray(values) <= np.asarray(whole) * 1.01).all()


def test_all_words_but_one_are_all_words(logits):
    student, teacher = logits
    kept = TopKLogits(WORDS - 1, TEMPERATURE)(teacher)
    whole, cut = (
        loss({"logits": student}, given, labels=LABELS)
        for loss, given in (
            (MaskedSoftTargets(TEMPERATURE), {"logits": teacher}),
            (TopKSoftTargets(TEMPERATURE), kept),
        )
    )
    np.testing.assert_allclose(cut, whole, rtol=1e-2, atol=1e-3)


def test_a_sure_model_keeps_its_digits():
    logits = np.array([[[60.0, 0.0, -60.0]]], "float32")
    rest = log_sum_of_rest(logits, np.array([[[0]]]))
    np.testing.assert_allclose(rest, [[0.0]], atol=1e-6)
    kept = TopKLogits(1, 1.0)(np.array([[[0.0, 3.0, 1.0]]]))
    loss = TopKSoftTargets(1.0)
    value = loss({"logits": logits}, kept, labels=[[1]])
    assert np.isfinite(value).all() and float(value[0]) > 10


def test_gradients_are_those_of_the_folded_classes(logits):
    tensorflow = pytest.importorskip("tensorflow")
    student, teacher = logits
    kept = TopKLogits(3, TEMPERATURE)(teacher)
    x = tensorflow.Variable(student)
    with tensorflow.GradientTape() as tape:
        loss = TopKSoftTargets(TEMPERATURE)
        total = tensorflow.reduce_sum(loss({"logits": x}, kept, labels=LABELS))
    gradient = tape.gradient(total, x).numpy()
    assert (gradient[LABELS == NO_TOKEN] == 0).all()
    step, direction = 1e-2, np.random.default_rng(1).normal(size=student.shape)
    values = [
        np.sum(
            loss({"logits": student + sign * step * direction}, kept,
                 labels=LABELS)
        )
        for sign in (1, -1)
    ]  # fmt: skip
    expected = (values[0] - values[1]) / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-2)


def test_what_is_kept(logits):
    kept = TopKLogits(3, TEMPERATURE)(logits[1])
    types = {name: keras.ops.dtype(value) for name, value in kept.items()}
    assert types == {
        "top_logits": "float16",
        "top_ids": "float32",
        "rest": "float16",
    }
    assert cache_bytes(tokens=10, k=3) == 10 * (3 * 6 + 2)
    with pytest.raises(ValueError, match="from 1 to 8"):
        TopKLogits(WORDS, TEMPERATURE)(logits[1])


@pytest.mark.parametrize("kind", [MaskedSoftTargets, TopKSoftTargets])
def test_configuration(kind):
    loss = kind(3.0, weight=0.5, name="own")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert again.get_config() == loss.get_config()
    assert again.temperature == 3.0 and again.weight == 0.5


def test_a_temperature_that_changes_is_refused():
    with pytest.raises(ValueError, match="can't change"):
        TopKSoftTargets(LinearSchedule(4.0, 1.0, 10))
