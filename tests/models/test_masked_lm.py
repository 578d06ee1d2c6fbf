"""A masked language model that is asked about some positions alone."""

import keras
import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.data.tokenization import Tokenizer
from keras_kd.losses.token_accuracy import TokenAccuracy
from keras_kd.losses.token_cross_entropy import token_cross_entropy
from keras_kd.models.huggingface_export import write_folder
from keras_kd.models.huggingface_folder import read_config
from keras_kd.models.masked_lm import at_positions
from keras_kd.models.pretrained import load_pretrained
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    tiny.write_bert(folder, head=False)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    keras.utils.set_random_seed(0)
    return load_pretrained(folder, "masked_lm", num_outputs=len(tiny.WORDS))


@pytest.fixture(scope="module")
def inputs():
    return {
        "token_ids": np.array([[2, 4, 9, 3], [2, 11, 3, 0]], "int32"),
        "segment_ids": np.zeros((2, 4), "int32"),
        "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]], "int32"),
    }


def test_logits_are_those_of_the_whole(model, inputs):
    whole = keras.ops.convert_to_numpy(model(inputs))
    positions = np.array([[1, 2], [1, 0]], "int32")
    some = at_positions(model)({**inputs, "mask_positions": positions})
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(some),
        np.stack([whole[0, [1, 2]], whole[1, [1, 0]]]),
        atol=1e-6,
    )


def test_layers_are_shared(model):
    whole = {id(variable) for variable in model.variables}
    assert {id(variable) for variable in at_positions(model).variables} == whole


def test_without_a_head(folder):
    with pytest.raises(ValueError, match="needs a masked-LM head"):
        at_positions(load_pretrained(folder, "sequence", num_outputs=2))


def test_loss_is_the_mean_over_a_rows_tokens():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 4, 7)).astype("float32")
    labels = np.array([[1, 6, NO_TOKEN, 0], [2] + [NO_TOKEN] * 3])
    labels = np.vstack([labels, [NO_TOKEN] * 4])
    wide = logits.astype("float64")
    log_p = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    expected = [
        -(log_p[0, 0, 1] + log_p[0, 1, 6] + log_p[0, 3, 0]) / 3,
        -log_p[1, 0, 2],
        0.0,
    ]
    loss = token_cross_entropy(labels, logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_accuracy_counts_tokens_not_rows():
    accuracy = TokenAccuracy()
    logits = np.eye(3, dtype="float32")[[[0, 1, 2], [1, 1, 1]]]
    labels = [[0, 1, 0], [0, NO_TOKEN, NO_TOKEN]]
    accuracy.update_state(labels, logits)
    assert float(accuracy.result()) == pytest.approx(2 / 4)
    accuracy.reset_state()
    accuracy.update_state(labels, logits, sample_weight=[1.0, 0.0])
    assert float(accuracy.result()) == pytest.approx(2 / 3)


def test_a_folder_gives_the_same_logits(model, folder, inputs, tmp_path):
    config = {**read_config(folder), "architectures": ["BertForMaskedLM"]}
    tokenizer = Tokenizer.from_folder(folder)
    write_folder(tmp_path / "out", model, config, "masked_lm", tokenizer)
    again = load_pretrained(tmp_path / "out", "masked_lm")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again(inputs)),
        keras.ops.convert_to_numpy(model(inputs)),
    )
    opened = Tokenizer.from_folder(tmp_path / "out")
    assert opened.fingerprint == tokenizer.fingerprint


def test_transformers_reads_the_folder(model, folder, inputs, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed.")
    from transformers import AutoModelForMaskedLM

    config = {**read_config(folder), "architectures": ["BertForMaskedLM"]}
    tokenizer = Tokenizer.from_folder(folder)
    write_folder(tmp_path / "out", model, config, "masked_lm", tokenizer)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        logits = theirs(
            input_ids=torch.tensor(inputs["token_ids"]).long(),
            token_type_ids=torch.tensor(inputs["segment_ids"]).long(),
            attention_mask=torch.tensor(inputs["padding_mask"]).long(),
        ).logits.numpy()
    ours = keras.ops.convert_to_numpy(model(inputs))
    real = inputs["padding_mask"] > 0
    np.testing.assert_allclose(ours[real], logits[real], atol=1e-5)
