"""GPT-2 in Keras: the numbers of PyTorch, and students of its layers."""

import keras
import numpy as np
import pytest

from keras_kd.models.causal_lm import causal_student
from keras_kd.models.causal_lm import is_causal
from keras_kd.models.causal_lm import load_causal_lm
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_lm.write_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def model(folder):
    return load_causal_lm(folder)


@pytest.fixture(scope="module")
def inputs():
    generator = np.random.default_rng(0)
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3], "int32")
    ids = generator.integers(0, 300, mask.shape).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask}


def logits_of(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


def test_logits_are_those_of_pytorch(folder, model, inputs):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(inputs["token_ids"]).long(),
            attention_mask=torch.tensor(inputs["padding_mask"]),
        ).logits.numpy()
    ours = logits_of(model, inputs)
    real = inputs["padding_mask"] == 1
    np.testing.assert_allclose(ours[real], expected[real], atol=1e-4)


def test_it_does_not_look_ahead(model, inputs):
    later = {**inputs, "token_ids": inputs["token_ids"].copy()}
    later["token_ids"][:, 3:] = 5
    np.testing.assert_allclose(
        logits_of(model, inputs)[:, :3],
        logits_of(model, later)[:, :3],
        atol=1e-6,
    )


def test_a_student_of_all_layers_is_the_teacher(model, inputs):
    student = causal_student(model, [0, 1, 2])
    np.testing.assert_array_equal(
        logits_of(student, inputs), logits_of(model, inputs)
    )


def test_a_student_of_some_layers(model, inputs):
    student = causal_student(model, [0, 2], dropout=0.3)
    names = {layer.name for layer in student.layers}
    assert "transformer_layer_1" in names and "transformer_layer_2" not in names
    for own, theirs in ((0, 0), (1, 2)):
        for mine, given in zip(
            student.get_layer(f"transformer_layer_{own}").get_weights(),
            model.get_layer(f"transformer_layer_{theirs}").get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, given)
    assert student.get_layer("transformer_layer_0").dropout == 0.3
    with pytest.raises(ValueError, match="from 0 to 2"):
        causal_student(model, [2, 1])


def test_which_folders_are_causal(folder, tmp_path):
    tiny.write_bert(tmp_path / "bert")
    assert is_causal(folder)
    assert not is_causal(tmp_path / "bert")
