"""Bad input: one clear message, status 1, and nothing half-written.

Everything goes through the command line, as a person meets it.
"""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_kd.cli import main
from keras_kd.data import rows as rows_module
from keras_kd.distiller import Distiller
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.runs import arm_training
from keras_kd.runs.run_folder import REFUSAL_FILE
from tests import tiny

PROJECT = Path(__file__).resolve().parents[1]
# What a run that was refused may leave: its settings, why, and whole caches.
HARMLESS = {"config.json", "inputs.json", "cache", REFUSAL_FILE}
GOOD = "the film was great,good\nit was grim,bad\n"


@pytest.fixture
def settings(tmp_path):
    """A good command line in miniature; tests spoil one thing of it."""
    return {
        **tiny.write_data(tmp_path / "data", train=20, test=20, unlabelled=20),
        "teacher": tiny.write_teacher(tmp_path / "teacher"),
        "run": tmp_path / "run",
        "max_length": tiny.LENGTH,
        "width": 4,
        "embedding_dim": 4,
        "batch_size": 8,
        "steps": 2,
        "evaluate_every": 1,
        "arms": "alone distilled",
        "export": "",
    }


@pytest.fixture
def distill(settings, capsys):
    """Runs `keras-kd distill`: `(status, output, errors)`."""

    def distill(**changes):
        arguments = ["distill"]
        for name, value in {**settings, **changes}.items():
            if value is None:
                continue
            arguments.append("--" + name.replace("_", "-"))
            several = name in ("arms", "export", "labels")
            arguments += str(value).split() if several else [str(value)]
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return distill


@pytest.fixture
def refused(distill, settings, tmp_path):
    """Runs it, and checks that it was refused with these words."""

    def refused(*words, **changes):
        status, _, err = distill(**changes)
        assert status == 1
        assert err.startswith("keras-kd: ")
        assert err.count("keras-kd: ") == 1
        assert "Traceback" not in err
        for word in words:
            assert word in err, err
        run = Path(changes.get("run", settings["run"]))
        if run.is_dir():
            assert {file.name for file in run.iterdir()} <= HARMLESS
        check_nothing_half_written(tmp_path)

    return refused


def check_nothing_half_written(folder):
    for file in folder.rglob("*"):
        assert "partial" not in file.name
    for rows in folder.rglob("cache/rows/*"):
        assert (rows / "manifest.json").exists()


@pytest.fixture
def write(tmp_path):
    """Writes a file of data; gives its path."""

    def write(content, name="bad.csv"):
        path = tmp_path / name
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        return path

    return write


class TestFiles:
    @pytest.mark.parametrize(
        "part", ["train", "validation", "test", "unlabelled"]
    )
    def test_missing(self, refused, tmp_path, part):
        path = tmp_path / "nowhere.csv"
        refused(f"{path} is not there", "Expected a file", **{part: path})

    def test_folder(self, refused, tmp_path):
        (tmp_path / "folder.csv").mkdir()
        refused("is a folder. Expected a file", train=tmp_path / "folder.csv")

    @pytest.mark.parametrize("part", ["train", "unlabelled"])
    def test_empty(self, refused, write, part):
        path = write("")
        refused(f"{path} is empty (0 bytes)", "Expected", **{part: path})

    def test_header_alone(self, refused, write):
        path = write("text,label\n")
        refused(f"{path} has no rows", "at least one", train=path)

    def test_unknown_kind(self, refused, write):
        refused("bad.xlsx", ".csv", ".parquet", train=write("x", "bad.xlsx"))

    def test_damaged_gzip(self, refused, write):
        packed = gzip.compress(f"text,label\n{GOOD}".encode())[:-9]
        path = write(packed, "bad.csv.gz")
        refused("is no whole gzip file", "Copy it again", train=path)

    def test_undecodable_bytes(self, refused, write):
        path = write(b"text,label\nit was great,good\nit was caf\xe9,bad\n")
        refused(
            f"{path}, line 3: byte 39 (0xe9) is not utf-8",
            "Save the file as UTF-8",
            train=path,
        )


