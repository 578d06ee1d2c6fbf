"""Running a model over all rows: every row's outputs, in its place."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.data.batches import by_length
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_batches
from keras_kd.inference import predict_rows


@pytest.fixture
def rows(small_rows):
    generator = np.random.default_rng(4)
    return small_rows(
        [
            generator.integers(4, 30, generator.integers(1, 12)).tolist()
            for _ in range(17)
        ]
    )


def one_by_one(model, rows):
    """The outputs of each row alone, without any padding."""
    outputs = []
    for position in range(len(rows)):
        tokens = np.array(rows.row("token_ids", position))[None]
        features = {
            "token_ids": tokens,
            "padding_mask": np.ones_like(tokens),
            "segment_ids": np.zeros_like(tokens),
        }
        outputs.append(
            model(
                {tensor.name: features[tensor.name] for tensor in model.inputs}
            )
        )
    return outputs


@pytest.mark.parametrize("tokens", [1, 25, 100_000])
@pytest.mark.parametrize(
    "inputs",
    [
        ("token_ids", "padding_mask"),
        ("padding_mask", "segment_ids", "token_ids"),
    ],
)
def test_outputs_are_in_the_order_of_the_rows(
    rows, bag_classifier, inputs, tokens
):
    model = bag_classifier(inputs=inputs)
    expected = np.concatenate(one_by_one(model, rows))
    runtime = keras_runtime(model)
    assert sorted(runtime[0]) == sorted(inputs)
    result = np.full((17, 3), np.nan, "float32")
    sizes = []
    for positions, outputs in predict_batches(
        runtime, rows, tokens_per_batch=tokens
    ):
        result[positions] = outputs["logits"]
        sizes.append(len(positions))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert len(sizes) == len(list(by_length(rows.lengths("token_ids"), tokens)))


def test_all_rows_at_once_and_the_progress(rows, bag_classifier):
    model = bag_classifier()
    done = []
    logits = predict_rows(keras_runtime(model), rows, progress=done.append)
    np.testing.assert_allclose(
        logits, np.concatenate(one_by_one(model, rows)), atol=1e-5
    )
    assert logits.dtype == "float32"
    assert sum(done) == 17


def test_a_view_of_the_rows(rows, bag_classifier):
    runtime = keras_runtime(bag_classifier())
    everything = predict_rows(runtime, rows)
    order = [5, 3, 16, 3]
    np.testing.assert_allclose(
        predict_rows(runtime, rows.select(order)), everything[order], atol=1e-5
    )
    chosen = np.array([9, 2])
    for positions, outputs in predict_batches(runtime, rows, chosen):
        assert set(positions) <= {2, 9}
        np.testing.assert_allclose(
            outputs["logits"], everything[positions], atol=1e-5
        )


def test_named_outputs_and_any_runtime(rows):
    def predict(features):
        count = features["padding_mask"].sum(axis=1)
        return {"logits": count[:, None], "double": 2 * count[:, None]}

    runtime = (["token_ids", "padding_mask"], predict)
    lengths = rows.lengths("token_ids")
    np.testing.assert_array_equal(predict_rows(runtime, rows)[:, 0], lengths)
    np.testing.assert_array_equal(
        predict_rows(runtime, rows, output="double")[:, 0], 2 * lengths
    )


def test_attention_is_no_output_of_tokens(rows):
    # Its second axis is that of the heads: cut to the tokens it is nonsense.
    def predict(features):
        count, length = features["token_ids"].shape
        return {"attention_scores/1": np.zeros((count, 2, length, length))}

    runtime = (["token_ids"], predict)
    with pytest.raises(ValueError, match=r"Received: \['attention_scores/1'"):
        predict_rows(runtime, rows, "attention_scores/1", per_token=True)


def test_a_model_with_several_outputs(rows):
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(tokens))
    model = keras.Model(
        {"token_ids": tokens},
        {"start": layers.Dense(2)(x), "end": layers.Dense(2)(x)},
    )
    tokens = np.array(rows.row("token_ids", 0))[None]
    names, predict = keras_runtime(model)
    outputs = predict({"token_ids": tokens.astype("int32")})
    assert names == ["token_ids"]
    for name, values in model({"token_ids": tokens}).items():
        np.testing.assert_allclose(outputs[name], values, atol=1e-6)


def test_dropout_is_off_and_one_graph_serves_all_lengths(rows):
    calls = []

    class Noise(layers.Layer):
        def call(self, x, training=None):
            calls.append(training)
            return (
                x + keras.random.normal(keras.ops.shape(x)) if training else x
            )

    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(tokens))
    model = keras.Model({"token_ids": tokens}, Noise()(x))
    calls.clear()
    runtime = keras_runtime(model)
    batches = list(predict_batches(runtime, rows, tokens_per_batch=1))
    assert len(batches) == 17
    # Once when the graph is made; not anew for each length.
    assert calls == [False]
