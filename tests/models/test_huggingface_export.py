"""Students as folders of Hugging Face: the same logits in PyTorch."""

import keras
import numpy as np
import pytest

from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.bert import bert
from keras_kd.models.bert_student import bert_student
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.huggingface_export import write_folder
from keras_kd.models.initialization import init_from_teacher
from keras_kd.models.narrowing import narrow_from_teacher
from keras_kd.models.pretrained import load_pretrained
from keras_kd.models.transformer import transformer_student
from tests import tiny
from tests import tiny_language_models as tiny_lm

CLASSES = {
    "sequence": ("AutoModelForSequenceClassification", 3),
    "token": ("AutoModelForTokenClassification", 5),
    "span": ("AutoModelForQuestionAnswering", 2),
    "masked_lm": ("AutoModelForMaskedLM", None),
}
FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return Tokenizer.from_folder(folder)


def stir(model):
    """Random weights, none of which is a zero or a one."""
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if variable.dtype == "float32":
            noise = generator.normal(0, 0.2, variable.shape)
            variable.assign(variable + noise.astype("float32"))
    return model


def make_teacher(family, head, width):
    sizes = tiny_lm.SIZES
    if family == "distilbert":
        sizes = tiny_lm.DISTILBERT_SIZES
    config = {
        "model_type": family,
        "vocab_size": len(tiny.WORDS),
        "pad_token_id": 1 if "roberta" in family else 0,
        "type_vocab_size": 2 if family == "bert" else 1,
        **sizes,
    }
    return stir(bert(read_settings(config), head, width))


def make_inputs(model):
    mask = np.array([[1] * 6, [1] * 3 + [0] * 3], "int32")
    generator = np.random.default_rng(1)
    ids = generator.integers(5, len(tiny.WORDS), mask.shape)
    inputs = {
        "token_ids": ids.astype("int32") * mask,
        "padding_mask": mask,
        "segment_ids": np.array([[0, 0, 1, 1, 1, 1], [0] * 6], "int32"),
    }
    return {name: inputs[name] for name in model.input}