class TestColumns:
    def test_wrong_delimiter(self, refused, write):
        path = write("text;label\nit was great;good\n")
        refused(
            f"{path} has no column 'text'",
            "semicolon (';') splits the line into 2 columns",
            "delimiter=';'",
            train=path,
        )

    def test_delimiter_of_two_characters(self, refused):
        refused("one character", "Received: '||'", delimiter="||")

    @pytest.mark.parametrize(
        ("column", "known"), [("text", "sentence"), ("label", "stars")]
    )
    def test_missing(self, refused, write, column, known):
        header = {"text": "text", "label": "label", column: known}
        path = write(f"{header['text']},{header['label']}\n{GOOD}")
        refused(f"{path} has no column '{column}'", f"'{known}'", train=path)

    def test_near_name(self, refused, write):
        path = write(f"Text,label\n{GOOD}")
        refused("has no column 'text'", "Did you mean 'Text'?", train=path)

    def test_ragged_row(self, refused, write):
        path = write(f"text,label\n{GOOD}great, truly,good\n")
        refused(f"{path}, line 4: 3 columns. Expected 2", "Quote", train=path)

    def test_quote_that_does_not_end(self, refused, write):
        path = write(f'text,label\n{GOOD}"the film,good\n')
        refused(f"{path}: the row that begins in line 4", train=path)

    def test_broken_json(self, refused, write):
        path = write('{"text": "a", "label": "b"}\n{"text": \n', "bad.jsonl")
        refused(f"{path}, line 2", "no JSON", train=path)

    def test_missing_key(self, refused, write):
        path = write(
            '{"text": "a", "label": "b"}\n{"text": "c"}\n', "bad.jsonl"
        )
        refused(f"{path}, row 2: no column 'label'", train=path)


class TestLabels:
    @pytest.mark.parametrize("part", ["validation", "test"])
    def test_unknown(self, refused, write, part):
        path = write(f"text,label\n{GOOD}it was so-so,fair\n")
        refused(
            "bad.csv:4: unknown label 'fair'",
            "['bad', 'good']",
            "Correct the row",
            **{part: path},
        )

    @pytest.mark.parametrize("part", ["train", "validation", "test"])
    def test_one_class(self, refused, write, part):
        path = write("text,label\n" + "the film was great,good\n" * 20)
        refused("'good'", "Two classes or more", "label", **{part: path})

    def test_one_class_that_no_teacher_knows(self, refused, write):
        path = write("text,label\n" + "the film was great,fair\n" * 20)
        refused("needs two or more different classes", "['fair']", train=path)

    @pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity"])
    @pytest.mark.parametrize("part", ["train", "test"])
    def test_not_finite(self, refused, write, part, value):
        path = write(f"text,label\n{GOOD}it was great,{value}\n")
        refused(
            f"{path}, row 4: the label is {value}, not a finite value",
            "Expected",
            **{part: path},
        )

    def test_none_at_all(self, refused, write):
        path = write("text,label\nthe film was great,\nit was grim,\n")
        refused("No row has a label", "Check the label column", train=path)

    def test_hidden_in_the_test_file(self, refused, write):
        path = write("text,label\nthe film was great,\nit was grim,\n")
        refused("None of the 2 test rows has a label", "bad.csv:2", test=path)

    def test_too_few_rows_to_split(self, refused, write):
        path = write(f"text,label\n{GOOD}")
        refused(
            "no rows", "Give more rows", train=path, validation=None, test=None
        )

    def test_given_names_that_lack_one(self, refused):
        refused(
            "unknown label",
            "['bad', 'fair']",
            "or give --labels that have it",
            labels="bad fair",
        )


class TestEmptyTexts:
    def test_counted_reported_and_kept(self, distill, settings, write):
        rows = "".join(
            f"{text},{label}\n" for text, label in tiny.make_rows(18)
        )
        path = write(f"text,label\n{rows},good\n   ,bad\n")
        status, _, err = distill(train=path, arms="teacher")
        assert status == 0, err
        result = json.loads((settings["run"] / "metrics.json").read_text())
        assert result["data"]["train"] == 20
        assert result["data"]["empty_texts"]["train"] == 2
        assert result["data"]["empty_texts"]["test"] == 0
        report = (settings["run"] / "report.md").read_text()
        (line,) = [
            line for line in report.splitlines() if "empty texts: train" in line
        ]
        assert line.split("|")[2].strip() == "2"


