"""Files of other lengths than that of the run."""

import pytest

from keras_kd.configuration import ConfigurationError
from keras_kd.data.sources import Example
from keras_kd.deployment import TrainedStudent
from keras_kd.distillation import _earlier_exports
from keras_kd.distillation import export_again
from keras_kd.export.litert_runner import LiteRTModel
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
    earlier = _earlier_exports(student.run)
    assert set(earlier) == {"saved_model", "float32", "float32/dynamic"}
    assert earlier["float32/dynamic"] == report


def test_a_shorter_file_is_scored_on_cut_texts(student, tmp_path):
    # The student was trained with 8; its rows are not cut there.
    student.max_length = 14
    file = student.export_litert("float32", "10")["file"]
    assert file == "student_float32_length_10.tflite"
    assert LiteRTModel(student.folder / file).length == 10
    scores = student.score(long_examples(), tmp_path / "rows", file)
    assert scores["rows"] == 12
    assert scores["accuracy"] == 1.0


def test_cut_rows_end_with_the_special_token(student, tmp_path):
    rows = student.task.make_rows(
        list(long_examples()), student.tokenizer, tmp_path / "rows", 14
    )
    inputs = student._cut_inputs(rows, [0, 1], 10)
    assert inputs["token_ids"].shape == (2, 10)
    assert (inputs["token_ids"][:, -1] == student.tokenizer.sep_id).all()
    assert inputs["padding_mask"].all()


@pytest.mark.parametrize("length", ["9", 1000, "short", "-8"])
def test_lengths_that_there_are_not(student, length):
    with pytest.raises(ConfigurationError, match="`length` must be 'dynamic'"):
        student.export_litert("float32", length)


def test_a_length_that_no_text_fits_into(student):
    with pytest.raises(ValueError, match="must be 8 or more.*Received: 3"):
        student.export_litert("float32", "3")


def test_the_licence_goes_into_the_file(student, monkeypatch):
    from keras_kd.export import litert

    given = {}
    monkeypatch.setattr(
        litert,
        "export_litert",
        lambda *args, **options: given.update(options) or {"file": "x"},
    )
    student.export_litert("float32")
    assert given["metadata"] is None
    values = student.run.configuration.to_dict()
    from keras_kd.atomic_files import write_json

    write_json(student.folder / "config.json", {**values, "licence": "MIT"})
    student.export_litert("float32")
    assert given["metadata"] == {"licence": "MIT"}
