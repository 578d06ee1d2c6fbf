"""What a file says of itself."""

import pytest

from keras_kd.cli import main
from keras_kd.export.conversion_worker import convert
from keras_kd.export.inspection import inspect_file
from keras_kd.export.litert import export_litert

LENGTH = 16
LABELS = ["negative", "neutral", "positive"]


def test_a_file_of_ours(linear_student, make_rows, tokenizer, tmp_path, capsys):
    path = tmp_path / "student.tflite"
    report = export_litert(
        linear_student,
        path,
        make_rows(8),
        "float32",
        LENGTH,
        tokenizer=tokenizer,
        labels=LABELS,
        metadata={"licence": "CC-BY-4.0"},
        labels_of_rows=[0] * 8,
    )
    found = inspect_file(path)
    assert found["file"] == f"student.tflite, {report['bytes']} bytes"
    assert found["labels"] == "negative, neutral, positive"
    assert found["vocabulary"] == (
        f"{tokenizer.vocabulary_size} tokens (wordpiece)"
    )
    assert found["length"] == "16 tokens"
    assert found["quantization"] == "float32"
    assert found["licence"] == "CC-BY-4.0"
    assert "rows 8" in found["metrics"]
    assert f"accuracy_file {report['accuracy_file']:.4g}" in found["metrics"]
    assert "token_ids int32 [1, 16]" in found["inputs"]
    assert found["outputs"] == "logits float32 [1, 3]"
    assert found["operations"] == ", ".join(report["ops"])
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == list(found)
    assert out[1].split(maxsplit=1) == ["labels:", found["labels"]]


def test_a_file_that_says_nothing_of_itself(linear_student, tmp_path):
    path = tmp_path / "plain.tflite"
    path.write_bytes(convert(linear_student, tmp_path / "x", "float32", 1))
    found = inspect_file(path)
    for name in ("labels", "vocabulary", "licence", "metrics", "quantization"):
        assert found[name] == "not stated"
    assert found["length"] == "any tokens"
    assert "token_ids int32 [1, ?]" in found["inputs"]


def test_no_such_file(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "x.tflite")]) == 1
    assert "There is no file" in capsys.readouterr().err
    (tmp_path / "x.tflite").write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="can't be run"):
        inspect_file(tmp_path / "x.tflite")
