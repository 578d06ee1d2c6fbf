"""Students: padding never matters, and what is saved needs no keras_kd."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_kd.models.heads import masked_pool
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.students import STUDENTS
from keras_kd.models.students import build_student
from keras_kd.models.transformer import transformer_student

VOCABULARY, OUTPUTS = 30, 3


def gru(**kwargs):
    return recurrent_student(
        VOCABULARY, OUTPUTS, units=3, embedding_dim=4, **kwargs
    )


def transformer(**kwargs):
    settings = {"hidden_dim": 4, "num_heads": 2, "max_length": 16, **kwargs}
    return transformer_student(VOCABULARY, OUTPUTS, **settings)


BUILDERS = {
    "gru": gru,
    "lstm": lambda **kwargs: gru(cell="lstm", **kwargs),
    "two_gru_mean": lambda: gru(num_layers=2, pooling="mean"),
    "transformer": transformer,
    "two_transformer_max": lambda: transformer(num_layers=2, pooling="max"),
    "transformer_first": lambda: transformer(pooling="first"),
}


def ragged_batch(lengths=(5, 2, 3), width=5, filler=0, seed=0):
    """Token ids with `filler` behind the rows' ends, and the mask."""
    lengths = np.array(lengths)
    mask = (np.arange(width) < lengths[:, None]).astype("int32")
    tokens = np.random.default_rng(seed).integers(
        1, VOCABULARY, (len(lengths), 16)
    )[:, :width]
    tokens = np.where(mask, tokens, filler).astype("int32")
    return {"token_ids": tokens, "padding_mask": mask}


def run(model, features):
    return keras.ops.convert_to_numpy(model(features, training=False))


def spread(model):
    """Larger weights: a fresh student says nearly the same to everything."""
    generator = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(scale=0.7, size=variable.shape))
    return model


class TestPooling:
    states = np.array(
        [[[1.0, -9.0], [3.0, -2.0], [50.0, 50.0]],
         [[-1.0, -2.0], [70.0, 70.0], [50.0, 50.0]]], "float32",
    )  # fmt: skip
    mask = np.array([[1, 1, 0], [1, 0, 0]], "int32")

    @pytest.mark.parametrize(
        ("pooling", "expected"),
        [
            ("max", [[3.0, -2.0], [-1.0, -2.0]]),
            ("mean", [[2.0, -5.5], [-1.0, -2.0]]),
            ("first", [[1.0, -9.0], [-1.0, -2.0]]),
        ],
    )
    def test_by_hand(self, pooling, expected):
        pooled = masked_pool(self.states, self.mask, pooling)
        np.testing.assert_allclose(pooled, expected, rtol=1e-6)

    @pytest.mark.parametrize("pooling", ["max", "mean"])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_a_row_without_tokens_is_finite(self, pooling, dtype):
        states = keras.ops.cast(self.states[:1], dtype)
        pooled = masked_pool(states, np.zeros((1, 3), "int32"), pooling)
        assert keras.backend.standardize_dtype(pooled.dtype) == dtype
        pooled = keras.ops.convert_to_numpy(keras.ops.cast(pooled, "float32"))
        assert np.isfinite(pooled).all()

    def test_another_pooling_is_refused(self):
        with pytest.raises(ValueError, match="'max', 'mean', 'first'.*: last"):
            masked_pool(self.states, self.mask, "last")


@pytest.mark.parametrize("name", BUILDERS)
def test_padding_never_changes_the_logits(name):
    model = spread(BUILDERS[name]())
    features = ragged_batch()
    logits = run(model, features)
    assert logits.shape == (3, OUTPUTS)
    # Each row alone, without any padding.
    for index, length in enumerate((5, 2, 3)):
        alone = {
            key: value[index : index + 1, :length]
            for key, value in features.items()
        }
        np.testing.assert_allclose(run(model, alone)[0], logits[index], 1e-4)
    # More padding, and padding that holds tokens.
    for filler in (0, 7):
        padded = ragged_batch(width=9, filler=filler)
        np.testing.assert_allclose(run(model, padded), logits, rtol=1e-4)
    # The same with the mask off is another text: the test can fail.
    padded["padding_mask"] = np.ones_like(padded["padding_mask"])
    assert np.abs(run(model, padded) - logits).max() > 1e-3


@pytest.mark.parametrize("name", ["gru", "lstm", "transformer"])
def test_the_order_of_the_tokens_matters(name):
    model = spread(BUILDERS[name]())
    features = ragged_batch(lengths=(5,))
    turned = {**features, "token_ids": features["token_ids"][:, ::-1]}
    assert np.abs(run(model, features) - run(model, turned)).max() > 1e-3


