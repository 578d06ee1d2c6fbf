"""The bag student: its hash against NumPy, its logits against an oracle."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_kd.models.bag import bag_student
from keras_kd.models.bag import hash_bigrams
from keras_kd.models.recurrent import token_inputs

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY, BUCKETS, WIDTH = 20, 11, 4
# Below, at and above the size from which ids are reduced; XLM-R's is the last.
SIZES = (2, 1000, 30_522, 65_521, 65_522, 250_002)


def oracle_buckets(token_ids, vocabulary_size, buckets):
    """The hash in Python's integers, which never overflow."""
    rows = []
    for row in np.asarray(token_ids).tolist():
        if vocabulary_size > 65_521:
            row = [token % 65_521 for token in row]
        pairs = zip(row, row[1:])
        rows.append(
            [(22_783 * a + 8_443 * b) % 1_000_003 % buckets for a, b in pairs]
        )
    return np.array(rows, "int64")


def extreme_ids(vocabulary_size, count=50, length=16):
    generator = np.random.default_rng(0)
    ids = generator.integers(0, vocabulary_size, (count, length))
    ids[0] = vocabulary_size - 1
    ids[1] = min(vocabulary_size, 65_521) - 1
    ids[2] = 0
    return ids.astype("int32")


class TestHash:
    @pytest.mark.parametrize("vocabulary_size", SIZES)
    @pytest.mark.parametrize("buckets", [1, 97, 16_384, 1_000_003])
    def test_against_the_oracle(self, vocabulary_size, buckets):
        ids = extreme_ids(vocabulary_size)
        received = keras.ops.convert_to_numpy(
            hash_bigrams(keras.ops.convert_to_tensor(ids), vocabulary_size,
                         buckets)
        )  # fmt: skip
        assert received.dtype == "int32"
        expected = oracle_buckets(ids, vocabulary_size, buckets)
        np.testing.assert_array_equal(received, expected)
        assert expected.min() >= 0 and expected.max() < buckets

    def test_by_hand(self):
        ids = np.array([[3, 5, 3]], "int32")
        # 22783 * 3 + 8443 * 5 = 110564, and 22783 * 5 + 8443 * 3 = 139244.
        expected = [[110_564 % 1000, 139_244 % 1000]]
        received = hash_bigrams(keras.ops.convert_to_tensor(ids), 10, 1000)
        np.testing.assert_array_equal(received, expected)

    def test_no_overflow_is_possible(self):
        for vocabulary_size in SIZES:
            largest = min(vocabulary_size, 65_521) - 1
            assert largest * (22_783 + 8_443) < 2**31

    @pytest.mark.parametrize("vocabulary_size", [2000, 30_522, 250_002])
    @pytest.mark.parametrize("buckets", [1000, 4096, 16_384, 65_536])
    def test_it_collides_no_more_than_chance(self, vocabulary_size, buckets):
        # Words as frequent as in texts: few of them are in most bigrams.
        generator = np.random.default_rng(1)
        ids = (generator.pareto(1.0, (60_000, 2)) * 20).astype("int32")
        ids = np.unique(ids % vocabulary_size, axis=0)
        hashed = oracle_buckets(ids, vocabulary_size, buckets)[:, 0]
        counts = np.bincount(hashed, minlength=buckets)
        collisions = (counts * (counts - 1) / 2).sum()
        chance = len(ids) * (len(ids) - 1) / 2 / buckets
        assert 0.5 * chance < collisions < 1.1 * chance

    @pytest.mark.parametrize("backend", ["torch", "jax"])
    def test_other_backends(self, backend, tmp_path):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed.")
        script = """
import json, sys
import keras, numpy
from keras_kd.models.bag import hash_bigrams
assert keras.backend.backend() == sys.argv[1]
found = {}
for name, ids in numpy.load(sys.argv[2]).items():
    ids = keras.ops.convert_to_tensor(ids)
    hashed = hash_bigrams(ids, int(name), 16384)
    found[name] = keras.ops.convert_to_numpy(hashed).tolist()
print(json.dumps(found))
"""
        path = tmp_path / "ids.npz"
        np.savez(path, **{str(size): extreme_ids(size) for size in SIZES})
        finished = subprocess.run(
            [sys.executable, "-c", script, backend, str(path)],
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr[-2000:]
        received = json.loads(finished.stdout)
        for size in SIZES:
            expected = oracle_buckets(extreme_ids(size), size, 16_384)
            np.testing.assert_array_equal(received[str(size)], expected)

    @pytest.mark.parametrize("vocabulary_size", [30_522, 250_002])
    def test_on_a_phone(self, vocabulary_size, tmp_path):
        # A model whose outputs are the buckets; float32 holds them exactly.
        from keras_kd.export.conversion_worker import convert
        from keras_kd.export.litert_runner import LiteRTModel

        inputs = token_inputs()
        hashed = hash_bigrams(inputs["token_ids"], vocabulary_size, 16_384)
        probe = keras.Model(inputs, keras.ops.cast(hashed, "float32"))
        (tmp_path / "saved").mkdir()
        path = tmp_path / "probe.tflite"
        path.write_bytes(convert(probe, tmp_path / "saved", "float32", 1, 16))
        ids = extreme_ids(vocabulary_size)
        received = LiteRTModel(path).predict(
            {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        )
        expected = oracle_buckets(ids, vocabulary_size, 16_384)
        np.testing.assert_array_equal(received, expected)


def make(**options):
    settings = {
        "embedding_dim": WIDTH,
        "bigram_buckets": BUCKETS,
        "hidden_dim": 5,
        "num_layers": 2,
        **options,
    }
    model = bag_student(VOCABULARY, 3, **settings)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(scale=0.7, size=variable.shape))
    return model


def logits_of(model, *texts):
    """Each text is a list of ids; the shorter ones are padded with 7."""
    width = max(map(len, texts))
    features = {
        "token_ids": np.array([t + [7] * (width - len(t)) for t in texts]),
        "padding_mask": np.array(
            [[1] * len(t) + [0] * (width - len(t)) for t in texts]
        ),
    }
    features = {name: x.astype("int32") for name, x in features.items()}
    return keras.ops.convert_to_numpy(model(features, training=False))


def oracle(text, model, bigrams=True):
    """The logits of one text, in float64."""
    weights = {v.path: np.array(v.value, "float64") for v in model.variables}
    x = weights["token_embedding/embeddings"][text].mean(0)
    if bigrams:
        table = weights["bigram_embedding/embeddings"]
        found = oracle_buckets([text], VOCABULARY, BUCKETS)[0]
        pairs = [table[bucket] for bucket in found]
        mean = np.mean(pairs, 0) if pairs else np.zeros(table.shape[1])
        x = np.concatenate([x, mean])
    for layer in ("dense_layer_0", "dense_layer_1", "logits"):
        x = x @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"]
        if layer != "logits":
            x = np.maximum(x, 0.0)
    return x


@pytest.mark.parametrize("bigrams", [True, False])
def test_against_the_oracle(bigrams):
    model = make() if bigrams else make(bigram_buckets=0)
    # One of a single token: it has no bigrams.
    texts = [[3, 9, 12, 3, 3], [4], [19, 0, 1]]
    received = logits_of(model, *texts)
    for text, logits in zip(texts, received, strict=True):
        expected = oracle(text, model, bigrams)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
        # The same text in a batch of its own.
        np.testing.assert_allclose(
            logits_of(model, text)[0], expected, rtol=1e-5, atol=1e-6
        )


def test_only_bigrams_know_the_order():
    # Both begin and end alike and have the same words.
    texts = [3, 9, 12, 4, 5], [3, 12, 9, 4, 5]
    first, second = logits_of(make(), *texts)
    assert np.abs(first - second).max() > 1e-3
    first, second = logits_of(make(bigram_buckets=0), *texts)
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_the_bigram_across_the_end_of_the_text_does_not_count():
    model = make()
    # What follows is padding, but its ids are not 0.
    alone, padded = logits_of(model, [3, 9]), logits_of(model, [3, 9], [1] * 6)
    np.testing.assert_allclose(padded[0], alone[0], rtol=1e-5, atol=1e-6)


def test_whole_words_are_dropped():
    for name in ("token", "bigram"):
        layer = make(dropout=0.5).get_layer(f"{name}_dropout")
        ones = np.ones((20, 30, 4), "float32")
        dropped = keras.ops.convert_to_numpy(layer(ones, training=True))
        assert set(np.unique(dropped)) == {0.0, 2.0}
        assert (dropped == dropped[:, :, :1]).all()


def test_sizes():
    model = make()
    tables = VOCABULARY * WIDTH + BUCKETS * WIDTH // 2
    dense = (WIDTH + WIDTH // 2) * 5 + 5 + 5 * 5 + 5
    assert model.count_params() == tables + dense + 5 * 3 + 3
    usual = bag_student(30_522, 2)
    # Two and a half million numbers: as many bytes in int8.
    assert 2.4e6 < usual.count_params() < 2.6e6


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_long_rows_and_rows_without_tokens_are_finite(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (2, 1024))
    mask = np.array([[1], [0]]) * np.ones((1, 1024))
    logits = keras.ops.convert_to_numpy(
        model(
            {
                "token_ids": ids.astype("int32"),
                "padding_mask": mask.astype("int32"),
            },
            training=False,
        )
    )
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


def test_it_learns_the_order_of_two_words():
    # "not good" against "good not": a bag of words is at chance.
    generator = np.random.default_rng(0)
    ids = generator.integers(4, VOCABULARY, (256, 8)).astype("int32")
    labels = np.arange(256) % 2
    ids[:, 3:5] = np.where(labels[:, None], [1, 2], [2, 1])
    features = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    # Other words around the two.
    other = {**features, "token_ids": generator.permuted(ids, axis=0)}
    other["token_ids"][:, 3:5] = ids[:, 3:5]
    accuracy = {}
    for buckets in (256, 0):
        model = bag_student(
            VOCABULARY, 2, 8, bigram_buckets=buckets, hidden_dim=8, dropout=0.0
        )
        model.compile(
            keras.optimizers.Adam(0.02),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(features, labels, 64, epochs=12, verbose=0)
        found = model.predict_on_batch(other).argmax(-1)
        accuracy[buckets] = (found == labels).mean()
    assert accuracy[256] > 0.97
    assert accuracy[0] < 0.65
