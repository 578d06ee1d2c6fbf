"""Students: padding never matters, and what is saved needs no keras_kd."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_kd.models.attention import attention_student
from keras_kd.models.bag import bag_student
from keras_kd.models.bert_student import bert_student
from keras_kd.models.heads import masked_pool
from keras_kd.models.initialization import init_from_teacher
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.students import STUDENTS
from keras_kd.models.students import build_student
from keras_kd.models.transformer import transformer_student

VOCABULARY, OUTPUTS = 30, 3
KINDS = ("gru", "lstm", "transformer", "attention", "bag", "bert")
SAVED = (
    "gru", "lstm", "two_gru_mean", "two_attention_max",
    "attention_convolution", "two_bag",
)  # fmt: skip
OF_KERAS_HUB = ("two_transformer_max", "bert", "bert_of_teacher")


def gru(**kwargs):
    return recurrent_student(
        VOCABULARY, OUTPUTS, units=3, embedding_dim=4, **kwargs
    )


def transformer(**kwargs):
    settings = {"hidden_dim": 4, "num_heads": 2, "max_length": 16, **kwargs}
    return transformer_student(VOCABULARY, OUTPUTS, **settings)


def attention(**kwargs):
    settings = {"hidden_dim": 4, "num_heads": 2, "max_length": 16, **kwargs}
    return attention_student(VOCABULARY, OUTPUTS, **settings)


def bag(**kwargs):
    settings = {"embedding_dim": 4, "bigram_buckets": 50, "hidden_dim": 5}
    return bag_student(VOCABULARY, OUTPUTS, **{**settings, **kwargs})


def some_bert(**kwargs):
    settings = {"hidden_dim": 4, "num_heads": 2, "max_length": 16, **kwargs}
    return bert_student(VOCABULARY, OUTPUTS, **settings)


BUILDERS = {
    "gru": gru,
    "lstm": lambda **kwargs: gru(cell="lstm", **kwargs),
    "attention": attention,
    "two_attention_max": lambda: attention(num_layers=2, pooling="max"),
    "attention_first": lambda: attention(pooling="first"),
    "attention_no_dropout": lambda: attention(dropout=0.0),
    "attention_convolution": lambda: attention(convolution=3),
    "bag": bag,
    "two_bag": lambda: bag(num_layers=2),
    "bag_of_words": lambda: bag(bigram_buckets=0),
    "two_gru_mean": lambda: gru(num_layers=2, pooling="mean"),
    "transformer": transformer,
    "two_transformer_max": lambda: transformer(num_layers=2, pooling="max"),
    "transformer_first": lambda: transformer(pooling="first"),
    "transformer_convolution": lambda: transformer(convolution=2),
    "bert": some_bert,
    "bert_of_teacher": lambda: init_from_teacher(some_bert(num_layers=2), [1]),
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


def with_segments(model, features):
    """The features, with token types where the model reads them."""
    if "segment_ids" not in model._inputs_struct:
        return features
    positions = np.arange(features["token_ids"].shape[1])
    segments = np.broadcast_to(positions % 2, features["token_ids"].shape)
    return {**features, "segment_ids": segments.astype("int32")}


def run(model, features):
    features = with_segments(model, features)
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


@pytest.mark.parametrize("name", KINDS)
def test_the_order_of_the_tokens_matters(name):
    model = spread(BUILDERS[name]())
    features = ragged_batch(lengths=(5,))
    turned = {**features, "token_ids": features["token_ids"][:, ::-1]}
    assert np.abs(run(model, features) - run(model, turned)).max() > 1e-3


@pytest.mark.parametrize("name", BUILDERS)
def test_stock_layers_and_the_names_of_a_batch(name):
    model = BUILDERS[name]()
    inputs = {"token_ids", "padding_mask"}
    if "bert" in name:
        inputs.add("segment_ids")
    assert set(model._inputs_struct) == inputs
    assert {tensor.dtype for tensor in model.inputs} == {"int32"}
    assert model.output.shape == (None, OUTPUTS)
    packages = {
        type(layer).__module__.split(".")[0]
        for layer in model._flatten_layers(include_self=False)
    }
    assert packages <= {"keras", "keras_hub"}
    if "transformer" not in name and "bert" not in name:
        assert packages == {"keras"}


def test_saved_students_give_equal_logits_where_keras_kd_is_not(tmp_path):
    features = ragged_batch()
    expected = {}
    for name in (*SAVED, *OF_KERAS_HUB):
        model = spread(BUILDERS[name]())
        expected[name] = run(model, features)
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "features.npz", **with_segments(model, features))
    script = """
