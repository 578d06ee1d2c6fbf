"""`keras-kd benchmark`: what is timed, and what is said of it."""

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import transformers

from keras_kd.cli import make_parser
from keras_kd.configuration import ConfigurationError
from keras_kd.models.huggingface_config import read_settings
from keras_kd.runs import run_benchmark
from keras_kd.runs import run_times
from keras_kd.runs.run_benchmark import benchmark
from keras_kd.runs.run_benchmark import rows_of_length
from keras_kd.runs.run_benchmark import set_threads
from tests import tiny


@pytest.fixture
def threads(monkeypatch):
    """What TensorFlow is told: this process has computed long ago."""
    told = []
    monkeypatch.setattr(run_benchmark, "set_threads", told.append)
    return told


@pytest.fixture
def no_clock(monkeypatch):
    """Models take 8, 4, 2, 1, ... ms, in the order in which they are timed."""
    calls = []

    def latency(predict, inputs):
        predict(inputs[0])
        calls.append(inputs)
        return {"p50": 16 / 2 ** len(calls), "p90": 20.0, "rows": len(inputs)}

    monkeypatch.setattr(run_times, "latency", latency)
    return calls


def test_a_run(miniature_copy, threads, no_clock):
    said = []
    result = benchmark(
        [miniature_copy.folder], [5, tiny.LENGTH], 3, rows=4, say=said.append
    )
    assert threads == [3]
    table = [
        (one["name"], one["runtime"], one["tokens"], one["p50"],
         one["ratio_keras"], one["ratio_same"])
        for one in result["measured"][:4]
    ]  # fmt: skip
    assert table == [
        ("teacher", "Keras", 5, 8.0, 1.0, 1.0),
        ("teacher", "LiteRT", 5, 4.0, 2.0, 1.0),
        ("student", "Keras", 5, 2.0, 4.0, 4.0),
        ("student_float32.tflite", "LiteRT", 5, 1.0, 8.0, 4.0),
    ]
    assert [one["tokens"] for one in result["measured"][4:]] == [8] * 4
    for number, inputs in enumerate(no_clock):
        lengths = {row["token_ids"].shape for row in inputs}
        assert lengths == {(1, 5 if number < 4 else 8)}
        assert len(inputs) == 4
    teacher, _, student, file = result["measured"][:4]
    assert file["threads"] == 3
    assert (
        file["bytes"]
        == (miniature_copy.folder / "student_float32.tflite").stat().st_size
    )
    assert student["bytes"] < teacher["bytes"] * 100
    assert teacher["score"] == 1.0
    assert 0.5 < student["score"] <= 1.0
    assert file["score"] == pytest.approx(student["score"], abs=0.02)
    # It is all written, and the converted teacher is kept.
    folder = miniature_copy.folder
    assert json.loads((folder / "benchmark.json").read_text()) == result
    assert (folder / "benchmark.png").stat().st_size > 1000
    text = (folder / "benchmark.md").read_text(encoding="utf-8")
    assert "| model | times teacher in Keras |" in text
    assert "| student_float32.tflite | 8.00 | 4.00 | 5 | 1.000 |" in text
    (kept,) = (folder / "benchmark").iterdir()
    assert kept.name.startswith("teacher-")
    assert said[-1].startswith("model")


def test_a_smaller_word_table_stands_beside_a_dynamic_teacher(
    miniature_copy, threads, no_clock, monkeypatch
):
    metrics = miniature_copy.folder / "metrics.json"
    result = json.loads(metrics.read_text())
    (file,) = [x for x in result["exports"] if x["format"] == "litert"]
    file["quantization"] = "int4-embedding"
    metrics.write_text(json.dumps(result))
    result = benchmark([miniature_copy.folder], [8], rows=2, say=[].append)
    teacher, dynamic, _, file = result["measured"]
    assert dynamic["quantization"] == "dynamic"
    assert file["quantization"] == "int4-embedding"
    assert file["ratio_same"] == dynamic["p50"] / file["p50"]


