"""Teachers that PyTorch runs: those that Keras can't convert, too."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from keras_kd.batch import LOGITS
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.runs import teaching
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.tasks.named_tasks import build_task
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.torch_teacher import TorchTeacher
from tests import tiny
from tests import tiny_language_models as tiny_lm

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="runs PyTorch models: pip install keras_kd[torch]",
)
SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
}
MODELS = {
    "Electra": {**SIZES, "embedding_size": 8},
    "DebertaV2": {
        **SIZES,
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "type_vocab_size": 0,
        "pooler_hidden_size": 12,
    },
    "XLNet": {"d_model": 12, "n_layer": 2, "n_head": 3, "d_inner": 16},
    "Roberta": {**SIZES, "type_vocab_size": 1},
}
HEADS = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
TEXTS = ["fine film was dull", "superb", "the film was the film was it"]


def write_model(folder, name, head="sequence"):
    """A model with random weights, and a tokenizer of its kind."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, pad = len(tiny.WORDS), 0
    if name == "Roberta":
        vocabulary, pad = tiny_lm.write_byte_level_bpe(folder)
    elif name == "XLNet":
        vocabulary, pad = write_xlnet_tokenizer(folder)
    else:
        tiny.write_tokenizer(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        vocab_size=vocabulary,
        pad_token_id=pad,
        num_labels=3 if head != "span" else 2,
        initializer_range=0.5,
        **MODELS[name],
    )
    suffix = HEADS[head]
    if name == "XLNet" and head == "span":
        suffix = "ForQuestionAnsweringSimple"
    model = getattr(transformers, name + suffix)(config).eval()
    model.save_pretrained(folder)
    return model


