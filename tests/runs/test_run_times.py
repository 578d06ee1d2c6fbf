"""What one text costs: which rows are timed, in which models, and how."""

import os

import numpy as np
import pytest

from keras_kd.evaluation.machine import usable_cores
from keras_kd.runs import run_times as module
from keras_kd.runs.run_times import run_times


class File:
    """In place of a `LiteRTModel`."""

    num_threads = 3
    input_names = ["token_ids", "padding_mask"]

    def __init__(self):
        self.seen = []

    def predict(self, features):
        self.seen.append({n: x.tolist() for n, x in features.items()})


@pytest.fixture
def rows(small_rows):
    """Eleven rows; row `i` has `i + 1` tokens."""
    return small_rows([[4 + i] * (i + 1) for i in range(11)])


@pytest.fixture
def timed(monkeypatch):
    """The inputs that each model was timed on; it takes 8, 4, 2, ... ms."""
    calls = []

    def latency(predict, inputs):
        for row in inputs:
            predict(row)
        calls.append(inputs)
        p50 = 16 / 2 ** len(calls)
        return {"p50": p50, "p90": 2 * p50, "rows": len(inputs)}

    monkeypatch.setattr(module, "latency", latency)
    return calls


def test_rows_are_spread_evenly_and_are_the_same_for_all(
    rows, timed, bag_classifier
):
    file, model = File(), bag_classifier()
    results = run_times({"keras": (model, rows), "file": (file, rows)}, count=3)
    expected = [
        {"token_ids": [[4]], "padding_mask": [[1]]},
        {"token_ids": [[9] * 6], "padding_mask": [[1] * 6]},
        {"token_ids": [[14] * 11], "padding_mask": [[1] * 11]},
    ]
    assert file.seen == expected
    for inputs in timed:
        assert [
            {name: values.tolist() for name, values in row.items()}
            for row in inputs
        ] == expected
        assert all(x.dtype == "int32" for row in inputs for x in row.values())
    for result in results:
        assert result["rows"] == 3
        assert result["tokens"] == 6.0  # (1 + 6 + 11) / 3


def test_results(rows, timed, bag_classifier):
    models = {"teacher": bag_classifier(), "small": bag_classifier()}
    keras, small, file = run_times(
        {
            **{name: (model, rows) for name, model in models.items()},
            "a.tflite": (File(), rows),
        }
    )
    assert keras == {
        "model": "teacher",
        "runtime": "Keras",
        "threads": usable_cores(),
        "p50": 8.0,
        "p90": 16.0,
        "rows": 11,
        "tokens": 6.0,
        "ratio": 1.0,
    }
    assert (small["model"], small["ratio"]) == ("small", 2.0)
    assert (file["runtime"], file["threads"]) == ("LiteRT", 3)
    assert (file["model"], file["ratio"]) == ("a.tflite", 4.0)


def test_each_model_reads_its_own_inputs_and_rows(
    rows, timed, small_rows, bag_classifier
):
    """A student with tokens of its own has other rows of the same texts."""
    short = small_rows([[5, 6]] * 11, name="short")
    lone = bag_classifier(inputs=("token_ids", "padding_mask", "segment_ids"))
    teacher, student = run_times(
        {"teacher": (lone, rows), "student": (bag_classifier(), short)}, 2
    )
    assert [set(row) for row in timed[0]] == [
        {"token_ids", "padding_mask", "segment_ids"}
    ] * 2
    assert [row["token_ids"].tolist() for row in timed[1]] == [[[5, 6]]] * 2
    assert (teacher["tokens"], student["tokens"]) == (6.0, 2.0)


def test_no_more_rows_than_there_are(rows, timed, bag_classifier):
    view = rows.select(np.array([4]))
    (result,) = run_times({"keras": (bag_classifier(), view)})
    assert (result["rows"], result["tokens"]) == (1, 5.0)


def test_on_the_real_clock(rows, bag_classifier):
    file = File()
    results = run_times({"keras": (bag_classifier(), rows), "f": (file, rows)})
    for result in results:
        assert 0 < result["p50"] <= result["p90"]
    assert results[0]["ratio"] == 1.0
    # The same few numbers again and again take less than a graph.
    assert results[1]["ratio"] > 0
    assert len(file.seen) > 11


def test_cores_are_those_of_the_process_where_the_system_says_them(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda pid: {3, 7}, raising=False
    )
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64
