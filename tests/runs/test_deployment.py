"""Files of other lengths than that of the run."""

import numpy as np
import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.sources import Example
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.runs import student_files
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import _earlier_exports
from keras_kd.runs.distillation import export_again
from keras_kd.runs.exported_student import ExportedStudent
from keras_kd.runs.student_files import StudentFiles
from tests import tiny


@pytest.fixture
def student(miniature_copy):
    return TrainedStudent(miniature_copy)


def long_examples():
    """The word that decides stands in front; each text has 12 words."""
    for index, (word, label) in enumerate(
        [(tiny.GOOD[0], "good"), (tiny.BAD[0], "bad")] * 6
    ):
        text = " ".join([word] * 2 + ["film"] * 10)
        yield Example(f"row-{index}", (text,), label)


def test_a_file_of_any_length(student):
    (report,) = export_again(student.folder, ["float32/dynamic"])
    assert report["file"] == "student_float32_length_dynamic.tflite"
    assert report["max_difference"] < 1e-5
    assert report["scores"]["accuracy"] > 0.9
    model = LiteRTModel(student.folder / report["file"])
    assert model.length is None
    assert model.metadata["max_length"] is None
    # A later run finds it by what it was asked for.
    earlier, _ = _earlier_exports(student.run)
    assert set(earlier) == {"saved_model", "float32", "float32/dynamic"}
    assert earlier["float32/dynamic"] == report


def test_a_shorter_file_is_scored_on_cut_texts(student, tmp_path):
    # The student was trained with 8; its rows are not cut there.
    student.max_length = 14
    file = StudentFiles(student).litert("float32", "10")["file"]
    assert file == "student_float32_length_10.tflite"
    assert LiteRTModel(student.folder / file).length == 10
    scores = student.score(long_examples(), tmp_path / "rows", file)
    assert scores["rows"] == 12
    assert scores["accuracy"] == 1.0


def test_cut_rows_end_with_the_special_token(student, tmp_path):
    rows = student.task.make_rows(
        list(long_examples()), student.tokenizer, tmp_path / "rows", 14
    )
    rows = student.read_again(rows, student.tokenizer, 10)
    names = ("token_ids", "padding_mask")
    inputs = gather_inputs(rows, np.array([0, 1]), names, 10)
    assert inputs["token_ids"].shape == (2, 10)
    assert (inputs["token_ids"][:, -1] == student.tokenizer.sep_id).all()
    assert inputs["padding_mask"].all()


@pytest.mark.parametrize("length", ["9", 1000, "short", "-8"])
def test_lengths_that_there_are_not(student, length):
    with pytest.raises(ConfigurationError, match="`length` must be 'dynamic'"):
        StudentFiles(student).litert("float32", length)


def test_a_length_that_no_text_fits_into(student):
    with pytest.raises(ValueError, match="must be 8 or more.*Received: 3"):
        StudentFiles(student).litert("float32", "3")


def test_the_licence_goes_into_the_file(student, monkeypatch):
    given = {}
    monkeypatch.setattr(
        student_files,
        "export_litert",
        lambda *args, **options: given.update(options) or {"file": "x"},
    )
    StudentFiles(student).litert("float32")
    assert given["metadata"] is None
    values = student.run.configuration.to_dict()
    write_json(student.folder / "config.json", {**values, "licence": "MIT"})
    StudentFiles(student).litert("float32")
    assert given["metadata"] == {"licence": "MIT"}


def test_a_file_for_mediapipe_is_scored_as_the_client_reads(student, tmp_path):
    said = []
    (report,) = export_again(
        student.folder, ["mediapipe/float32"], say=said.append
    )
    assert report["file"] == "student_mediapipe_float32.tflite"
    # The texts of the run are plain ASCII, in small letters.
    client = report["client"]
    assert client["rows"] == 80
    assert client["rows_with_other_tokens"] == client["other_decisions"] == 0
    assert client["score_client"] == client["score_keras"] > 0.9
    assert report["scores"]["accuracy"] == client["score_client"]
    assert "decides otherwise on 0" in said[0]
    text = (student.folder / "report.md").read_text(encoding="utf-8")
    assert "| other decisions in the client |" in text
    assert "0 of 80" in text
    earlier, _ = _earlier_exports(student.run)
    assert earlier["mediapipe/float32"] == report
    # A word that BERT knows is another one there.
    good = tiny.GOOD[0]
    spoilt = good.replace("i", "\u00ed")
    examples = [
        Example(f"row-{index}", (text,), label)
        for index, (text, label) in enumerate(
            [(f"{spoilt} {good.upper()}", "good"), (tiny.BAD[0], "bad")]
            + [(f"{spoilt} film", "good")] * 4
        )
    ]
    rows = student.task.make_rows(
        examples, student.tokenizer, tmp_path / "rows", student.max_length
    )
    client = ExportedStudent(student, report["file"]).compare(rows)
    assert client["rows_with_other_tokens"] == 5
    assert client["score_keras"] == 1.0
    assert client["other_decisions"] == round(6 * (1 - client["score_client"]))
    scores = student.score(examples, tmp_path / "scored", report["file"])
    assert scores["accuracy"] == client["score_client"]


def test_a_file_that_takes_text_is_scored_on_its_own_tokens(student, tmp_path):
    said = []
    (report,) = export_again(
        student.folder, ["litert-text/float32"], say=said.append
    )
    assert report["file"] == "student_text_float32.tflite"
    client = report["client"]
    assert client["rows"] == 80
    assert client["rows_with_other_tokens"] == client["other_decisions"] == 0
    assert client["score_client"] == client["score_keras"] > 0.9
    assert "as the client reads them" in said[0]
    earlier, _ = _earlier_exports(student.run)
    assert earlier["litert-text/float32"] == report
    # Full-width letters are the plain ones there.
    good = tiny.GOOD[0]
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in good)
    examples = [Example("0", (wide,), "good"), Example("1", (good,), "good")]
    rows = student.task.make_rows(
        examples, student.tokenizer, tmp_path / "rows", student.max_length
    )
    client = ExportedStudent(student, report["file"]).compare(rows)
    assert client["rows_with_other_tokens"] == 1
    scores = student.score(examples, tmp_path / "scored", report["file"])
    assert scores["accuracy"] == client["score_client"] == 1.0
    with pytest.raises(ValueError, match="max_length=None"):
        StudentFiles(student).text("float32", "dynamic")


def test_what_mediapipe_does_not_take(student):
    with pytest.raises(ValueError, match="max_length=None"):
        StudentFiles(student).mediapipe("float32", "dynamic")
    values = student.run.configuration.to_dict()
    write_json(student.folder / "config.json", {**values, "text_pair": "other"})
    with pytest.raises(ConfigurationError, match="reads one text"):
        StudentFiles(student).mediapipe("float32")