def write_xlnet_tokenizer(folder):
    """Unigram with the special tokens at the end, padded on the left."""
    import json

    import tokenizers

    vocabulary, _ = tiny_lm.write_unigram(folder)
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A:0 </s>:0 <s>:2",
        pair="$A:0 </s>:0 $B:1 </s>:1 <s>:2",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    inner.save(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["padding_side"] = "left"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return vocabulary, 1


def features_of(tokenizer, texts):
    encoded = [ids for ids, _ in tokenizer.encode(texts, 20)]
    width = max(map(len, encoded))
    mask = np.array([[1] * len(i) + [0] * (width - len(i)) for i in encoded])
    ids = np.array([i + [0] * (width - len(i)) for i in encoded])
    return {
        "token_ids": ids.astype("int32"),
        "padding_mask": mask.astype("int32"),
        "segment_ids": np.zeros_like(ids, "int32"),
    }


def run_theirs(model, folder, text):
    """One text at a time: no padding."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer([text], return_tensors="pt"))
    if getattr(model.config, "type_vocab_size", 2) < 2:
        inputs.pop("token_type_ids", None)
    if model.config.model_type == "xlnet":
        # Whatever tokenizer class the folder has: the types of XLNet's own.
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        inputs["token_type_ids"][:, -1] = 2
    with torch.no_grad():
        outputs = model(**inputs)
    if hasattr(outputs, "start_logits"):
        logits = [outputs.start_logits, outputs.end_logits]
        return torch.stack(logits, -1).numpy()[0]
    return outputs.logits.numpy()[0]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(tmp_path, name, head):
    model = write_model(tmp_path, name, head)
    teacher = TorchTeacher(tmp_path, head)
    features = features_of(teacher.tokenizer, TEXTS)
    names, predict = teacher.runtime
    logits = predict({key: features[key] for key in names})[LOGITS]
    for row, text in enumerate(TEXTS):
        expected = run_theirs(model, tmp_path, text)
        length = features["padding_mask"][row].sum()
        ours = logits[row] if head == "sequence" else logits[row, :length]
        np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_fingerprint_is_that_of_the_weights(tmp_path):
    import torch

    model = write_model(tmp_path / "one", "Electra")
    first = TorchTeacher(tmp_path / "one").fingerprint
    assert TorchTeacher(tmp_path / "one").fingerprint == first
    write_model(tmp_path / "two", "Electra")
    with torch.no_grad():
        model.classifier.dense.bias[0] += 1e-3
    model.save_pretrained(tmp_path / "two")
    second = TorchTeacher(tmp_path / "two").fingerprint
    assert second["weights"] != first["weights"]
    assert second["tokenizer"] == first["tokenizer"]


def test_it_fills_the_cache(tmp_path, small_rows):
    write_model(tmp_path / "model", "Electra")
    teacher = TorchTeacher(tmp_path / "model")
    encoded = [ids for ids, _ in teacher.tokenizer.encode(TEXTS, 20)]
    rows = small_rows(encoded)
    targets = TeacherTargets(tmp_path / "targets", teacher.fingerprint)
    assert targets.label(teacher.runtime, rows) == 3
    features = features_of(teacher.tokenizer, TEXTS)
    np.testing.assert_allclose(
        targets.lookup(rows.keys())[LOGITS],
        teacher.predict(features)[LOGITS],
        atol=1e-5,
    )
    again = TeacherTargets(tmp_path / "targets", teacher.fingerprint)
    assert again.label(None, rows) == 0


def test_a_checkpoint_without_the_head(tmp_path):
    import transformers

    tiny.write_tokenizer(tmp_path)
    config = transformers.ElectraConfig(
        vocab_size=len(tiny.WORDS), **MODELS["Electra"]
    )
    transformers.ElectraModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no weights for.*classifier"):
        TorchTeacher(tmp_path)


def test_a_head_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="one of .'sequence'"):
        TorchTeacher(tmp_path, "pooler")


class TestInARun:
    @pytest.fixture
    def configuration(self, tmp_path):
        """A BERT that is right on every row, run by PyTorch."""
        tiny.write_bert(tmp_path / "bert")
        return Configuration(
            **tiny.write_data(tmp_path / "data"),
            teacher=str(tmp_path / "bert"),
            teacher_framework="torch",
            max_length=tiny.LENGTH,
        )

    def test_it_is_opened_as_the_teacher(self, configuration, tmp_path):
        task = build_task("classification", tiny.LABELS)
        teacher, to_train = teaching.open_teacher(
            configuration, task, tmp_path / "none"
        )
        assert isinstance(teacher, TorchTeacher) and not to_train
        assert teacher.labels == tiny.LABELS
        names, predict = teaching.teacher_runtime(teacher, "keras", tmp_path)
        features = features_of(teacher.tokenizer, ["a fine film", "so dull"])
        logits = predict({name: features[name] for name in names})[LOGITS]
        assert logits.argmax(1).tolist() == [1, 0]

    def test_more_tokens_than_it_has_positions(self, configuration, tmp_path):
        configuration = dataclasses.replace(configuration, max_length=33)
        with pytest.raises(TeacherRefused, match="32 tokens"):
            teaching.open_teacher(
                configuration,
                build_task("classification", tiny.LABELS),
                tmp_path / "none",
            )

    @pytest.mark.parametrize(
        "changes",
        [
            {"fine_tune_teacher": True},
            {"layer_losses": ["hidden_state_mse"]},
            {"embeddings": "teacher"},
            {"teacher": ["one", "two"]},
            {"teacher_runtime": "litert-int8"},
        ],
    )
    def test_what_it_can_not_do(self, configuration, changes):
        with pytest.raises(ConfigurationError, match="is torch: its answers"):
            dataclasses.replace(configuration, **changes)

    @pytest.mark.slow
    def test_a_whole_run(self, configuration, tmp_path, monkeypatch):
        from keras_kd.evaluation import report
        from keras_kd.runs import arm_training
        from keras_kd.runs import distillation
        from keras_kd.runs.student_files import StudentFiles

        monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
        monkeypatch.setattr(
            StudentFiles,
            "write",
            lambda files, name: {"file": name, "format": "none"},
        )
        monkeypatch.setattr(report, "write_plots", lambda folder, result: [])
        configuration = dataclasses.replace(
            configuration, steps=4, evaluate_every=2
        )
        said = []
        result = distillation.distill(
            configuration, tmp_path / "run", say=said.append
        )
        scores = result["arms"]["teacher"]["seeds"][0]["scores"]
        assert scores["accuracy"] == 1.0
        assert result["run_times"][0]["runtime"] == "PyTorch"