class TestTeachers:
    def test_missing(self, refused, tmp_path):
        folder = tmp_path / "no-teacher"
        refused(
            f"There is no folder '{folder}'",
            "Expected a Hugging Face model folder",
            teacher=folder,
        )

    def test_without_a_tokenizer(self, refused, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert", tokenizer=False)
        refused(f"No tokenizer was found in {folder}", teacher=folder)

    def test_without_a_head_where_one_is_needed(
        self, distill, settings, tmp_path, capsys
    ):
        folder = tiny.write_bert(tmp_path / "bert", head=False)
        arguments = [
            "distill", "--train", settings["train"], "--teacher", folder,
            "--run", str(tmp_path / "run"), "--no-fine-tune-teacher",
        ]  # fmt: skip
        assert main(arguments) == 1
        err = capsys.readouterr().err
        assert "has no classification head" in err
        assert "Switch it on, or give a teacher" in err

    def test_with_other_classes(self, refused, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert", num_labels=3)
        # Its own three names hold where the data has some of them ...
        refused(
            "gives 3 logits, the task has 2 classes: ['bad', 'good']",
            teacher=folder,
            labels="bad good",
        )

    def test_with_more_classes_than_the_data_has(self, distill, tmp_path):
        # ... and a class that never occurs is no error.
        folder = tiny.write_bert(tmp_path / "bert", num_labels=3)
        status, out, err = distill(teacher=folder, arms="teacher")
        assert status == 0, err

    def test_softmaxed(self, refused, tmp_path):
        folder = tiny.write_teacher(tmp_path / "soft", activation="softmax")
        refused("they are probabilities", "raw logits", teacher=folder)

    def test_below_its_floor(self, refused, tmp_path):
        folder = tiny.write_teacher(tmp_path / "weak", scale=0.0)
        refused(
            "The teacher's accuracy is 0.500",
            "the floor is 0.500",
            "Give another one, or train it further in a run of its own",
            teacher=folder,
        )

    def test_of_another_label_order(self, refused, tmp_path):
        folder = tiny.write_teacher(
            tmp_path / "flipped", labels=["good", "bad"]
        )
        refused(
            "in the order ['good', 'bad']",
            "read as ['bad', 'good']",
            "--labels",
            teacher=folder,
        )

    def test_shorter_than_the_rows(self, refused, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        refused("max-length must be at most 32", teacher=folder, max_length=64)

    def test_damaged_weights(self, refused, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        weights = Path(folder, "model.safetensors")
        weights.write_bytes(weights.read_bytes()[:-20])
        refused("model.safetensors", teacher=folder)

    def test_damaged_settings(self, refused, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        Path(folder, "config.json").write_text('{"model_type": ')
        refused("config.json", "JSON", teacher=folder)

    def test_that_gives_nan(self, refused, tmp_path):
        folder = tiny.write_teacher(tmp_path / "nan", scale=float("nan"))
        refused("NaN or infinite", "Check the teacher's", teacher=folder)


class TestStudents:
    def test_other_outputs_than_the_cached_targets(self):
        student = tiny_classifier(outputs=3)
        distiller = Distiller(student, losses=[SoftTargets()])
        distiller.compile(keras.optimizers.SGD())
        targets = {"teacher": {"logits": np.zeros((4, 2), "float32")}}
        with pytest.raises(ValueError) as error:
            distiller.fit(
                {"token_ids": np.ones((4, 3), "int32")}, targets, verbose=0
            )
        assert "3 logits of the student and 2 of the teacher" in str(
            error.value
        )
        assert "Build the student with the teacher's number" in str(error.value)

    def test_other_outputs_than_the_live_teacher(self):
        with pytest.raises(ValueError) as error:
            Distiller(tiny_classifier(outputs=3), tiny_classifier(outputs=2))
        assert "the same number of outputs" in str(error.value)
        assert "{'logits': (3, 2)}" in str(error.value)
        assert "Build the student with" in str(error.value)

    def test_softmaxed(self):
        with pytest.raises(ValueError, match="must give raw logits"):
            Distiller(tiny_classifier(activation="softmax"))

    def test_heads_that_do_not_fit_the_width(self, refused):
        refused(
            "--heads must be a divisor of --width, which is 6. Received: 4.",
            student="transformer",
            width=6,
        )

    def test_word_vectors_that_are_not_there(self, refused):
        refused(
            "There is no file 'glove.txt'. Expected with --embeddings: random,",
            embeddings="glove.txt",
        )


def tiny_classifier(outputs=2, activation=None):
    inputs = {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids")
    }
    x = keras.layers.Embedding(9, 2)(inputs["token_ids"])
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dense(outputs, activation=activation, name="logits")(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("temperature", "0", "above 0"),
        ("temperature", "-2", "above 0"),
        ("temperature", "nan", "above 0"),
        ("alpha", "-0.5", "from 0 to 1"),
        ("alpha", "1.1", "from 0 to 1"),
        ("learning_rate", "-1", "above 0"),
        ("steps", "0", "above 0"),
        ("max_length", "2", "8 or more"),
    ],
)
def test_numbers_out_of_range(refused, settings, name, value, allowed):
    flag = "--" + name.replace("_", "-")
    refused(f"{flag} must be {allowed}", f"Received: {value}", **{name: value})
    assert not settings["run"].exists()


class TestRunFolders:
    def test_of_something_else(self, distill, tmp_path):
        folder = tmp_path / "thesis"
        folder.mkdir()
        (folder / "chapter1.txt").write_text("Once")
        status, _, err = distill(run=folder)
        assert status == 1
        assert f"'{folder}' has files in it, and is not a run" in err
        assert [file.name for file in folder.iterdir()] == ["chapter1.txt"]

    def test_file_in_its_place(self, refused, write):
        refused("is a file", run=write("text", "run.txt"))

    def test_correction_of_a_refused_run_goes_on(self, refused, distill, write):
        path = write(f"text,label\n{GOOD}it was so-so,fair\n")
        refused("unknown label", test=path)
        status, _, err = distill(arms="teacher")
        assert status == 0, err


class DiskFull:
    """Breaks one way of writing, until it is mended."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def error(self):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def rows(self):
        append, calls = rows_module._ColumnWriter.append, []

        def full(writer, value):
            calls.append(value)
            if len(calls) > 100:
                raise self.error()
            append(writer, value)

        self.monkeypatch.setattr(rows_module._ColumnWriter, "append", full)

    def shards(self):
        def full(tensors, path):
            Path(path).write_bytes(b"half")
            raise self.error()

        self.monkeypatch.setattr(safetensors.numpy, "save_file", full)

    def student(self):
        def full(model, path):
            Path(path).write_bytes(b"half")
            raise self.error()

        self.monkeypatch.setattr(keras.Model, "save", full)


class TestFullDisk:
    @pytest.mark.parametrize("what", ["rows", "shards"])
    def test_before_the_training(
        self, refused, distill, settings, tmp_path, monkeypatch, what
    ):
        with monkeypatch.context() as patched:
            getattr(DiskFull(patched), what)()
            refused("The disk is full", "No space left", "Free some space")
        assert not list(tmp_path.rglob("*.safetensors"))
        # With some space, the same command goes on.
        status, _, err = distill(arms="teacher")
        assert status == 0, err

    def test_in_the_training(self, distill, settings, tmp_path, monkeypatch):
        monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
        unit = settings["run"] / "units" / "alone-0"
        with monkeypatch.context() as patched:
            DiskFull(patched).student()
            status, _, err = distill(arms="alone")
        assert status == 1
        assert err.startswith("keras-kd: The disk is full")
        check_nothing_half_written(tmp_path)
        assert {file.name for file in unit.iterdir()} <= {"tensorboard"}
        status, _, err = distill(arms="alone")
        assert status == 0, err
        keras.saving.load_model(unit / "student.keras")
        assert (unit / "result.json").exists()
        assert (settings["run"] / "report.md").exists()


class TestCtrlC:
    def test_while_rows_are_written(
        self, distill, settings, tmp_path, monkeypatch
    ):
        with monkeypatch.context() as patched:
            broken = DiskFull(patched)
            broken.error = KeyboardInterrupt
            broken.rows()
            status, _, err = distill()
        assert status == 130
        assert "the same command goes on" in err
        assert "Traceback" not in err
        check_nothing_half_written(tmp_path)

    @pytest.mark.slow
    def test_signal_in_the_training(self, settings, tmp_path):
        # A background job of a shell is started with Ctrl-C ignored.
        script = (
            "import signal, sys; from keras_kd.cli import main; "
            "signal.signal(signal.SIGINT, signal.default_int_handler); "
            "sys.exit(main(sys.argv[1:]))"
        )
        arguments = [sys.executable, "-c", script, "distill"]
        for name, value in {**settings, "steps": 10_000}.items():
            arguments += ["--" + name.replace("_", "-"), *str(value).split()]
        arguments[arguments.index("--evaluate-every") + 1] = "20"
        process = subprocess.Popen(
            arguments,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        student = settings["run"] / "units" / "alone-0" / "student.keras"
        while not student.exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "the same command goes on" in err
        assert "Traceback" not in err
        check_nothing_half_written(tmp_path)