import sys
sys.modules["keras_kd"] = None
sys.modules["keras_hub"] = None
import keras, numpy
folder = sys.argv[1]
features = dict(numpy.load(folder + "/features.npz"))
logits = {}
for name in sys.argv[2:]:
    if name == "two_transformer_max":
        del sys.modules["keras_hub"]
        import keras_hub
    model = keras.models.load_model(f"{folder}/{name}.keras")
    inputs = {key: features[key] for key in model.input}
    logits[name] = model(inputs, training=False).numpy()
numpy.savez(folder + "/logits.npz", **logits)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *expected],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    with np.load(tmp_path / "logits.npz") as logits:
        for name, values in expected.items():
            np.testing.assert_array_equal(logits[name], values)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_copy_from_the_configuration(name):
    model = spread(BUILDERS[name]())
    configuration = json.loads(json.dumps(model.get_config()))
    copy = type(model).from_config(configuration)
    copy.set_weights(model.get_weights())
    features = ragged_batch()
    np.testing.assert_array_equal(run(copy, features), run(model, features))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "name", ["gru", "transformer", "attention", "bag", "bert"]
)
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
    for name in KINDS:
        model = spread(BUILDERS[name](dropout=0.5))
        features = ragged_batch()
        np.testing.assert_array_equal(
            run(model, features), run(model, features)
        )
        features = with_segments(model, features)
        training = keras.ops.convert_to_numpy(model(features, training=True))
        assert np.abs(training - run(model, features)).max() > 1e-3


def kernel_shape(model, name):
    return tuple(model.get_layer(name).kernel.shape)


