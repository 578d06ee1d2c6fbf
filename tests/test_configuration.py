"""Settings out of their range are refused by name, before any work."""

import dataclasses
import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration import choices
from keras_kd.configuration import setting_type
from keras_kd.configuration import settings_without_effect

FIELDS = dataclasses.fields(Configuration)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("temperature", 0, "above 0"),
        ("temperature", -1.0, "above 0"),
        ("temperature", math.nan, "above 0"),
        ("temperature", math.inf, "finite"),
        ("alpha", -0.1, "from 0 to 1"),
        ("alpha", 1.5, "from 0 to 1"),
        ("alpha", math.nan, "from 0 to 1"),
        ("dropout", -0.1, "below 1"),
        ("dropout", 1.0, "below 1"),
        ("steps", 0, "above 0"),
        ("layers", 0, "above 0"),
        ("width", -4, "above 0"),
        ("embedding_dim", 0, "above 0"),
        ("batch_size", 0, "above 0"),
        ("evaluate_every", 0, "above 0"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", math.inf, "finite"),
        ("teacher_batch_size", 0, "above 0"),
        ("teacher_epochs", -1.0, "above 0"),
        ("teacher_learning_rate", math.nan, "above 0"),
        ("teacher_floor", math.nan, "from 0 to 1"),
        ("labelled_rows", 0, "above 0"),
        ("validation_rows", -3, "above 0"),
        ("test_rows", 0, "above 0"),
        ("max_length", 7, "8 or more"),
        ("no_answer_threshold", math.nan, "finite"),
        ("seeds", [], "one or more, all different"),
        ("seeds", [1, 1], "different"),
        ("seeds", [-1], "0 or more"),
        ("seeds", [0, 2**32], "below 2**32"),
        ("layer_losses", [], "one or more, all different"),
        ("layer_losses", ["contrastive"] * 2, "one or more, all different"),
        ("student", "lstm", "'attention', 'transformer', 'bag'"),
        ("teacher", [], "one or more, all different"),
        ("teacher", ["a", "a"], "one or more, all different"),
        ("teacher_weights", [1.0], "left out without several teachers"),
        ("teacher_weights", "validation", "left out without several"),
        ("teacher_layers", [], "from 0, each above the one before"),
        ("teacher_layers", [2, 0], "from 0, each above the one before"),
        ("teacher_layers", [-1, 0], "from 0, each above the one before"),
        ("heads", 0, "above 0"),
        ("intermediate", -1, "above 0"),
        ("teacher_runtime", "onnx", "'litert-int8'"),
        ("arms", [], "one or more"),
    ],
)
def test_refusal_names_setting_value_and_range(name, value, allowed):
    with pytest.raises(ConfigurationError) as error:
        Configuration(**{name: value})
    message = str(error.value)
    assert message.startswith(f"`{name}` must be ")
    assert f"Received: {value!r}." in message
    assert allowed in message


def test_a_delimiter_is_for_one_file_of_the_run_at_least():
    for table in ("b.tsv", "b.CSV.gz"):
        Configuration(train="a.jsonl", unlabelled=table, delimiter=";")
    with pytest.raises(ConfigurationError, match="`delimiter` .* left out"):
        Configuration(train="a.jsonl", unlabelled="b.txt", delimiter=";")


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("token_tagging", "text_pair"),
        ("token_tagging", "delimiter"),
        ("question_answering", "text"),
        ("question_answering", "label"),
    ],
)
def test_what_the_files_of_a_task_have_not(task, name):
    with pytest.raises(ConfigurationError) as error:
        Configuration(train="a.csv", task=task, **{name: ";"})
    assert str(error.value).startswith(f"`{name}` must be left out for {task}.")


@pytest.mark.parametrize("student", ["attention", "transformer", "bert"])
@pytest.mark.parametrize("heads", [None, 4])
def test_heads_divide_the_width(student, heads):
    with pytest.raises(ConfigurationError, match="`heads` .*`width`.* 30.* 4"):
        Configuration(student=student, width=30, heads=heads)
    Configuration(student=student, width=30, heads=5)
    Configuration(student="bigru", width=30, heads=heads)