def test_several_runs_beside_bert_base(
    miniature_copy, threads, no_clock, monkeypatch, tmp_path
):
    second = shutil.copytree(miniature_copy.folder, tmp_path / "second")
    small = functools.partial(
        transformers.BertConfig,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    monkeypatch.setattr(transformers, "BertConfig", small)
    said = []
    result = benchmark(
        [miniature_copy.folder, second],
        [8],
        rows=2,
        bert_base=True,
        output=tmp_path / "table",
        say=said.append,
    )
    names = [(one["of"], one["name"]) for one in result["measured"]]
    assert names == [
        ("BERT-base", "BERT-base"),
        ("BERT-base", "BERT-base"),
        ("teacher", "teacher"),
        ("teacher", "teacher"),
        ("student", "run/student"),
        ("student", "run/student_float32.tflite"),
        ("student", "second/student"),
        ("student", "second/student_float32.tflite"),
    ]
    ratios = [(x["ratio_keras"], x["ratio_same"]) for x in result["measured"]]
    assert ratios == [
        (1, 1), (2, 1), (4, 4), (8, 4), (16, 16), (32, 16), (64, 64), (128, 64)
    ]  # fmt: skip
    assert result["reference"] == "BERT-base"
    text = (tmp_path / "table" / "benchmark.md").read_text(encoding="utf-8")
    assert "| times BERT-base in Keras |" in text
    assert "over BERT-base as a compiled Keras call" in text
    kept = [path.name for path in (tmp_path / "table" / "benchmark").iterdir()]
    assert len(kept) == 1 and kept[0].startswith("teacher-")
    assert not (miniature_copy.folder / "benchmark.md").exists()


def test_the_shape_of_bert_base():
    settings = read_settings(transformers.BertConfig().to_dict())
    assert settings.num_layers == settings.num_heads == 12
    assert (settings.hidden_dim, settings.intermediate_dim) == (768, 3072)


def test_runs_of_other_metrics(miniature, miniature_copy):
    metrics = miniature_copy.folder / "metrics.json"
    result = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(result | {"primary_metric": "f1"}))
    with pytest.raises(ConfigurationError, match="accuracy .*f1"):
        benchmark([miniature.folder, miniature_copy.folder])


@pytest.mark.parametrize("lengths", [[0], [tiny.LENGTH + 1, 4]])
def test_lengths_that_there_are_not(miniature, lengths):
    with pytest.raises(ConfigurationError, match="must be from 1 to 8"):
        benchmark([miniature.folder], lengths)


def test_an_unfinished_run(miniature_copy):
    (miniature_copy.folder / "metrics.json").unlink()
    with pytest.raises(ConfigurationError, match="not finished"):
        benchmark([miniature_copy.folder])


def test_rows_are_real_tokens_strung_together(small_rows, tmp_path):
    rows = small_rows([[2, 7, 3], [2, 8, 9, 3]])
    made = rows_of_length(rows, 5, 3, tmp_path)
    assert [made.row("token_ids", i).tolist() for i in range(3)] == [
        [2, 7, 3, 2, 8], [9, 3, 2, 7, 3], [2, 8, 9, 3, 2],
    ]  # fmt: skip
    np.testing.assert_array_equal(made.lengths("token_ids"), [5, 5, 5])


def test_threads_after_the_first_computation():
    tf.constant(1.0) + 1.0
    now = tf.config.threading.get_intra_op_parallelism_threads()
    set_threads(now)
    with pytest.raises(ConfigurationError, match="process of its own"):
        set_threads(now + 7)


def test_flags():
    options = make_parser().parse_args(
        ["benchmark", "runs/a", "--lengths", "16", "128", "--threads", "2"]
    )
    assert (options.runs, options.lengths) == (["runs/a"], [16, 128])
    assert (options.bert_base, options.output) == (False, None)
    assert (options.threads, options.rows) == (2, 50)
