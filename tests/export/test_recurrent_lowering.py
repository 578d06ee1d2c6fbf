"""Our loops give what Keras' recurrent layers give, on every length."""

import itertools

import keras
import numpy as np
import pytest

from keras_kd.export.conversion_worker import convert
from keras_kd.export.litert import export_litert
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.operations import operations
from keras_kd.export.recurrent_lowering import with_fast_loops
from keras_kd.models.bidirectional import is_plain_bidirectional
from keras_kd.models.recurrent import recurrent_student

# Chunks are of 16 tokens.
LENGTH = 37
VOCABULARY = 40


def make_student(cell, num_layers=1, pooling="max", units=6):
    student = recurrent_student(
        VOCABULARY, 3, cell, num_layers, units, 8, pooling=pooling
    )
    generator = np.random.default_rng(0)
    # Biases begin as zeros, and would hide that they are left out.
    student.set_weights(
        [generator.normal(0, 0.5, w.shape) for w in student.get_weights()]
    )
    return student


def make_rows(lengths):
    mask = (np.arange(LENGTH) < np.array(lengths)[:, None]).astype("int32")
    ids = np.random.default_rng(1).integers(1, VOCABULARY, mask.shape, "int32")
    return {"token_ids": ids * mask, "padding_mask": mask}


def converted(model, tmp_path, length=LENGTH, **options):
    path = tmp_path / "student.tflite"
    options = {"quantization": "float32", "batch_size": 1, **options}
    path.write_bytes(
        convert(model, tmp_path / "saved", length=length, **options)
    )
    return path


# No token at all, one, some, and no padding.
ROWS = make_rows([0, 1, 2, 15, 16, 17, 32, 33, LENGTH - 1, LENGTH])


# Each conversion takes seconds: these two have all there is to see.
ALWAYS = [("gru", 1, LENGTH), ("lstm", 2, None)]


@pytest.mark.parametrize(
    ("cell", "num_layers", "length"),
    [
        pytest.param(*case, marks=[] if case in ALWAYS else [pytest.mark.slow])
        for case in itertools.product(("gru", "lstm"), (1, 2), (LENGTH, None))
    ],
)
def test_float32_files_give_what_keras_gives(
    cell, num_layers, length, tmp_path
):
    student = make_student(cell, num_layers)
    path = converted(student, tmp_path, length)
    expected = student.predict_on_batch(ROWS)
    model = LiteRTModel(path)
    # Without tokens, what is pooled is -1e4 in every feature.
    np.testing.assert_allclose(
        model.predict(ROWS), expected, rtol=1e-6, atol=1e-6
    )
    # No state is kept from row to row.
    backwards = {name: x[::-1] for name, x in ROWS.items()}
    np.testing.assert_allclose(
        model.predict(backwards), expected[::-1], rtol=1e-6, atol=1e-6
    )
    # Both directions share a loop over chunks, and one over a chunk's tokens.
    found = operations(path)
    assert "WHILE" in found and "DYNAMIC_UPDATE_SLICE" in found
    assert not [name for name in found if name.startswith("CUSTOM")]
    assert count_loops(path) == 2 * num_layers


def count_loops(path):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(
        schema.Model.GetRootAsModel(path.read_bytes(), 0)
    )
    codes = [code.builtinCode for code in model.operatorCodes]
    return sum(
        codes[operator.opcodeIndex] == schema.BuiltinOperator.WHILE
        for graph in model.subgraphs
        for operator in graph.operators
    )


def test_every_state_is_that_of_keras(tmp_path):
    """Pooling would hide states that are in another place."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(VOCABULARY, 5)(inputs["token_ids"])
    x = keras.layers.Bidirectional(
        keras.layers.GRU(4, return_sequences=True, use_bias=False),
    )(x, mask=keras.ops.cast(inputs["padding_mask"], "bool"))
    student = keras.Model(inputs, x)
    received = LiteRTModel(converted(student, tmp_path)).predict(ROWS)
    expected = student.predict_on_batch(ROWS)
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-6)
    assert not received[ROWS["padding_mask"] == 0].any()
    assert received[ROWS["padding_mask"] == 1].all()


def test_a_layer_without_a_mask_reads_all_tokens(tmp_path):
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(VOCABULARY, 5)(token_ids)
    x = keras.layers.Bidirectional(
        keras.layers.LSTM(4, return_sequences=True, use_cudnn=False)
    )(x)
    student = keras.Model({"token_ids": token_ids}, x)
    rows = {"token_ids": ROWS["token_ids"]}
    received = LiteRTModel(converted(student, tmp_path)).predict(rows)
    np.testing.assert_allclose(
        received, student.predict_on_batch(rows), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_dynamic_files_have_int8_kernels_in_the_loop(cell, tmp_path):
    student = make_student(cell, units=40)
    rows = make_rows(range(1, LENGTH + 1))
    path = tmp_path / "student.tflite"
    report = export_litert(student, path, rows, "dynamic", LENGTH)
    assert report["agreement"] == 1.0
    float_path = converted(student, tmp_path / "float")
    # Recurrent kernels are 38 kB or more, and then a quarter of that.
    assert report["bytes"] < float_path.stat().st_size - 20_000
    expected = student.predict_on_batch(rows)
    np.testing.assert_allclose(
        LiteRTModel(path).predict(rows), expected, rtol=0, atol=0.3
    )


def bidirectional(layer, **options):
    inputs = keras.Input((None, 3))
    layer = keras.layers.Bidirectional(layer, **options)
    layer(inputs)
    return layer


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.GRU(2, return_sequences=True), True),
        (keras.layers.LSTM(2, return_sequences=True, use_bias=False), True),
        (keras.layers.GRU(2), False),
        (keras.layers.SimpleRNN(2, return_sequences=True), False),
        (keras.layers.LSTM(2, "relu", return_sequences=True), False),
        (
            keras.layers.GRU(2, return_sequences=True, reset_after=False),
            False,
        ),
        (keras.layers.GRU(2, return_sequences=True, return_state=True), False),
    ],
)
def test_which_layers_become_loops(layer, expected):
    assert is_plain_bidirectional(bidirectional(layer)) == expected


def test_what_is_unusual_stays_as_keras_has_it():
    layer = keras.layers.GRU(2, return_sequences=True)
    assert not is_plain_bidirectional(bidirectional(layer, merge_mode="sum"))
    x = keras.Input((None, 3))
    layer = keras.layers.Bidirectional(
        keras.layers.GRU(2, return_sequences=True)
    )
    states = [keras.Input((2,)), keras.Input((2,))]
    model = keras.Model([x, *states], layer(x, initial_state=states))
    assert not is_plain_bidirectional(layer)
    assert with_fast_loops(model) is model


def test_the_student_itself_is_left_alone():
    student = make_student("gru", 2)
    before = student.get_config()
    lowered = with_fast_loops(student)
    assert student.get_config() == before
    assert is_plain_bidirectional(student.get_layer("recurrent_layer_1"))
    assert not any(map(is_plain_bidirectional, lowered.layers))
    assert [layer.name for layer in lowered.layers] == [
        layer.name for layer in student.layers
    ]
