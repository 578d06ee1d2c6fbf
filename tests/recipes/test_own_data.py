"""Own data: each task, pairs, missing files; one run for real."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.data.rows import Rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.models.heads import masked_pool
from keras_kd.runs import arm_training
from keras_kd.runs import distillation
from keras_kd.teachers.teacher import Teacher
from tests import tiny
from tests.recipes.files import SMALL
from tests.recipes.files import halves
from tests.recipes.files import stored


def write_regression_teacher(folder):
    """A teacher whose only output is the mean polarity of a text's words."""
    words = folder.with_name("words")
    tiny.write_tokenizer(words)
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    embedding = keras.layers.Embedding(len(tiny.WORDS), 1)
    x = masked_pool(
        embedding(inputs["token_ids"]), inputs["padding_mask"], "mean"
    )
    head = keras.layers.Dense(1)
    model = keras.Model(inputs, head(x))
    embedding.set_weights([tiny.polarity()[:, None]])
    head.set_weights([np.ones((1, 1)), np.zeros(1)])
    Teacher(model, Tokenizer.from_folder(words)).save(folder)
    return folder


class TestOwnData:
    def test_folder_with_a_training_file_alone(
        self, run_recipe, tmp_path, resolved
    ):
        file = tiny.write_csv(tmp_path / "mine" / "train.csv", [("a", "b")])
        status, _, err = run_recipe("own_data", "--data", file.parent)
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.train == str(file)
        assert configuration.validation is None
        assert configuration.test is None
        assert configuration.unlabelled is None

    def test_all_files(self, run_recipe, tmp_path, resolved):
        settings = tiny.write_data(tmp_path / "mine")
        status, _, err = run_recipe(
            "own_data", "--data", tmp_path / "mine", "--run", "run",
            "--validation", "other.csv",
        )  # fmt: skip
        assert status == 0, err
        (configuration,) = resolved
        settings["validation"] = "other.csv"
        assert {
            part: getattr(configuration, part) for part in settings
        } == settings

    def test_something_to_train_on_is_needed(self, run_recipe, resolved):
        status, _, err = run_recipe("own_data", "--test", "test.csv")
        assert (status, err) == (1, "keras-kd: --data or --train is needed.\n")
        assert not resolved

    def test_several_labels(self, run_recipe, tmp_path, quick):
        rows = [
            (text, "good;short" if label == "good" else "bad;short")
            if len(text.split()) < 5
            else (text, label)
            for text, label in tiny.make_rows(140)
        ]
        train = tiny.write_csv(tmp_path / "train.csv", rows)
        # "short" was never its answer.
        teacher = tiny.write_teacher(
            tmp_path / "teacher", outputs=3, labels=["bad", "good", "short"]
        )
        run = tmp_path / "run"
        status, out, err = run_recipe(
            "own_data", "--train", train, "--task", "multi_label",
            "--label-separator", ";", "--teacher", teacher, "--run", run,
            *SMALL,
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert result["task"] == "multi_label"
        assert result["labels"] == ["bad", "good", "short"]
        assert result["primary_metric"] == "micro_f1"
        assert "micro F1" in (run / "report.md").read_text()

    def test_numbers(self, run_recipe, tmp_path, quick):
        polarity = dict(zip(tiny.WORDS, tiny.polarity()))
        rows = [
            (text, str(sum(polarity[word] for word in text.split())))
            for text, _ in tiny.make_rows(140)
        ]
        run = tmp_path / "run"
        status, out, err = run_recipe(
            "own_data", "--train", tiny.write_csv(tmp_path / "t.csv", rows),
            "--task", "regression", "--run", run, *SMALL, "--teacher",
            write_regression_teacher(tmp_path / "teacher"),
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert result["task"] == "regression"
        assert result["labels"] is None
        (seed,) = result["arms"]["teacher"]["seeds"]
        # The sign is right; the mean over words makes long texts smaller.
        assert seed["scores"]["pearson"] > 0.9

    def test_pairs(self, run_recipe, tmp_path, quick):
        rows = [(*halves(text), y) for text, y in tiny.make_rows(120)]
        train = tiny.write_csv(
            tmp_path / "train.csv", rows, ("question", "answer", "label")
        )
        run = tmp_path / "run"
        status, _, err = run_recipe(
            "own_data", "--train", train, "--text", "question", "--text-pair",
            "answer", "--run", run, *SMALL, "--max-length", "16", "--teacher",
            tiny.write_teacher(tmp_path / "teacher"),
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        (seed,) = result["arms"]["teacher"]["seeds"]
        assert seed["scores"]["accuracy"] == 1.0
        rows = Rows.open(run / distillation.TEST_ROWS)
        assert rows.text("text", 0) and rows.text("text_pair", 0)

    def test_prepare_trains_nothing(self, run_recipe, tmp_path, quick):
        rows = tiny.make_rows(100)
        train = tiny.write_csv(tmp_path / "train.csv", [*rows, ("", "good")])
        test = tiny.write_csv(tmp_path / "test.csv", rows[:10])
        run = tmp_path / "run"
        arguments = [
            "own_data", "--train", train, "--test", test, "--run", run,
            "--teacher", tiny.write_teacher(tmp_path / "teacher"), *SMALL,
        ]  # fmt: skip
        status, out, err = run_recipe(*arguments, "--mode", "prepare")
        assert status == 0, err
        lines = out.splitlines()
        assert "| validation | 20 |" in lines
        assert "| test | 10 |" in lines
        assert "| empty texts: train | 1 |" in lines
        (overlap,) = (
            int(line.split("|")[2])
            for line in lines
            if line.startswith("| overlaps: train and test |")
        )
        # Some of the ten are among the rows that are kept for validation.
        assert 0 < overlap <= 10
        assert (
            f"Warning: {overlap} rows stand in both train and test: scores on "
            "them are too good." in lines
        )
        assert "Labels, in the order of the logits: bad, good." in lines
        assert lines[-1].startswith("Nothing was trained.")
        assert not (run / "units").exists()
        assert not (run / "metrics.json").exists()
        assert not (run / "cache" / "targets").exists()
        # The same command without it goes on from these rows.
        status, out, err = run_recipe(*arguments)
        assert status == 0, err
        assert stored(run)["data"]["test"] == 10

    @pytest.mark.slow
    def test_bag_of_words_from_the_teachers_table(self, run_recipe, tmp_path):
        """End to end: its own words, the teacher's vectors, real files."""
        settings = tiny.write_data(tmp_path / "mine", train=120)
        run = tmp_path / "run"
        status, out, err = run_recipe(
            "own_data", "--data", tmp_path / "mine", "--run", run,
            "--teacher", tiny.write_bert(tmp_path / "bert"),
            "--student", "bag", "--tokens", "word", "--vocabulary-size", "500",
            "--embeddings", "teacher", "--embedding-dim", "4", "--width", "8",
            "--max-length", "16", "--dropout", "0", "--batch-size", "16",
            "--learning-rate", "0.03", "--steps", "60", "--evaluate-every",
            "30", "--export", "float32", "dynamic",
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert stored(run, "config.json")["test"] == settings["test"]
        (seed,) = result["arms"]["distilled"]["seeds"]
        assert seed["scores"]["accuracy"] > 0.9
        # Its words are those of the texts, not the teacher's.
        tokenizer = Tokenizer.from_folder(run / "tokenizer")
        words = set(tiny.NEUTRAL + tiny.GOOD + tiny.BAD)
        assert set(tokenizer.vocabulary[5:]) == words
        assert tokenizer.vocabulary != tiny.WORDS
        files = {one["file"]: one for one in result["exports"]}
        assert set(files) == {
            "saved_model", "student_float32.tflite", "student_dynamic.tflite",
        }  # fmt: skip
        model = LiteRTModel(run / "student_float32.tflite")
        assert model.labels == tiny.LABELS
        assert files["student_float32.tflite"]["scores"]["accuracy"] == (
            pytest.approx(seed["scores"]["accuracy"])
        )
        assert [one["model"] for one in result["run_times"]] == [
            "teacher", "student distilled", "student_float32.tflite",
            "student_dynamic.tflite",
        ]  # fmt: skip

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("task", "labels"),
        [("multi_label", ("bad", "good")), ("regression", ("-1", "1"))],
    )
    def test_files_say_what_the_task_says(
        self, run_recipe, tmp_path, monkeypatch, task, labels
    ):
        """The SavedModel has no softmax over labels, or over a number."""
        monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
        names = dict(zip(tiny.LABELS, labels))
        rows = [(text, names[label]) for text, label in tiny.make_rows(140)]
        teacher = (
            write_regression_teacher(tmp_path / "teacher")
            if task == "regression"
            else tiny.write_teacher(tmp_path / "teacher")
        )
        run = tmp_path / "run"
        status, _, err = run_recipe(
            "own_data", "--train", tiny.write_csv(tmp_path / "t.csv", rows),
            "--task", task, "--teacher", teacher, "--run", run, *SMALL,
            "--export", "float32",
        )  # fmt: skip
        assert status == 0, err
        served = tf.saved_model.load(run / "saved_model").signatures[
            "serving_default"
        ]
        answer = served(
            token_ids=tf.constant([[2, 9, 3]]),
            padding_mask=tf.constant([[1, 1, 1]]),
        )
        assert ("probabilities" in answer) is (task == "multi_label")
        if task == "multi_label":
            logits = answer["logits"].numpy()
            np.testing.assert_allclose(
                answer["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-5
            )
