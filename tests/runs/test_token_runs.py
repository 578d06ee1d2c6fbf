"""Whole runs of tasks of tokens, in miniature: from files to the phone."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_kd import cli
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.data.errors import DataError
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.models.bert import bert
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.pretrained import state_dict
from keras_kd.runs.compare import Comparison
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import distill
from keras_kd.runs.distillation import export_again
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.teacher_checks import TeacherRefused
from tests import tiny
from tests import tiny_tokens

SMALL = {
    "student": "transformer", "width": 16, "heads": 2, "intermediate": 16,
    "dropout": 0.0, "steps": 120, "evaluate_every": 60, "batch_size": 8,
    "learning_rate": 2e-2, "max_length": 16, "export": ["float32"],
}  # fmt: skip


def settings_of(folder, task, **changes):
    write = tiny_tokens.write_tagged
    if task == "question_answering":
        write = tiny_tokens.write_questions
    teacher = tiny_tokens.write_teacher(folder / "teacher", task)
    data = write(folder / "data")
    return Configuration(**{**SMALL, **data, "teacher": teacher, **changes})


def run_of(folder, task):
    said = []
    configuration = settings_of(folder, task)
    result = distill(configuration, folder / "run", say=said.append)
    return RunFolder.open(folder / "run"), result, "\n".join(said)


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("tagging"), "token_tagging")


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("reading"), "question_answering")


class TestTagging:
    def test_scores_and_verdict(self, tagging):
        run, result, said = tagging
        assert result["primary_metric"] == "entity_f1"
        scores = {
            arm: values["seeds"][0]["scores"]
            for arm, values in result["arms"].items()
        }
        assert scores["teacher"]["entity_f1"] == 1.0
        assert scores["distilled"]["entity_f1"] > 0.9
        assert set(scores["alone"]["per_class"]) == {"LOC", "PER"}
        assert result["comparison"]["rows"] == 40
        assert 0.9 < result["agreement"]["distilled"] <= 1.0
        report = (run.folder / "report.md").read_text()
        assert "entity F1" in report and "| PER " in report
        assert "entity F1" in said

    def test_exports_are_verified_and_scored(self, tagging):
        run, result, _ = tagging
        saved_model, litert = result["exports"]
        assert saved_model["signatures"] == ["serving_default"]
        assert "features, not texts" in saved_model["no_text_signature"]
        assert litert["agreement"] == 1.0
        assert litert["accuracy_file"] == litert["accuracy_keras"] > 0.9
        own = result["arms"]["distilled"]["seeds"][0]["scores"]
        assert litert["scores"]["entity_f1"] == own["entity_f1"]
        model = LiteRTModel(run.folder / litert["file"])
        assert model.labels == tiny_tokens.TAGS
        output = model.output_details["logits"]["shape"].tolist()
        assert output == [1, 16, 5]

    def test_export_of_another_length(self, tagging):
        run, _, _ = tagging
        (report,) = export_again(run.folder, ["dynamic/dynamic"])
        assert report["agreement"] >= 0.97
        assert report["scores"]["rows"] >= 40
        with pytest.raises(DataError, match="words in a row of 6 tokens"):
            export_again(run.folder, ["dynamic/8"])

    def test_entities_are_predicted(self, tagging, capsys):
        run, _, _ = tagging
        student = TrainedStudent(run)
        ((entities, probability),) = student.predict(["the fine fun film"])
        assert entities == [
            {"text": "fine fun", "type": "PER", "words": [1, 3], "start": 4,
             "end": 12}
        ]  # fmt: skip
        # As the text has it, and not its words with spaces between.
        ((entities, _),) = student.predict(["the  fine\n fun film"])
        assert entities[0]["text"] == "fine\n fun"
        assert student.task.show(entities) == "fine fun [PER]"
        assert student.predict([" "])[0][0] == []
        assert 0.3 < probability <= 1.0
        assert student.predict([["poor", "was"]])[0][0][0]["type"] == "LOC"
        assert student.predict([]) == []
        assert cli.main(["predict", str(run.folder), "fine fun was"]) == 0
        line = capsys.readouterr().out.split("\t")
        assert line[0] == "fine fun [PER]" and line[2] == "fine fun was\n"

    def test_evaluated_on_a_file(self, tagging, tmp_path, capsys):
        run, _, _ = tagging
        path = tiny_tokens.write_conll(
            tmp_path / "more.txt", tiny_tokens.make_sentences(20, seed=9)
        )
        assert cli.main(["evaluate", str(run.folder), "--data", path]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert scores["rows"] == 20 and scores["entity_f1"] > 0.8

    def test_a_second_run_asks_and_trains_nothing(self, tagging, monkeypatch):
        run, result, _ = tagging
        monkeypatch.setattr(keras.Model, "fit", None)
        again = distill(run.configuration, run.folder, say=lambda text: None)
        assert again["teacher_calls"] == 0
        assert again["arms"]["distilled"] == result["arms"]["distilled"]


class TestOtherTaggers:
    """What is not exported: only that it learns from the teacher."""

    def run(self, tmp_path, **changes):
        configuration = settings_of(
            tmp_path,
            "token_tagging",
            **{"arms": ["distilled"], "steps": 80, **changes},
        )
        folder = RunFolder.start(tmp_path / "run", configuration)
        comparison = Comparison(configuration, folder)
        result = comparison.execute()
        (seed,) = result["arms"]["distilled"]["seeds"]
        return comparison, seed["scores"]["entity_f1"]

    def test_chain(self, tmp_path):
        comparison, score = self.run(tmp_path, chain=True)
        assert comparison.test_logits("distilled", 0).shape[1] == 30
        assert score > 0.8

    @pytest.mark.parametrize("tokens", ["word", "character"])
    def test_own_tokens(self, tmp_path, tokens):
        _, score = self.run(tmp_path, tokens=tokens, max_length=48, steps=150)
        assert score > 0.6

    def test_soft_targets_alone(self, tmp_path):
        """Nothing but what the teacher says, at the first pieces of words."""
        _, score = self.run(tmp_path, alpha=1.0)
        assert score > 0.8

    def test_long_sentences_in_windows(self, tmp_path):
        comparison, score = self.run(tmp_path, max_length=8, stride=2)
        repaired = comparison.rows.counts["repaired_or_cut"]
        assert repaired["sentences cut into windows (train)"] > 0
        assert len(comparison.rows.test) > 40
        assert score > 0.8

    def test_shuffled_targets_are_no_help(self, tmp_path):
        comparison, _ = self.run(tmp_path, arms=["distilled", "control"])
        scores = [
            comparison.task.score(
                comparison.logits[arm][0],
                comparison.task.references(comparison.rows.test),
            )
            for arm in ("distilled", "control")
        ]
        assert scores[0] > scores[1] + 0.3


class TestReading:
    def test_scores_and_verdict(self, reading):
        run, result, said = reading
        scores = {
            arm: values["seeds"][0]["scores"]
            for arm, values in result["arms"].items()
        }
        assert scores["teacher"]["exact_match"] == 1.0
        assert scores["distilled"]["answer_f1"] > 0.8
        assert result["comparison"]["rows"] == 30
        assert "answer F1" in (run.folder / "report.md").read_text()
        assert "answer F1" in said

    def test_exports_are_verified_and_scored(self, reading):
        run, result, _ = reading
        _, litert = result["exports"]
        assert litert["agreement"] == 1.0
        assert litert["accuracy_keras"] > 0.8
        own = result["arms"]["distilled"]["seeds"][0]["scores"]
        assert litert["scores"]["answer_f1"] == own["answer_f1"]
        model = LiteRTModel(run.folder / litert["file"])
        output = model.output_details["logits"]["shape"].tolist()
        assert output == [1, 16, 2]

    def test_answers_are_predicted(self, reading, capsys):
        run, _, _ = reading
        pair = ("was it the film", "it was fine fun the film")
        ((answer, probability),) = TrainedStudent(run).predict([pair])
        assert answer["text"] == "fine fun"
        assert 0 < probability <= 1.0
        assert cli.main(["predict", str(run.folder), *pair]) == 0
        line = capsys.readouterr().out
        assert line.startswith("fine fun\tit was [fine fun] the film\t0.")
        flags = ["predict", str(run.folder), *pair, "--answers", "3"]
        assert cli.main(flags) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == line.rstrip("\n") and len(lines) == 3

    @pytest.mark.slow
    def test_some_questions_have_no_answer(self, tmp_path):
        """As in version 2.0 of SQuAD."""
        data = tiny_tokens.write_questions(tmp_path / "more", without_answer=8)
        configuration = settings_of(tmp_path, data.pop("task"), **data)
        result = distill(configuration, tmp_path / "run", say=print)
        scores = result["arms"]["distilled"]["seeds"][0]["scores"]
        assert scores["no_answer_f1"] > 0.8 and scores["has_answer_f1"] > 0.8
        assert np.isfinite(scores["best_threshold"])
        files = [one["scores"] for one in result["exports"] if "scores" in one]
        assert files[-1]["answer_f1"] == scores["answer_f1"]
        student = TrainedStudent(RunFolder.open(tmp_path / "run"))
        pairs = [("was it the film", "it was the film")]
        ((answer, probability),) = student.predict(pairs)
        assert answer["text"] == "" and 0.5 < probability < 1.0

    def test_answers_that_are_not_there_are_named(self, tmp_path):
        data = tiny_tokens.write_questions(tmp_path / "more", 30)
        lost = tiny_tokens.make_paragraphs(9, seed=0)
        for number in range(7):
            lost[number]["qas"][0]["answers"][0]["text"] = "nowhere"
        tiny_tokens.write_squad(data["test"], lost)
        configuration = settings_of(tmp_path, data.pop("task"), **data)
        folder = RunFolder.start(tmp_path / "run", configuration)
        comparison = Comparison(configuration, folder)
        comparison.prepare()
        (named,) = comparison.rows.counts["ids_of_repaired"].values()
        assert named == [f"0-{number}" for number in range(7)]
        (warning,) = (
            one for one in comparison.rows.warnings if "does not hold" in one
        )
        assert warning.startswith("7 answers that the context does not hold")
        assert "(test): 0-0, 0-1, 0-2, 0-3, 0-4, ...." in warning

    def test_other_lengths_are_refused(self, reading):
        run, _, _ = reading
        with pytest.raises(ConfigurationError, match="windows are cut for 16"):
            export_again(run.folder, ["dynamic/8"])


class TestRefused:
    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"student": "bag"}, "`student` must be one of"),
            ({"augment": "tang"}, "`augment` must be one of"),
            ({"tokens": "jieba"}, "`tokens` must be one of"),
            ({"chain": True, "loss": "logits_mse"}, "`loss` must be soft_"),
            ({"chain": True, "probability_shift": True}, "and a chain of tags"),
            ({"stride": 16}, "`stride` must be 0 or more, below 16"),
        ],
    )
    def test_settings(self, changes, message):
        with pytest.raises(ConfigurationError, match=message):
            Configuration(task="token_tagging", max_length=16, **changes)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"tokens": "word"}, "`tokens` must be one of"),
            ({"chain": True}, "`chain` must be left out but for"),
            ({"labels": ["a", "b"]}, "question_answering has no names"),
            ({"loss": "soft_cross_entropy"}, "another one for question_answ"),
        ],
    )
    def test_settings_of_reading(self, changes, message):
        with pytest.raises(ConfigurationError, match=message):
            Configuration(task="question_answering", **changes)

    def test_stride_of_whole_texts(self):
        with pytest.raises(ConfigurationError, match="for tasks of tokens"):
            Configuration(stride=4)

    def test_a_teacher_of_another_task(self, tmp_path):
        configuration = settings_of(tmp_path, "token_tagging").to_dict()
        configuration["teacher"] = tiny_tokens.write_teacher(
            tmp_path / "other", "question_answering"
        )
        with pytest.raises(TeacherRefused, match="gives 2 logits, the task"):
            distill(Configuration(**configuration), tmp_path / "run", say=str)

    def test_a_teacher_that_tags_nothing(self, tmp_path):
        configuration = settings_of(tmp_path, "token_tagging").to_dict()
        teacher = tiny_tokens.make_teacher(tmp_path / "files")
        table = teacher.model.get_layer("token_embedding")
        table.set_weights([9.0 * np.eye(5)[[0] * table.input_dim]])
        teacher.save(tmp_path / "nothing")
        configuration["teacher"] = str(tmp_path / "nothing")
        with pytest.raises(TeacherRefused, match="entity_f1 is 0.000"):
            distill(Configuration(**configuration), tmp_path / "run", say=str)


def write_bert(folder):
    """A BERT of one layer without a head, as Hugging Face writes it."""
    from safetensors.numpy import save_file

    config = {
        "model_type": "bert", "vocab_size": len(tiny.WORDS), "hidden_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 16,
        "type_vocab_size": 2, "hidden_act": "gelu",
        "architectures": ["BertModel"],
    }  # fmt: skip
    tiny.write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = state_dict(
        bert(read_settings(config), "pooler"), config, "pooler"
    )
    save_file(weights, folder / "model.safetensors")
    return str(folder)


@pytest.mark.parametrize("task", ["token_tagging", "question_answering"])
def test_teacher_is_fine_tuned_from_a_checkpoint(tmp_path, task):
    """A fresh head on a pretrained BERT, which learns the task."""
    values = settings_of(tmp_path, task).to_dict() | {
        "teacher": write_bert(tmp_path / "bert"),
        "arms": ["teacher"],
        "teacher_epochs": 12.0,
        "teacher_learning_rate": 1e-2,
        "teacher_batch_size": 8,
    }
    configuration = Configuration(**values)
    folder = RunFolder.start(tmp_path / "run", configuration)
    result = Comparison(configuration, folder).execute()
    (seed,) = result["arms"]["teacher"]["seeds"]
    assert seed["scores"][result["primary_metric"]] > 0.6


@pytest.mark.parametrize("name", ["tagging", "reading"])
def test_students_teach(name, tmp_path, request):
    run, result, _ = request.getfixturevalue(name)
    configuration = dataclasses.replace(
        run.configuration,
        teacher=str(run.folder),
        cache=str(tmp_path / "cache"),
        arms=["teacher"],
        export=[],
    )
    taught = distill(configuration, tmp_path / "run", say=print)
    (seed,) = taught["arms"]["teacher"]["seeds"]
    (own,) = result["arms"]["distilled"]["seeds"]
    metric = result["primary_metric"]
    assert seed["scores"][metric] == pytest.approx(own["scores"][metric])
