"""Losses of where answers start and end, against float64 oracles."""

import keras
import numpy as np
import pytest

from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.span_cross_entropy import span_cross_entropy
from keras_kd.losses.span_soft_targets import SpanSoftTargets
from tests.losses import cases

ROWS, LENGTH = 4, 7
# The first token, and the context behind a question.
MASK = np.array(
    [[1, 0, 0, 1, 1, 1, 0], [1, 0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0],
     [1, 1, 1, 1, 1, 1, 1]]
)  # fmt: skip
SPANS = [(3, 5), (2, 2), (0, 0), (1, 6)]


def make_labels():
    labels = np.where(MASK == 1, 0, -1)
    for row, (first, last) in enumerate(SPANS):
        labels[row, first] += 1
        labels[row, last] += 2
    return labels


def log_softmax(logits, mask):
    """Over the tokens that count; 0 elsewhere."""
    result = np.zeros_like(logits)
    for row, own in enumerate(mask == 1):
        scores = logits[row, own]
        result[row, own] = scores - np.logaddexp.reduce(scores, axis=0)
    return result


def nll_oracle(logits):
    log_probability = log_softmax(logits, MASK)
    return np.array(
        [
            -(log_probability[row, first, 0] + log_probability[row, last, 1])
            / 2
            for row, (first, last) in enumerate(SPANS)
        ]
    )


def divergence_oracle(student, teacher, temperature=2.0):
    p, q = (
        log_softmax(outputs["logits"] / temperature, MASK)
        for outputs in (teacher, student)
    )
    own = MASK[:, :, np.newaxis]
    return (own * np.exp(p) * (p - q)).sum(axis=1).mean(-1) * temperature**2


class TestCrossEntropy:
    @pytest.mark.parametrize(
        "dtype, tolerance", [("float32", 1e-5), ("float64", 1e-9)]
    )
    def test_oracle(self, dtype, tolerance):
        logits = cases.random(ROWS, LENGTH, 2, scale=3.0)
        values = span_cross_entropy(make_labels(), logits.astype(dtype))
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(values),
            nll_oracle(logits),
            rtol=tolerance,
        )

    def test_the_question_has_no_gradient(self):
        import tensorflow as tf

        logits = tf.constant(cases.random(ROWS, LENGTH, 2))
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(span_cross_entropy(make_labels(), logits))
        slope = tape.gradient(total, logits).numpy()
        assert not slope[MASK == 0].any()
        assert np.abs(slope[MASK == 1]).min() > 0
        # The sum over a softmax is level.
        np.testing.assert_allclose(slope.sum(axis=1), 0.0, atol=1e-12)


class TestSoftTargets:
    def test_oracle(self):
        cases.check_oracle(
            SpanSoftTargets(2.0),
            divergence_oracle,
            {"logits": cases.random(ROWS, LENGTH, 2, seed=1)},
            {"logits": cases.random(ROWS, LENGTH, 2, seed=2)},
            token_mask=MASK,
            mask=np.ones_like(MASK),
        )

    def test_padding_and_question_change_nothing(self):
        student = cases.random(ROWS, LENGTH, 2, seed=1)
        teacher = cases.random(ROWS, LENGTH, 2, seed=2)
        loss = SpanSoftTargets()
        expected = cases.call(
            loss, {"logits": student}, {"logits": teacher}, token_mask=MASK
        )
        own = MASK[:, :, np.newaxis] == 1
        changed = [np.where(own, one, 500.0) for one in (student, teacher)]
        longer = [
            np.pad(one, ((0, 0), (0, 3), (0, 0)), constant_values=-700.0)
            for one in changed
        ]
        values = cases.call(
            loss,
            {"logits": longer[0]},
            {"logits": longer[1]},
            token_mask=np.pad(MASK, ((0, 0), (0, 3))),
        )
        np.testing.assert_allclose(values, expected, rtol=1e-5)

    def test_the_gradient_does_not_shrink_with_the_temperature(self):
        student = {"logits": cases.random(ROWS, LENGTH, 2, seed=1)}
        teacher = {"logits": cases.random(ROWS, LENGTH, 2, seed=2)}
        sizes = []
        for temperature in (1.0, 10.0, 100.0):
            slopes = cases.gradients(
                SpanSoftTargets(temperature), student, teacher, mask=MASK
            )
            sizes.append(np.abs(slopes["logits"]).sum())
        assert sizes[2] > 0.5 * sizes[1] > 0.1 * sizes[0]
        unscaled = cases.gradients(
            SpanSoftTargets(100.0, scale_by_temperature_squared=False),
            student,
            teacher,
            mask=MASK,
        )
        assert np.abs(unscaled["logits"]).sum() < 1e-3 * sizes[2]

    def test_a_model_with_itself(self):
        logits = {"logits": cases.random(ROWS, LENGTH, 2)}
        values = cases.call(SpanSoftTargets(), logits, logits, mask=MASK)
        np.testing.assert_allclose(values, 0.0, atol=1e-6)

    def test_classes_are_refused(self):
        logits = {"logits": cases.random(ROWS, 2)}
        with pytest.raises(ValueError, match="Take SoftTargets for classes"):
            cases.call(SpanSoftTargets(), logits, logits)

    def test_half_precision_is_computed_in_float32(self):
        student = {"logits": cases.random(ROWS, LENGTH, 2, seed=1)}
        teacher = {"logits": cases.random(ROWS, LENGTH, 2, seed=2)}
        full = cases.call(SpanSoftTargets(), student, teacher, mask=MASK)
        for dtype in ("float16", "bfloat16"):
            values = cases.call(
                SpanSoftTargets(), student, teacher, dtype, mask=MASK
            )
            assert values.dtype == "float32"
            np.testing.assert_allclose(values, full, rtol=0.05, atol=0.02)


def test_soft_targets_of_tokens_read_the_mask_of_tokens():
    """Not that of padding: other pieces of a word teach nothing."""
    student = {"logits": cases.random(ROWS, LENGTH, 3, seed=1)}
    teacher = {"logits": cases.random(ROWS, LENGTH, 3, seed=2)}
    of_tokens = cases.call(
        SoftTargets(), student, teacher,
        mask=np.ones_like(MASK), token_mask=MASK,
    )  # fmt: skip
    as_padding = cases.call(SoftTargets(), student, teacher, mask=MASK)
    of_all = cases.call(
        SoftTargets(), student, teacher, mask=np.ones_like(MASK)
    )
    np.testing.assert_allclose(of_tokens, as_padding, rtol=1e-6)
    assert np.abs(of_tokens - of_all)[:3].min() > 1e-3
