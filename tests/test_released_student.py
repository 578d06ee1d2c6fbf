"""The student in `saved_models/sst2-bigru`, as it comes with the code."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_kd.configuration import ConfigurationError
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.runs import run_benchmark
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import export_again
from keras_kd.runs.run_folder import RunFolder

FOLDER = Path(__file__).parents[1] / "saved_models" / "sst2-bigru"
FILE = FOLDER / "student_dynamic.tflite"
GOOD = ["a gorgeous , witty , seductive movie .", "one of the best films ever"]
BAD = ["a waste of two hours .", "dull , boring and badly acted ."]


@pytest.fixture(scope="module")
def student():
    return TrainedStudent(RunFolder.open(FOLDER))


def test_it_knows_good_from_bad(student):
    answers = student.predict([*GOOD, *BAD])
    assert [label for label, _ in answers] == ["positive"] * 2 + [
        "negative"
    ] * 2
    assert all(probability > 0.6 for _, probability in answers)


def test_the_file_answers_as_keras_does(student):
    model = LiteRTModel(FILE)
    assert model.labels == student.task.labels
    encoded = student.tokenizer.encode([*GOOD, *BAD], model.length)
    inputs = {
        name: np.zeros((len(encoded), model.length), "int32")
        for name in model.input_names
    }
    for row, (ids, _) in enumerate(encoded):
        inputs["token_ids"][row, : len(ids)] = ids
        inputs["padding_mask"][row, : len(ids)] = 1
    labels = [model.labels[i] for i in model.predict(inputs).argmax(axis=-1)]
    assert labels == [label for label, _ in student.predict([*GOOD, *BAD])]


def test_what_needs_its_rows_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(run_benchmark, "set_threads", lambda threads: None)
    expected = "came without its rows.* need a run of your own"
    with pytest.raises(ConfigurationError, match=expected):
        export_again(FOLDER, ["float32"])
    with pytest.raises(ConfigurationError, match=expected):
        run_benchmark.benchmark([FOLDER], output=tmp_path)


def test_it_is_small_and_says_what_it_is():
    sizes = (FOLDER / "student.keras").stat().st_size + FILE.stat().st_size
    assert sizes <= 4_000_000
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    scores = json.loads((FOLDER / "metrics.json").read_text())
    best = max(
        scores["arms"]["distilled"]["seeds"],
        key=lambda seed: seed["best_score"],
    )
    assert f"{100 * best['scores']['accuracy']:.2f}" in card
    assert (FOLDER / "report.md").is_file()
    config = json.loads((FOLDER / "config.json").read_text())
    paths = [x for x in config.values() if isinstance(x, str) and "/" in x]
    assert paths and not any(Path(path).is_absolute() for path in paths)