def test_a_convolution_is_for_students_of_attention():
    Configuration(student="transformer", convolution=3)
    with pytest.raises(ConfigurationError, match="left out for .* bigru"):
        Configuration(student="bigru", convolution=3)
    with pytest.raises(ConfigurationError, match="2 or more. Received: 1"):
        Configuration(student="attention", convolution=1)


def test_heads_of_a_copy_may_be_the_teachers():
    layers = {"student": "bert", "teacher_layers": [0]}
    Configuration(**layers, width=30)
    Configuration(**layers, heads=4)
    with pytest.raises(ConfigurationError, match="`heads`"):
        Configuration(**layers, width=30, heads=4)


def test_default_heads_are_those_of_the_students():
    from keras_kd.models.attention import attention_student
    from keras_kd.models.bert_student import bert_student
    from keras_kd.models.transformer import transformer_student

    for build in (attention_student, transformer_student, bert_student):
        parameters = inspect.signature(build).parameters
        assert parameters["num_heads"].default == choices.HEADS


def test_refusal_names_the_one_of_several_values():
    with pytest.raises(ConfigurationError) as error:
        Configuration(arms=["alone", "nobody"])
    assert "'distilled', 'control']. Received: 'nobody'" in str(error.value)
    assert "Received: 'nobody'." in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("steps", "100", "int"),
        ("steps", 1.5, "int"),
        ("steps", True, "int"),
        ("temperature", "warm", "float"),
        ("text", 1.5, "str"),
        ("encoding", 8, "str"),
        ("seeds", 0, "a list of int"),
        ("seeds", ["0"], "a list of int"),
        ("labels", "good", "a list of str"),
        ("fine_tune_teacher", "no", "bool"),
        ("student", None, "str"),
        ("teacher", 3, "str"),
        ("teacher", ["a", 3], "a list of str"),
        ("teacher_weights", 1.0, "str"),
        ("teacher_layers", 1, "a list of int"),
    ],
)
def test_values_of_another_type_are_refused(name, value, kind):
    # As a JSON file may have them; argparse makes none of these.
    with pytest.raises(ConfigurationError) as error:
        Configuration.from_dict({name: value})
    assert str(error.value) == (
        f"`{name}` must be {kind}. Received: {value!r}."
    )


def test_paths_are_kept_as_strings():
    configuration = Configuration(train=Path("rows") / "train.csv")
    assert configuration.train == str(Path("rows") / "train.csv")


def test_numbers_of_numpy_are_kept_as_plain_ones():
    values = {
        "steps": np.int64(300),
        "temperature": np.float32(1.5),
        "seeds": [np.int32(2)],
    }
    stored = json.loads(json.dumps(Configuration(**values).to_dict()))
    assert {name: stored[name] for name in values} == values


def test_whole_numbers_are_fine_where_fractions_are():
    assert Configuration.from_dict({"temperature": 3}).temperature == 3


@pytest.mark.parametrize(
    ("key", "close"),
    [
        ("temprature", "temperature"),
        ("batchsize", "batch_size"),
        ("teacher-floor", "teacher_floor"),
    ],
)
def test_unknown_key_names_the_near_match(key, close):
    with pytest.raises(ConfigurationError) as error:
        Configuration.from_dict({key: 1, "steps": 3})
    assert f"Unknown settings: ['{key}']." in str(error.value)
    assert f"Did you mean '{close}'?" in str(error.value)


def test_unknown_key_like_no_other_lists_what_there_is():
    with pytest.raises(ConfigurationError) as error:
        Configuration.from_dict({"zzz": 1})
    assert "Did you mean" not in str(error.value)
    for field in FIELDS:
        assert f"'{field.name}'" in str(error.value)


def test_dictionary_round_trip_holds_every_setting():
    settings = {"train": "a.csv", "seeds": [3, 4], "teacher_floor": 0.5}
    configuration = Configuration.from_dict(settings)
    stored = configuration.to_dict()
    assert set(stored) == {field.name for field in FIELDS}
    assert {name: stored[name] for name in settings} == settings
    assert Configuration.from_dict(stored) == configuration


