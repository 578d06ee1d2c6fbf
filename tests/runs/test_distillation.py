"""A whole run in miniature, and the student that it ends with."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.data.errors import DataError
from keras_kd.data.rows import Rows
from keras_kd.data.sources import Example
from keras_kd.data.sources import read_examples
from keras_kd.distiller import Distiller
from keras_kd.export.errors import ExportError
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.runs import arm_training
from keras_kd.runs import teaching
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import distill
from keras_kd.runs.distillation import export_again
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.student_files import StudentFiles
from keras_kd.runs.teacher_checks import TeacherRefused
from tests import tiny


@pytest.fixture(scope="module")
def student(miniature):
    return TrainedStudent(miniature.run)


def refuse(*args, **kwargs):
    raise AssertionError("This is not to be called again.")


class TestRunFolder:
    def test_everything_is_there_and_nothing_half_written(self, miniature):
        names = {file.name for file in miniature.folder.iterdir()}
        assert names == {
            "config.json", "inputs.json", "metrics.json", "report.md",
            "task.json", "student.keras", "student_float32.tflite",
            "saved_model", "tokenizer", "validation_rows", "test_rows", "units",
            "cache",
            "learning_curves.png", "confusion_matrix.png",
            "score_against_size.png",
        }  # fmt: skip
        for file in miniature.folder.rglob("*"):
            assert "partial" not in file.name

    def test_result_is_stored(self, miniature):
        stored = json.loads((miniature.folder / "metrics.json").read_text())
        assert stored == json.loads(json.dumps(miniature.result))
        assert stored["command"] == "the command"
        assert stored["labels"] == tiny.LABELS
        assert stored["machine"]["versions"]["keras"] == keras.__version__

    def test_report_says_verdict_command_and_counts(self, miniature):
        report = (miniature.folder / "report.md").read_text()
        assert "**HELPED (provisional)**" in report
        assert "the command" in report
        assert "| unlabelled | 160 |" in report.replace("  ", " ")
        assert "student_float32.tflite" in report

    def test_user_is_told_what_happens(self, miniature):
        said = "\n".join(miniature.said)
        for words in (
            "12 labelled, 160 unlabelled, 24 validation and 80 test rows",
            "Labels: bad, good",
            "Warning: --intermediate has no effect: it is for transformer,",
            "The teacher scores 1.000 on validation.",
            "Training the student, alone, seed 0",
            "step 50/50",
            "student distilled",
            "HELPED",
            str(miniature.folder / "report.md"),
        ):
            assert words in said

    def test_tensorboard_has_both_trainings(self, miniature):
        for arm in ("alone", "distilled"):
            unit = miniature.run.unit(f"{arm}-0")
            files = list(unit.rglob("events.out.tfevents*"))
            folders = {file.parent.name for file in files}
            assert folders >= {"train", "distillation"}


class TestExports:
    def test_reports(self, miniature):
        saved_model, litert = miniature.result["exports"]
        assert saved_model["file"] == "saved_model"
        assert saved_model["signatures"] == ["serving_default", "text"]
        assert litert["file"] == "student_float32.tflite"
        assert litert["quantization"] == "float32"
        assert litert["rows"] == 24
        assert litert["max_difference"] < 1e-3
        assert litert["agreement"] == 1.0
        path = miniature.folder / litert["file"]
        assert litert["bytes"] == path.stat().st_size

    def test_file_holds_labels_and_vocabulary(self, miniature):
        model = LiteRTModel(miniature.folder / "student_float32.tflite")
        assert model.labels == tiny.LABELS
        assert model.length == tiny.LENGTH
        assert model.metadata["agreement"] == 1.0

    def test_second_run_does_nothing_twice(
        self, miniature, miniature_copy, monkeypatch
    ):
        folder = miniature_copy.folder
        files = ["student_float32.tflite", "saved_model"]
        before = [(folder / name).stat().st_mtime_ns for name in files]
        monkeypatch.setattr(Distiller, "fit", refuse)
        monkeypatch.setattr(StudentFiles, "litert", refuse)
        monkeypatch.setattr(StudentFiles, "saved_model", refuse)
        said = []
        result = distill(
            miniature.configuration, folder, "the command", say=said.append
        )
        assert result["exports"] == miniature.result["exports"]
        assert result["teacher_calls"] == 0
        assert not [line for line in said if "Writing" in line]
        after = [(folder / name).stat().st_mtime_ns for name in files]
        assert after == before

    def test_another_licence_is_written_into_the_file(
        self, miniature, miniature_copy, monkeypatch
    ):
        monkeypatch.setattr(StudentFiles, "saved_model", refuse)
        folder = miniature_copy.folder
        configuration = dataclasses.replace(
            miniature.configuration, licence="MIT"
        )
        distill(configuration, folder, say=lambda text: None)
        model = LiteRTModel(folder / "student_float32.tflite")
        assert model.metadata["licence"] == "MIT"

    def test_missing_file_is_written_again(self, miniature_copy, monkeypatch):
        (miniature_copy.folder / "student_float32.tflite").unlink()
        exported = []

        def export_litert(self, quantization):
            exported.append(quantization)
            return {"file": f"student_{quantization}", "format": "none"}

        monkeypatch.setattr(StudentFiles, "litert", export_litert)
        monkeypatch.setattr(StudentFiles, "saved_model", refuse)
        distill(
            miniature_copy.configuration,
            miniature_copy.folder,
            say=lambda text: None,
        )
        assert exported == ["float32"]

    def test_one_that_fails_costs_nothing_else(
        self, miniature_copy, monkeypatch
    ):
        folder = miniature_copy.folder
        configuration = dataclasses.replace(
            miniature_copy.configuration, export=["dynamic", "float32"]
        )
        (folder / "report.md").unlink()
        litert = StudentFiles.litert

        def fails(self, quantization):
            if quantization == "dynamic":
                raise ExportError("It decides as Keras does on 96.00%.")
            return litert(self, quantization)

        message = r"'dynamic' was not written: It decides .* --export, or try"
        with monkeypatch.context() as patched:
            patched.setattr(StudentFiles, "litert", fails)
            with pytest.raises(ExportError, match=message):
                distill(configuration, folder, say=lambda text: None)
        report = (folder / "report.md").read_text()
        assert "HELPED" in report or "NO EFFECT" in report
        assert "The file 'dynamic' was not written: It decides" in report
        assert "student_float32.tflite" in report
        # What is said of it goes as soon as it is there.
        export_again(folder, ["dynamic"])
        report = (folder / "report.md").read_text()
        assert "was not written" not in report
        assert "student_dynamic.tflite" in report

    def test_another_student_is_exported_again(
        self, miniature_copy, monkeypatch
    ):
        unit = miniature_copy.unit("distilled-0")
        shutil.copy(miniature_copy.unit("alone-0") / "student.keras", unit)
        exported = []
        monkeypatch.setattr(
            StudentFiles,
            "write",
            lambda files, name: (
                exported.append(name) or {"file": name, "format": "none"}
            ),
        )
        distill(
            miniature_copy.configuration,
            miniature_copy.folder,
            say=lambda text: None,
        )
        assert exported == ["saved_model", "float32"]

    def test_exports_and_runs_keep_each_others_scores(
        self, miniature, miniature_copy, monkeypatch
    ):
        folder = miniature_copy.folder
        shutil.copy(
            folder / "student_float32.tflite",
            folder / "student_float16.tflite",
        )
        scored, score_rows = [], TrainedStudent.score_rows

        def watch(self, rows, file=None):
            scored.append(None if file is None else file.name)
            return score_rows(self, rows, file)

        def export_litert(self, quantization):
            return {
                "file": f"student_{quantization}.tflite",
                "format": "litert",
                "quantization": quantization,
                "bytes": 7,
            }

        monkeypatch.setattr(TrainedStudent, "score_rows", watch)
        monkeypatch.setattr(StudentFiles, "litert", export_litert)
        monkeypatch.setattr(StudentFiles, "saved_model", refuse)

        def scores():
            """Of each file: how many test rows it was scored on."""
            stored = json.loads((folder / "metrics.json").read_text())
            return {
                export["file"]: export["scores"]["rows"]
                for export in stored["exports"]
                if "scores" in export
            }

        assert scores() == {"student_float32.tflite": 80}
        both = {"student_float32.tflite": 80, "student_float16.tflite": 80}
        # Another format: the first one is not scored again.
        said = []
        (report,) = export_again(folder, ["float16"], said.append)
        assert report["scores"]["accuracy"] > 0.9
        assert scored == [None, "student_float16.tflite"]
        assert scores() == both
        (line,) = said
        assert "student_float16.tflite: accuracy" in line
        assert "on 80 test rows (Keras:" in line
        # A run afterwards scores nothing again, and keeps all.
        scored.clear()
        distill(miniature.configuration, folder, say=lambda text: None)
        assert set(scored) == {None}
        assert scores() == both
        # A file that is written again is scored again, it alone.
        scored.clear()
        export_again(folder, ["float32"])
        assert scored == [None, "student_float32.tflite"]
        assert scores() == both

    def test_files_of_an_earlier_student_are_written_again(
        self, miniature_copy, monkeypatch
    ):
        # One that `keras-kd export` has added, too: it must not stay.
        folder = miniature_copy.folder
        exported = []

        def write(files, name):
            exported.append(name)
            if len(exported) == 4:
                raise ExportError("The largest difference is 1.0.")
            (folder / f"{name}.file").write_text(name)
            return {
                "file": f"{name}.file", "format": name, "quantization": name
            }  # fmt: skip

        monkeypatch.setattr(StudentFiles, "write", write)
        export_again(folder, ["float16"])
        unit = miniature_copy.unit("distilled-0")
        shutil.copy(miniature_copy.unit("alone-0") / "student.keras", unit)
        with pytest.raises(ExportError):
            distill(miniature_copy.configuration, folder, say=lambda text: None)
        assert exported == ["float16", "saved_model", "float32", "float16"]
        # Nor does it where it can't be written of the new student.
        assert not (folder / "float16.file").exists()
        assert not (folder / "student_float32.tflite").exists()

    def test_a_cell_of_a_study_becomes_a_run(self, miniature_copy, monkeypatch):
        # It has a result, and no student yet.
        folder = miniature_copy.folder
        result = json.loads((folder / "metrics.json").read_text())
        del result["exports"]
        (folder / "metrics.json").write_text(json.dumps(result))
        (folder / "student.keras").unlink()
        monkeypatch.setattr(
            StudentFiles,
            "write",
            lambda files, name: {"file": name, "format": name},
        )
        distill(miniature_copy.configuration, folder, say=lambda text: None)
        assert (folder / "student.keras").is_file()
        result = json.loads((folder / "metrics.json").read_text())
        assert [e["file"] for e in result["exports"]] == [
            "saved_model",
            "float32",
        ]

    def test_unfinished_run_has_nothing_to_add_to(self, miniature_copy):
        (miniature_copy.folder / "metrics.json").unlink()
        with pytest.raises(ConfigurationError, match="it was not finished"):
            export_again(miniature_copy.folder, ["float16"])

    @pytest.mark.slow
    def test_every_format_again(self, miniature_copy):
        folder = miniature_copy.folder
        formats = ["saved_model", "float16", "dynamic"]
        reports = export_again(folder, formats)
        assert reports[1]["max_difference"] < 5e-3
        assert reports[2]["agreement"] >= 0.97
        stored = json.loads((folder / "metrics.json").read_text())
        assert [export["file"] for export in stored["exports"]] == [
            "saved_model",
            "student_float32.tflite",
            "student_float16.tflite",
            "student_dynamic.tflite",
        ]
        student = TrainedStudent(miniature_copy)
        for name in ("student_float16.tflite", "student_dynamic.tflite"):
            assert name in (folder / "report.md").read_text()
            rows = read_examples(miniature_copy.configuration.test)
            scores = student.score(rows, folder / "rows", name)
            assert scores["accuracy"] > 0.95

    def test_export_of_another_format_is_added(
        self, miniature_copy, monkeypatch
    ):
        report = {"file": "student_float16.tflite", "format": "none"}
        monkeypatch.setattr(
            StudentFiles,
            "litert",
            lambda self, name: {**report, "asked": name},
        )
        folder = miniature_copy.folder
        received = export_again(folder, ["float16"])
        assert received == [{**report, "asked": "float16"}]
        stored = json.loads((folder / "metrics.json").read_text())
        assert [export["file"] for export in stored["exports"]] == [
            "saved_model",
            "student_float32.tflite",
            "student_float16.tflite",
        ]
        assert "student_float16.tflite" in (folder / "report.md").read_text()

    def test_export_of_the_same_format_replaces_its_report(
        self, miniature_copy, monkeypatch
    ):
        report = {
            "file": "student_float32.tflite",
            "format": "none",
            "bytes": 7,
        }
        monkeypatch.setattr(StudentFiles, "litert", lambda self, name: report)
        export_again(miniature_copy.folder, ["float32"])
        stored = json.loads(
            (miniature_copy.folder / "metrics.json").read_text()
        )
        assert [e["file"] for e in stored["exports"]] == [
            "saved_model",
            "student_float32.tflite",
        ]
        assert stored["exports"][1]["bytes"] == 7


class TestRefusedTeacher:
    """A teacher that is of no use must not block the run's folder."""

    def test_better_trained_one_takes_its_place(self, tmp_path, monkeypatch):
        trained = []

        def fine_tune(teacher, task, rows, validation, configuration, folder,
                      say):  # fmt: skip
            trained.append(configuration.teacher_epochs)
            write_json(folder / "result.json", {})

        monkeypatch.setattr(teaching, "fine_tune", fine_tune)
        monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
        settings = {
            **tiny.write_data(tmp_path / "data"),
            "max_length": tiny.LENGTH,
            "fine_tune_teacher": True,
            "arms": ["teacher", "alone"],
            "steps": 2,
        }
        useless = tiny.write_teacher(tmp_path / "useless", scale=0.0)
        good = tiny.write_teacher(tmp_path / "good")
        folder = tmp_path / "run"

        def run(**changed):
            said = []
            configuration = Configuration(**settings, **changed)
            distill(configuration, folder, say=said.append)
            return "\n".join(said)

        with pytest.raises(TeacherRefused, match="Fine-tune the teacher long"):
            run(teacher=useless)
        # The same again: it is examined again, and not trained again.
        with pytest.raises(TeacherRefused, match="Fine-tune the teacher long"):
            run(teacher=useless)
        assert trained == [3.0]
        said = run(teacher=good, teacher_epochs=5.0)
        assert trained == [3.0, 5.0]
        assert "The teacher that was refused is dropped" in said
        assert str(folder / "teacher") in said
        assert "The teacher scores 1.000" in said
        assert not (folder / "teacher_refused.json").exists()
        assert (folder / "teacher" / "teacher.json").exists()
        with pytest.raises(ConfigurationError, match="A run stands in"):
            run(teacher=good, teacher_epochs=6.0)