@pytest.mark.parametrize("name", BUILDERS)
def test_stock_layers_and_the_names_of_a_batch(name):
    model = BUILDERS[name]()
    assert set(model._inputs_struct) == {"token_ids", "padding_mask"}
    assert {tensor.dtype for tensor in model.inputs} == {"int32"}
    assert model.output.shape == (None, OUTPUTS)
    packages = {
        type(layer).__module__.split(".")[0]
        for layer in model._flatten_layers(include_self=False)
    }
    assert packages <= {"keras", "keras_hub"}
    if "transformer" not in name:
        assert packages == {"keras"}


def test_saved_students_give_equal_logits_where_keras_kd_is_not(tmp_path):
    features = ragged_batch()
    expected = {}
    for name in ("gru", "lstm", "two_gru_mean", "two_transformer_max"):
        model = spread(BUILDERS[name]())
        expected[name] = run(model, features)
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "features.npz", **features)
    script = """
import sys
sys.modules["keras_kd"] = None
sys.modules["keras_hub"] = None
import keras, numpy
folder = sys.argv[1]
features = dict(numpy.load(folder + "/features.npz"))
logits = {}
for name in ("gru", "lstm", "two_gru_mean", "two_transformer_max"):
    if name == "two_transformer_max":
        del sys.modules["keras_hub"]
        import keras_hub
    model = keras.models.load_model(f"{folder}/{name}.keras")
    logits[name] = model(features, training=False).numpy()
numpy.savez(folder + "/logits.npz", **logits)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    with np.load(tmp_path / "logits.npz") as logits:
        for name, values in expected.items():
            np.testing.assert_allclose(logits[name], values, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_mixed_precision_gives_float32_logits(name, policy):
    reference = spread(BUILDERS[name]())
    keras.config.set_dtype_policy(policy)
    try:
        model = BUILDERS[name]()
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(reference.get_weights())
    assert model.output.dtype == "float32"
    features = ragged_batch(width=9, filler=7)
    logits = run(model, features)
    assert logits.dtype == "float32"
    # Half precision has 3 (float16) or 2 digits.
    np.testing.assert_allclose(logits, run(reference, features), atol=0.15)


def test_dropout_is_off_when_it_should_be():
    for name in ("gru", "transformer"):
        model = spread(BUILDERS[name](dropout=0.5))
        features = ragged_batch()
        np.testing.assert_array_equal(
            run(model, features), run(model, features)
        )
        training = keras.ops.convert_to_numpy(model(features, training=True))
        assert np.abs(training - run(model, features)).max() > 1e-3


class TestByName:
    @pytest.mark.parametrize("kind", STUDENTS)
    def test_layers_and_widths(self, kind):
        model = build_student(
            kind, VOCABULARY, OUTPUTS, layers=2, width=8, embedding_dim=6,
            max_length=12,
        )  # fmt: skip
        names = [layer.name for layer in model.layers]
        table = model.get_layer("token_embedding").embeddings.shape
        if kind == "bigru":
            assert [n for n in names if n.startswith("recurrent_layer")] == [
                "recurrent_layer_0",
                "recurrent_layer_1",
            ]
            assert tuple(table) == (VOCABULARY, 6)
            assert model.get_layer("logits").kernel.shape == (16, OUTPUTS)
        else:
            assert [n for n in names if n.startswith("transformer_lay")] == [
                "transformer_layer_0",
                "transformer_layer_1",
            ]
            assert tuple(table) == (VOCABULARY, 8)
            positions = model.get_layer("position_embedding")
            assert tuple(positions.position_embeddings.shape) == (12, 8)

    def test_another_name(self):
        with pytest.raises(ValueError, match="'bigru', 'transformer'.*: cnn"):
            build_student("cnn", VOCABULARY, OUTPUTS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: gru(cell="rnn"), r"'gru', 'lstm'\]. Received: rnn"),
            (lambda: gru(num_layers=0), "1 or more, not 0"),
            (lambda: gru(pooling="last"), "Received: last"),
            (lambda: transformer(num_heads=3), "num_heads=3, hidden_dim=4"),
            (lambda: transformer(num_layers=0), "1 or more, not 0"),
            (lambda: transformer(pooling="last"), "Received: last"),
        ],
    )
    def test_settings(self, build, message):
        with pytest.raises(ValueError, match=message):
            build()

    def test_a_text_longer_than_the_position_table(self):
        model = transformer(max_length=4)
        with pytest.raises(Exception, match=r"\[0, 4\], but got 5"):
            run(model, ragged_batch(lengths=(5,)))