def test_default_lists_are_not_shared():
    Configuration().seeds.append(7)
    assert Configuration().seeds == [0]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_help_and_a_known_type(field):
    assert len(field.metadata["help"]) > 10
    kind, several = setting_type(field)
    assert kind in (str, int, float, bool)
    lists = "labels seeds arms export teacher_layers layer_losses".split()
    assert several == (field.name in lists)


class TestSeveralTeachers:
    def test_one_in_a_list_is_one(self):
        configuration = Configuration(teacher=["bert"])
        assert configuration.teacher == "bert"
        assert configuration.teachers == ["bert"]
        assert Configuration().teachers == []
        both = Configuration(teacher=["a", "b"], teacher_weights=[2, 0])
        assert both.teachers == ["a", "b"]
        assert Configuration.from_dict(both.to_dict()) == both

    @pytest.mark.parametrize(
        "weights", [[1.0], [1, 1, 1], [2, -1], [0, 0], [1, math.nan], "best"]
    )
    def test_weights(self, weights):
        with pytest.raises(ConfigurationError) as error:
            Configuration(teacher=["a", "b"], teacher_weights=weights)
        assert "must be 'validation', or 2 numbers" in str(error.value)

    def test_fine_tuning(self):
        with pytest.raises(ConfigurationError, match="give the folders RUN/te"):
            Configuration(teacher=["a", "b"], fine_tune_teacher=True)


class TestTeacherLayers:
    def test_width_and_layers_are_those_of_the_teacher(self):
        configuration = Configuration(student="bert", teacher_layers=[0, 2, 5])
        assert configuration.layers == 3 and configuration.width is None
        assert Configuration.from_dict(configuration.to_dict()) == configuration
        assert Configuration().width == 64

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("student", "bag"),
            ("tokens", "word"),
            ("embeddings", "teacher"),
            ("layers", 2),
        ],
    )
    def test_what_they_leave_no_choice_of(self, name, value):
        settings = {"student": "bert", "teacher_layers": [0, 2, 5]}
        with pytest.raises(ConfigurationError) as error:
            Configuration(**{**settings, name: value})
        assert str(error.value).startswith(f"`{name}` must be ")
        assert "left out where `teacher_layers` are given" in str(error.value)


class TestSettingsWithoutEffect:
    @pytest.mark.parametrize(
        ("given", "named", "purpose"),
        [
            ({"heads": 2}, "--heads", "attention, transformer, bert"),
            ({"intermediate": 8}, "--intermediate", "transformer, bert"),
            (
                {"student": "attention", "embedding_dim": 8},
                "--embedding-dim",
                "bigru, bilstm, bag",
            ),
            ({"vocabulary_size": 9}, "--vocabulary-size", "--tokens wordpiece"),
            (
                {"tokens": "mediapipe", "lowercase": False},
                "--lowercase",
                "--tokens wordpiece",
            ),
            (
                {"loss": "logits_mse", "temperature": 4.0},
                "--temperature",
                "probabilities",
            ),
            (
                {"task": "regression", "temperature": 4.0},
                "--temperature",
                "probabilities",
            ),
            ({"layer_weight": 2.0}, "--layer-weight", "--layer-losses"),
            ({"augment_copies": 3}, "--augment-copies", "--augment"),
        ],
    )
    def test_says_what_it_is_for(self, given, named, purpose):
        (sentence,) = settings_without_effect(Configuration(**given))
        assert sentence.startswith(f"{named} has no effect")
        assert purpose in sentence

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"student": "transformer", "heads": 2, "intermediate": 8},
            {"embedding_dim": 8},
            {"tokens": "word", "vocabulary_size": 9, "lowercase": False},
            {"loss": "decoupled_kd", "temperature": 4.0},
            {"layer_losses": ["hidden_state_mse"], "layer_weight": 2.0},
            {"augment": "tang", "augment_copies": 3},
        ],
    )
    def test_is_silent_of_one_that_has_one(self, given):
        assert settings_without_effect(Configuration(**given)) == []
