"""Pruning: the schedule, the masks, a kill in the middle."""

import keras
import numpy as np
import pytest

from keras_kd.runs.pruning import MagnitudePruning
from keras_kd.runs.pruning import kept
from keras_kd.runs.pruning import share_of_zeros


def make_model(seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(10, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    return model


def fit(model, pruning, steps, seen=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8 * steps, 6)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    callbacks = [pruning]
    if seen is not None:
        record = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(
                [w.numpy() for w in pruning.pruned]
            )
        )
        callbacks.append(record)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=callbacks)


class TestShare:
    def test_equation_of_zhu_and_gupta(self):
        pruning = MagnitudePruning(make_model(), 0.8, begin=100, end=300)
        for step in (100, 137, 200, 251, 300):
            expected = 0.8 + (0.0 - 0.8) * (1 - (step - 100) / 200) ** 3
            assert pruning.share_at(step) == pytest.approx(expected)

    def test_nothing_before_and_no_more_after(self):
        pruning = MagnitudePruning(make_model(), 0.8, begin=100, end=300)
        assert pruning.share_at(50) == 0
        assert pruning.share_at(1000) == pytest.approx(0.8)


class TestKept:
    def test_smallest_by_magnitude_go(self):
        weight = np.array([[0.1, -5.0, 0.3], [-0.2, 4.0, 1.0]])
        np.testing.assert_array_equal(
            kept(weight, 0.5), [[False, True, False], [False, True, True]]
        )

    @pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.99])
    def test_exact_number_goes_also_among_equals(self, share):
        weight = np.ones((20, 10))
        assert (~kept(weight, share)).sum() == int(share * 200)


class TestTraining:
    def test_zeros_grow_stay_and_end_at_the_share(self):
        model, seen = make_model(), []
        pruning = MagnitudePruning(model, 0.7, begin=4, end=20, every=4)
        fit(model, pruning, 30, seen)
        shares = [(step[0] == 0).mean() for step in seen]
        assert shares[:4] == [0] * 4
        assert shares == sorted(shares)
        assert len(set(shares)) == 5  # None, and four choices.
        assert shares[-1] == int(0.7 * 60) / 60
        for before, after in zip(seen, seen[1:]):
            for one, other in zip(before, after):
                assert not other[one == 0].any()
        # What is kept goes on learning.
        assert np.abs(seen[-1][0] - seen[-5][0]).max() > 0
        assert share_of_zeros(model) == (42 + 7) / 70

    def test_biases_stay(self):
        model = make_model()
        fit(model, MagnitudePruning(model, 0.9, 1, 10, every=1), 20)
        biases = [w.numpy() for w in model.weights if w.name == "bias"]
        assert all(np.abs(bias).min() > 0 for bias in biases)

    def test_biases_with_two_axes_stay(self):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3, 6))
        both = keras.layers.GRU(5, return_sequences=True)(inputs)
        both = keras.layers.MultiHeadAttention(2, 4)(both, both)
        both = keras.layers.LayerNormalization(axis=[1, 2])(both)
        model = keras.Model(inputs, keras.layers.Flatten()(both))
        pruned = MagnitudePruning(model, 0.5, 1, 10).pruned
        names = ["kernel", "recurrent_kernel"] + 4 * ["kernel"]
        assert [weight.name for weight in pruned] == names
        for weight in pruned:
            weight.assign(np.ones(weight.shape))
        # The GRU's bias begins as zeros, which no pruning made.
        assert share_of_zeros(model) == 0

    def test_no_negative_zeros(self):
        model = make_model()
        fit(model, MagnitudePruning(model, 0.5, 1, 10, every=1), 20)
        kernel = model.layers[1].kernel.numpy()
        assert not np.signbit(kernel[kernel == 0]).any()

    def test_training_that_goes_on_keeps_its_zeros(self):
        whole = make_model()
        fit(whole, MagnitudePruning(whole, 0.6, 2, 20, every=5), 16)
        model = make_model()
        pruning = MagnitudePruning(model, 0.6, 2, 20, every=5)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(128, 6)).astype("float32")
        y = x.sum(axis=1, keepdims=True)
        for callback, part in (
            (pruning, slice(0, 72)),
            # Of a process that knows the weights alone.
            (MagnitudePruning(model, 0.6, 2, 20, every=5), slice(72, None)),
        ):
            model.fit(
                x[part], y[part], batch_size=8, shuffle=False, verbose=0,
                callbacks=[callback],
            )  # fmt: skip
        for one, other in zip(model.get_weights(), whole.get_weights()):
            np.testing.assert_array_equal(one, other)


class TestBadInput:
    @pytest.mark.parametrize("sparsity", [0, 1, -0.1, 1.5])
    def test_share(self, sparsity):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            MagnitudePruning(make_model(), sparsity, 0, 10)

    @pytest.mark.parametrize(
        "steps",
        [
            {"begin": -1, "end": 5},
            {"begin": 5, "end": 5},
            {"begin": 0, "end": 5, "every": 0},
        ],
    )
    def test_steps(self, steps):
        with pytest.raises(ValueError, match="0 <= `begin` < `end`"):
            MagnitudePruning(make_model(), 0.5, **steps)
