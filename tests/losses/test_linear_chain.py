"""The linear chain against all sequences of tags, one by one, in float64."""

import itertools

import keras
import numpy as np
import pytest

from keras_kd.losses.chain_soft_targets import ChainSoftTargets
from keras_kd.losses.linear_chain import chain_cross_entropy
from keras_kd.losses.linear_chain import log_marginals
from keras_kd.losses.linear_chain import tag_count
from tests.losses import cases

TAGS, LENGTH = 3, 6
# Tokens that are no part of the chain stand anywhere.
MASK = np.array(
    [[0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0] * 6]
)
ROWS = len(MASK)


def make_logits(seed=0, scale=2.0):
    return cases.random(ROWS, LENGTH, (1 + TAGS) * TAGS, seed=seed, scale=scale)


def all_sequences(logits, mask):
    """`(sequences, probabilities)` of one row."""
    potentials = logits[mask == 1].reshape(-1, 1 + TAGS, TAGS)
    sequences = list(itertools.product(range(TAGS), repeat=len(potentials)))
    scores = []
    for sequence in sequences:
        before, total = 0, 0.0
        for potential, tag in zip(potentials, sequence):
            total += potential[before, tag]
            before = tag + 1
        scores.append(total)
    scores = np.exp(np.array(scores) - np.max(scores))
    return sequences, scores / scores.sum()


def nll_oracle(logits, labels):
    values = []
    for row, tags in zip(logits, labels):
        own = tuple(tags[tags >= 0])
        sequences, probabilities = all_sequences(row, tags >= 0)
        value = -np.log(probabilities[sequences.index(own)])
        values.append(value / max(len(own), 1))
    return np.array(values)


def marginals_oracle(logits, mask):
    """`[rows, length, tags]`, 0 outside of the chain."""
    result = np.zeros((ROWS, LENGTH, TAGS))
    for row in range(ROWS):
        places = np.flatnonzero(mask[row])
        for sequence, share in zip(*all_sequences(logits[row], mask[row])):
            result[row, places, sequence] += share
    return result


@pytest.fixture
def labels():
    tags = np.random.default_rng(1).integers(0, TAGS, MASK.shape)
    return np.where(MASK == 1, tags, -1)


class TestCrossEntropy:
    @pytest.mark.parametrize(
        "dtype, tolerance", [("float32", 1e-5), ("float64", 1e-9)]
    )
    def test_likelihood_among_all_sequences(self, labels, dtype, tolerance):
        logits = make_logits()
        values = chain_cross_entropy(labels, logits.astype(dtype))
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(values),
            nll_oracle(logits, labels),
            rtol=tolerance,
            atol=tolerance,
        )

    def test_gradient_by_finite_differences(self, labels):
        import tensorflow as tf

        logits = make_logits(seed=2)
        tensor = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            total = tf.reduce_sum(chain_cross_entropy(labels, tensor))
        slope = tape.gradient(total, tensor).numpy()
        assert not slope[MASK == 0].any()
        generator = np.random.default_rng(0)
        for place in generator.permutation(np.argwhere(MASK == 1))[:8]:
            index = (*place, generator.integers((1 + TAGS) * TAGS))
            totals = []
            for shift in (1e-5, -1e-5):
                moved = logits.copy()
                moved[index] += shift
                totals.append(nll_oracle(moved, labels).sum())
            expected = (totals[0] - totals[1]) / 2e-5
            assert slope[index] == pytest.approx(expected, abs=1e-8)

    def test_what_is_left_out_changes_nothing(self, labels):
        logits = make_logits()
        other = np.where(MASK[:, :, None] == 1, logits, 1e3)
        np.testing.assert_allclose(
            chain_cross_entropy(labels, other.astype("float32")),
            chain_cross_entropy(labels, logits.astype("float32")),
            rtol=1e-6,
        )

    def test_a_width_of_no_chain(self):
        assert [tag_count(width) for width in (2, 6, 12, 90)] == [1, 2, 3, 9]
        with pytest.raises(ValueError, match=r"\(1 \+ tags\) \* tags. Rec.*9"):
            tag_count(9)

    def test_it_learns_a_transition(self):
        """Tag 1 follows tag 0 always, whatever the words say."""
        labels = np.array([[0, 1, 0, 1]] * 8)
        layer = keras.layers.Dense((1 + TAGS) * TAGS)
        model = keras.Sequential([keras.Input((4, 2)), layer])
        model.compile(keras.optimizers.Adam(0.1), loss=chain_cross_entropy)
        x = np.ones((8, 4, 2), "float32")
        losses = model.fit(x, labels, epochs=60, verbose=0).history["loss"]
        assert losses[-1] < 0.1 < 0.8 < losses[0]


class TestMarginals:
    def test_sums_over_all_sequences(self):
        logits = make_logits(seed=3)
        own = np.exp(keras.ops.convert_to_numpy(log_marginals(logits, MASK)))
        expected = marginals_oracle(logits, MASK)
        np.testing.assert_allclose(
            own[MASK == 1], expected[MASK == 1], atol=1e-9
        )


class TestSoftTargets:
    def oracle(self, student, teacher, temperature=2.0):
        """The teacher tags each word by itself, or is a chain."""
        q = marginals_oracle(student["logits"] / temperature, MASK)
        p = teacher["logits"] / temperature
        if p.shape[-1] == TAGS:
            p = np.exp(p - np.logaddexp.reduce(p, axis=-1, keepdims=True))
        else:
            p = marginals_oracle(p, MASK)
        values = np.zeros(ROWS)
        for row in range(ROWS):
            own = MASK[row] == 1
            if own.any():
                terms = p[row, own] * np.log(p[row, own] / q[row, own])
                values[row] = terms.sum(-1).mean() * temperature**2
        return values

    @pytest.mark.parametrize("teacher_width", [TAGS, (1 + TAGS) * TAGS])
    def test_oracle(self, teacher_width):
        student = {"logits": make_logits(seed=4)}
        teacher = {"logits": cases.random(ROWS, LENGTH, teacher_width, seed=5)}
        cases.check_oracle(
            ChainSoftTargets(2.0),
            self.oracle,
            student,
            teacher,
            token_mask=MASK,
            mask=np.ones_like(MASK),
        )

    def test_of_a_chain_with_itself_is_nothing(self):
        logits = {"logits": make_logits(seed=6)}
        values = cases.call(ChainSoftTargets(3.0), logits, logits, mask=MASK)
        np.testing.assert_allclose(values, 0.0, atol=1e-5)

    def test_half_precision_is_computed_in_float32(self):
        student = {"logits": make_logits(seed=7)}
        teacher = {"logits": cases.random(ROWS, LENGTH, TAGS, seed=8)}
        full = cases.call(ChainSoftTargets(), student, teacher, mask=MASK)
        for dtype in ("float16", "bfloat16"):
            values = cases.call(
                ChainSoftTargets(), student, teacher, dtype, mask=MASK
            )
            assert values.dtype == "float32"
            np.testing.assert_allclose(values, full, rtol=0.05, atol=0.02)

    def test_other_widths_are_refused(self):
        student = {"logits": make_logits()}
        teacher = {"logits": cases.random(ROWS, LENGTH, 4)}
        with pytest.raises(
            ValueError, match="a teacher of 3 tags, or of their"
        ):
            cases.call(ChainSoftTargets(), student, teacher, mask=MASK)

    def test_configuration(self):
        loss = ChainSoftTargets(3.0, 0.5, False, name="chain")
        again = ChainSoftTargets.from_config(loss.get_config())
        assert again.get_config() == loss.get_config()