def difference(model, folder, head):
    """The largest one from PyTorch, over real tokens."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    import transformers

    theirs = getattr(transformers, CLASSES[head][0]).from_pretrained(folder)
    inputs = make_inputs(model)
    mask = inputs["padding_mask"]
    pad = theirs.config.pad_token_id
    arguments = {
        "input_ids": np.where(mask == 1, inputs["token_ids"], pad),
        "attention_mask": mask,
    }
    if "segment_ids" in inputs:
        arguments["token_type_ids"] = inputs["segment_ids"]
    with torch.no_grad():
        outputs = theirs.eval()(
            **{k: torch.tensor(v).long() for k, v in arguments.items()}
        )
    if head == "span":
        logits = [outputs.start_logits, outputs.end_logits]
        expected = torch.stack(logits, -1).numpy()
    else:
        expected = outputs.logits.numpy()
    ours = model(inputs)
    distance = np.abs(keras.ops.convert_to_numpy(ours) - expected)
    return (distance if head == "sequence" else distance[mask == 1]).max()


@pytest.mark.parametrize("head", CLASSES)
@pytest.mark.parametrize("family", FAMILIES)
def test_students_of_all_families(tmp_path, tokenizer, family, head):
    _, width = CLASSES[head]
    teacher = make_teacher(family, head, width)
    student = init_from_teacher(teacher, [0, 2])
    pad = 1 if "roberta" in family else 0
    config = config_of(student, head, pad)
    write_folder(tmp_path / "out", student, config, head, tokenizer)
    assert difference(student, tmp_path / "out", head) < 1e-4


@pytest.mark.parametrize(
    ("family", "pad", "positions"),
    [("bert", 0, 40), ("distilbert", 0, 40), ("roberta", 1, 38)],
)
def test_truncation_cuts_at_the_positions(
    tmp_path, tokenizer, family, pad, positions
):
    model = make_teacher(family, "sequence", 2)
    config = config_of(model, "sequence", pad)
    assert config["max_position_embeddings"] == 40
    write_folder(tmp_path / "out", model, config, "sequence", tokenizer)
    transformers = pytest.importorskip("transformers", reason="reads folders")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs.model_max_length == positions
    ids = theirs("fine film " * 50, truncation=True)["input_ids"]
    assert len(ids) == positions


@pytest.mark.parametrize(
    ("family", "pad"), [("bert", 0), ("distilbert", 0), ("roberta", 1)]
)
def test_pairs_as_transformers_gives_them_to_its_model(
    tmp_path, tokenizer, family, pad
):
    model = make_teacher(family, "sequence", 2)
    config = config_of(model, "sequence", pad)
    write_folder(tmp_path / "out", model, config, "sequence", tokenizer)
    transformers = pytest.importorskip("transformers", reason="reads folders")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    encoded = theirs("fine film", "dull")
    ((ids, segments),) = tokenizer.encode(["fine film"], 20, ["dull"])
    assert encoded["input_ids"] == ids and max(segments) == 1
    expected = segments if family == "bert" else None
    assert encoded.get("token_type_ids") == expected


def test_a_bert_from_scratch(tmp_path, tokenizer):
    student = stir(bert_student(len(tiny.WORDS), 3, 2, 8, 2, max_length=16))
    labels = ["bad", "so so", "good"]
    config = config_of(student, "sequence", 0, labels, "classification")
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"] == {"0": "bad", "1": "so so", "2": "good"}
    write_folder(
        tmp_path / "out", student, config, "sequence", tokenizer, "# Card\n"
    )
    assert (tmp_path / "out" / "README.md").read_text() == "# Card\n"
    assert difference(student, tmp_path / "out", "sequence") < 1e-4
    again = load_pretrained(tmp_path / "out")
    inputs = make_inputs(student)
    np.testing.assert_array_equal(again(inputs), student(inputs))


def test_narrower_ones(tmp_path, tokenizer):
    teacher = make_teacher("bert", "sequence", 3)
    student = narrow_from_teacher(teacher, [0, 1], 8, 2, 10)
    config = config_of(student, "sequence")
    assert (config["hidden_size"], config["intermediate_size"]) == (8, 10)
    write_folder(tmp_path / "out", student, config, "sequence", tokenizer)
    assert difference(student, tmp_path / "out", "sequence") < 1e-4


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu"])
def test_activations(name):
    teacher = make_teacher("bert", "sequence", 2)
    config = {**config_of(teacher, "sequence"), "hidden_act": name}
    other = bert(read_settings(config), "sequence", 2)
    assert config_of(other, "sequence") == config


def test_dropout_is_kept():
    config = config_of(make_teacher("bert", "sequence", 2), "sequence")
    config |= {
        "hidden_dropout_prob": 0.3,
        "attention_probs_dropout_prob": 0.3,
        "classifier_dropout": 0.4,
    }
    model = bert(read_settings(config), "sequence", 2)
    assert config_of(model, "sequence") == config


class TestRefused:
    def test_another_architecture(self):
        student = transformer_student(30, 2, 1, 8, 2)
        with pytest.raises(ValueError, match="--student bert"):
            config_of(student, "sequence")

    def test_the_mean_of_all_positions(self):
        config = config_of(make_teacher("bert", "token", 2), "token")
        model = bert(read_settings(config), "sequence", 2, "mean")
        with pytest.raises(ValueError) as error:
            config_of(model, "sequence")
        message = str(error.value)
        assert "reads the first position" in message
        assert "--teacher-layers" in message and "pooling='cls'" in message

    def test_another_activation_below_the_logits(self):
        model = make_teacher("bert", "sequence", 2)
        renamed = keras.Model(model.input, model.output, name="distilbert")
        with pytest.raises(ValueError, match="has relu"):
            config_of(renamed, "sequence")