class TestStudent:
    def test_predicts_what_the_words_say(self, student):
        texts = ["the film was great", "a dull, thin film", "GRIM was it"]
        predicted = student.predict(texts)
        assert [label for label, _ in predicted] == ["good", "bad", "bad"]
        assert all(0.5 < probability <= 1 for _, probability in predicted)

    def test_probability_is_the_softmax_of_the_logits(self, student):
        ids = [[tiny.WORDS.index(w) for w in ("[CLS]", "film", "[SEP]")]]
        logits = student.model.predict(
            {"token_ids": np.array(ids), "padding_mask": np.ones((1, 3), int)},
            verbose=0,
        )[0].astype("float64")
        expected = np.exp(logits).max() / np.exp(logits).sum()
        ((label, probability),) = student.predict(["film"])
        assert label == tiny.LABELS[logits.argmax()]
        assert probability == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("text", ["", "   ", "word " * 100, "😀 [SEP]"])
    def test_odd_texts(self, student, text):
        ((label, probability),) = student.predict([text])
        assert label in tiny.LABELS
        assert 0.5 <= probability <= 1

    def test_no_texts(self, student):
        assert student.predict([]) == []

    def test_score_is_that_of_the_report(self, student, miniature, tmp_path):
        scores = student.score(
            read_examples(miniature.configuration.test), tmp_path / "rows"
        )
        (seed,) = miniature.result["arms"]["distilled"]["seeds"]
        assert scores["rows"] == 80
        assert scores["confusion"] == seed["scores"]["confusion"]
        assert scores["per_class"] == seed["scores"]["per_class"]
        for key in ("nll", "ece"):
            assert scores[key] == pytest.approx(seed["scores"][key], abs=1e-5)

    def test_score_of_the_file_is_that_of_the_student(
        self, student, miniature, tmp_path
    ):
        # Labels that are not always as the words say, so that it can differ.
        rows = [
            Example(f"row:{i}", (text,), tiny.LABELS[i % 3 % 2])
            for i, (text, _) in enumerate(tiny.make_rows(30, seed=8))
        ]
        keras_scores = student.score(rows, tmp_path / "rows")
        file_scores = student.score(
            rows,
            tmp_path / "rows",
            miniature.folder / "student_float32.tflite",
        )
        assert 0.2 < keras_scores["accuracy"] < 0.8
        assert file_scores["confusion"] == keras_scores["confusion"]
        assert file_scores["nll"] == pytest.approx(
            keras_scores["nll"], abs=1e-4
        )

    def test_rows_without_a_label_do_not_count(self, student, tmp_path):
        rows = [
            Example("a:1", ("a great film",), "good"),
            Example("a:2", ("a great film",), None),
            Example("a:3", ("a grim film",), "bad"),
        ]
        scores = student.score(rows, tmp_path / "rows")
        assert scores["rows"] == 2
        assert scores["accuracy"] == 1.0

    def test_rows_without_any_label_are_refused(self, student, tmp_path):
        rows = [Example("a.csv:2", ("a film",), None)]
        with pytest.raises(DataError, match="None of the 1 given rows has"):
            student.score(rows, tmp_path / "rows")

    def test_unknown_label_is_refused_by_its_row(self, student, tmp_path):
        rows = [Example("a.csv:2", ("a film",), "splendid")]
        with pytest.raises(DataError, match="a.csv:2: unknown label 'splen"):
            student.score(rows, tmp_path / "rows")

    def test_unfinished_run_is_refused(self, tmp_path, miniature):
        run = RunFolder.start(tmp_path / "run", miniature.configuration)
        with pytest.raises(ConfigurationError) as error:
            TrainedStudent(run)
        assert "has no student.keras. It was not finished" in str(error.value)
        assert "start `keras-kd distill` again" in str(error.value)

    def test_cell_of_a_study_is_refused(self, miniature_copy):
        (miniature_copy.folder / "student.keras").unlink()
        with pytest.raises(ConfigurationError) as error:
            TrainedStudent(miniature_copy)
        assert "It was finished without one, as the cells" in str(error.value)
        assert "config.json` with a --run folder" in str(error.value)

    def test_run_without_a_student_is_refused(self, tmp_path):
        run = RunFolder.start(tmp_path / "run", Configuration(arms=["teacher"]))
        with pytest.raises(ConfigurationError) as error:
            TrainedStudent(run)
        assert "Its arms are ['teacher']" in str(error.value)
        assert "add 'distilled' to --arms" in str(error.value)

    def test_student_loads_where_keras_kd_is_not_installed(self, student):
        script = (
            "import sys; sys.modules['keras_kd'] = None\n"
            "import keras, json, numpy as np\n"
            "model = keras.models.load_model(sys.argv[1])\n"
            "ids = np.arange(1, 9).reshape(2, 4)\n"
            "logits = model.predict({'token_ids': ids, 'padding_mask':"
            " np.ones((2, 4), int)}, verbose=0)\n"
            "print(json.dumps(logits.tolist()))\n"
        )
        finished = subprocess.run(
            [sys.executable, "-c", script, student.folder / "student.keras"],
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr[-2000:]
        received = json.loads(finished.stdout.splitlines()[-1])
        expected = student.model.predict(
            {
                "token_ids": np.arange(1, 9).reshape(2, 4),
                "padding_mask": np.ones((2, 4), int),
            },
            verbose=0,
        )
        np.testing.assert_allclose(received, expected, atol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 2, "heads": 1},
        pytest.param({}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_student_of_its_teachers_layers_is_exported(tmp_path, sizes):
    configuration = Configuration(
        **tiny.write_data(tmp_path / "data", train=24, test=40, unlabelled=40),
        teacher=tiny.write_bert(tmp_path / "bert"),
        student="bert",
        teacher_layers=[0],
        max_length=tiny.LENGTH,
        dropout=0.0,
        batch_size=16,
        learning_rate=0.01,
        steps=10,
        evaluate_every=10,
        arms=["distilled"],
        export=["float32"],
        **sizes,
    )
    result = distill(configuration, tmp_path / "run", say=lambda text: None)
    saved_model, litert = result["exports"]
    assert saved_model["signatures"] == ["serving_default", "text"]
    assert litert["agreement"] == saved_model["agreement"] == 1.0
    student = TrainedStudent(RunFolder.open(tmp_path / "run"))
    layer = student.model.get_layer("transformer_layer_0")
    assert layer.output.shape[-1] == sizes.get("width", 4)
    assert set(student.model.input) == {
        "token_ids", "segment_ids", "padding_mask"
    }  # fmt: skip
    if not sizes:
        answers = [answer for answer, _ in student.predict(tiny.GOOD[:3])]
        assert answers == ["good"] * 3
    model = LiteRTModel(tmp_path / "run" / "student_float32.tflite")
    assert set(model.input_names) == set(student.model.input)


def test_students_teach(miniature, tmp_path):
    """Those of runs of labels alone, and several as one teacher."""
    folders = [tmp_path / name for name in ("gru", "bag")]
    for folder, kind in zip(folders, ("bigru", "bag")):
        configuration = dataclasses.replace(
            miniature.configuration, student=kind, arms=["alone"]
        )
        result = distill(configuration, folder, say=lambda text: None)
        assert result["run_times"][1]["model"] == "student alone"
        assert result["title"] == f"{kind}-1 alone"
        assert [one["agreement"] for one in result["exports"]] == [1.0, 1.0]
    students = [TrainedStudent(RunFolder.open(folder)) for folder in folders]
    configuration = dataclasses.replace(
        miniature.configuration,
        teacher=[str(folder) for folder in folders],
        cache=str(tmp_path / "cache"),
        teacher_floor=0,
        arms=["teacher", "distilled"],
    )
    result = distill(configuration, tmp_path / "taught", say=lambda text: None)
    assert result["teachers"] == [(str(folder), 0.5) for folder in folders]
    report = (tmp_path / "taught" / "report.md").read_text()
    assert f"weights: {folders[0]} (0.500), {folders[1]} (0.500)." in report
    rows = Rows.open(tmp_path / "taught" / "test_rows")
    mean = np.mean([student.logits(rows) for student in students], axis=0)
    task = students[0].task
    expected = task.scores(mean, task.references(rows))
    (teacher,) = result["arms"]["teacher"]["seeds"]
    name = task.loss_of_scores
    assert teacher["scores"][name] == pytest.approx(expected[name], rel=1e-5)