class TestByName:
    def make(self, kind, **options):
        settings = {"layers": 2, "width": 8, "embedding_dim": 6}
        settings = {**settings, "max_length": 12, **options}
        return build_student(kind, VOCABULARY, OUTPUTS, **settings)

    def test_the_names(self):
        assert STUDENTS == (
            "bigru", "bilstm", "transformer", "attention", "bag", "bert"
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("kind", "layer", "table", "pooled"),
        [
            ("bigru", "recurrent_layer", 6, 16),
            ("bilstm", "recurrent_layer", 6, 16),
            ("transformer", "transformer_layer", 8, 8),
            ("bert", "transformer_layer", 8, 8),
            ("attention", "attention_layer", 8, 8),
            ("bag", "dense_layer", 6, 8),
        ],
    )
    def test_layers_and_widths(self, kind, layer, table, pooled):
        model = self.make(kind)
        names = [part.name for part in model.layers]
        assert [n for n in names if n.startswith(layer)] == [
            f"{layer}_0",
            f"{layer}_1",
        ]
        words = model.get_layer("token_embedding").embeddings
        assert tuple(words.shape) == (VOCABULARY, table)
        assert kernel_shape(model, "logits") == (pooled, OUTPUTS)
        rates = {
            part.rate
            for part in self.make(kind, dropout=0.37)._flatten_layers()
            if isinstance(part, keras.layers.Dropout)
        }
        assert rates == {0.37}

    def test_what_only_some_have(self):
        for kind, cell in (("bigru", "GRU"), ("bilstm", "LSTM")):
            layer = self.make(kind).get_layer("recurrent_layer_0")
            assert type(layer.forward_layer).__name__ == cell
        table = self.make("transformer").get_layer("position_embedding")
        assert tuple(table.position_embeddings.shape) == (12, 8)
        table = self.make("attention").get_layer("position_embedding")
        assert tuple(table.embeddings.shape) == (12, 8)
        # Words and bigrams, half as wide, side by side.
        assert kernel_shape(self.make("bag"), "dense_layer_0") == (9, 8)

    @pytest.mark.parametrize("kind", STUDENTS)
    def test_embeddings_to_begin_with(self, kind):
        width = 8 if kind in ("transformer", "attention", "bert") else 6
        table = np.random.default_rng(0).normal(size=(VOCABULARY, width))
        model = self.make(kind, embeddings=table)
        layer = model.get_layer("token_embedding")
        received = keras.ops.convert_to_numpy(layer.embeddings)
        np.testing.assert_array_equal(received, table.astype("float32"))
        # They are trained like any other weight, and no part of the
        # configuration.
        assert any(v is layer.embeddings for v in model.trainable_variables)
        assert len(json.dumps(model.get_config())) < 30_000

    @pytest.mark.parametrize("kind", STUDENTS)
    def test_embeddings_of_another_shape(self, kind):
        width = 8 if kind in ("transformer", "attention", "bert") else 6
        expected = rf"\({VOCABULARY}, {width}\).*Received: \({VOCABULARY}, 5\)"
        with pytest.raises(ValueError, match=f"{expected}.*project"):
            self.make(kind, embeddings=np.zeros((VOCABULARY, 5)))
        with pytest.raises(ValueError, match=r"Received: \(31, "):
            self.make(kind, embeddings=np.zeros((31, width)))

    def test_embeddings_that_are_not_finite(self):
        table = np.zeros((VOCABULARY, 6))
        table[7, 1] = np.nan
        with pytest.raises(ValueError, match="1 rows, the first of them row 7"):
            self.make("bigru", embeddings=table)

    def test_tables_of_a_transformer_begin_differently(self):
        # One initializer, used twice, gives both the same values.
        for kind in ("transformer", "attention", "bert"):
            model = self.make(kind, max_length=VOCABULARY)
            words, positions = (
                next(v for v in model.variables if v.path.startswith(name))
                for name in ("token_embedding", "position_embedding")
            )
            difference = keras.ops.convert_to_numpy(words - positions)
            assert np.abs(difference).max() > 1e-3

    def test_heads_and_the_width_of_the_feed_forward_layers(self):
        for kind in ("transformer", "bert"):
            layer = self.make(kind).get_layer("transformer_layer_1")
            assert (layer.num_heads, layer.intermediate_dim) == (4, 32)
            layer = self.make(kind, heads=2, intermediate=5)
            layer = layer.get_layer("transformer_layer_1")
            assert (layer.num_heads, layer.intermediate_dim) == (2, 5)
        layer = self.make("attention", heads=2).get_layer("attention_layer_0")
        assert layer.num_heads == 2

    @pytest.mark.parametrize("kind", ["attention", "transformer"])
    def test_a_convolution(self, kind):
        model = self.make(kind, convolution=3)
        assert kernel_shape(model, "token_convolution") == (24, 8)
        names = [layer.name for layer in self.make(kind).layers]
        assert "token_convolution" not in names

    def test_the_shape_of_tinybert(self):
        model = build_student(
            "bert", 30522, 2, 4, 312, max_length=512, heads=12,
            intermediate=1200,
        )  # fmt: skip
        # Jiao et al. 2020, table 1: 14.5 million.
        assert model.count_params() == 14_350_874

    def test_another_name(self):
        with pytest.raises(ValueError, match="'bigru', 'bilstm', .*: cnn"):
            build_student("cnn", VOCABULARY, OUTPUTS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: gru(cell="rnn"), r"'gru', 'lstm'\]. Received: rnn"),
            (lambda: gru(num_layers=0), "1 or more, not 0"),
            (lambda: gru(pooling="last"), "Received: last"),
            (lambda: attention(num_heads=3), "num_heads=3, hidden_dim=4"),
            (lambda: attention(num_layers=0), "1 or more, not 0"),
            (lambda: attention(pooling="last"), "Received: last"),
            (lambda: attention(convolution=1), "2 tokens or more, .*: 1"),
            (lambda: bag(num_layers=0), "1 or more, not 0"),
            (lambda: bag(bigram_buckets=-1), "Received: -1. 0 means no big"),
            (lambda: bag(bigram_buckets=2_000_000), "Received: 2000000"),
            (lambda: transformer(num_heads=3), "num_heads=3, hidden_dim=4"),
            (lambda: transformer(num_layers=0), "1 or more, not 0"),
            (lambda: transformer(pooling="last"), "Received: last"),
            (lambda: some_bert(num_heads=3), "num_heads=3, hidden_dim=4"),
            (lambda: some_bert(num_layers=0), "1 or more, not 0"),
        ],
    )
    def test_settings(self, build, message):
        with pytest.raises(ValueError, match=message):
            build()

    def test_a_text_longer_than_the_position_table(self):
        model = transformer(max_length=4)
        with pytest.raises(Exception, match=r"\[0, 4\], but got 5"):
            run(model, ragged_batch(lengths=(5,)))
        with pytest.raises(Exception, match=r"4 is not in \[0, 4\)"):
            run(attention(max_length=4), ragged_batch(lengths=(5,)))
