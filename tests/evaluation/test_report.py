"""The report: what it says, what it leaves out, and that it is whole."""

import json
import os
import sys
import warnings

import numpy as np
import pytest

from keras_kd.evaluation import report
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.multi_label_scores import multi_label_scores
from keras_kd.evaluation.plots import PLOTS
from keras_kd.evaluation.plots import PREDICTIONS
from keras_kd.evaluation.regression_scores import prediction_sample
from keras_kd.evaluation.regression_scores import regression_scores
from keras_kd.evaluation.report import console_table
from keras_kd.evaluation.report import write_report
from keras_kd.evaluation.scores import classification_scores
from keras_kd.evaluation.significance import Interval

CLASS_PLOTS = set(PLOTS) - {PREDICTIONS}


def seed_entry(seed, wrong_rows, labels=("negative", "positive")):
    truth = np.arange(100) % len(labels)
    predicted = truth.copy()
    predicted[:wrong_rows] = (truth[:wrong_rows] + 1) % len(labels)
    logits = 4.0 * np.eye(len(labels))[predicted]
    return {
        "seed": seed,
        "scores": classification_scores(logits, truth, labels),
        "steps": 200,
        "seconds": 61.3,
        "parameters": 1_234_567,
        "bytes": 5_000_000,
        "history": [
            {"step": 100, "loss": 0.9, "validation": 0.7},
            {"step": 200, "loss": np.float32(0.5), "validation": 0.8},
        ],
    }


def full_result(labels=("negative", "positive")):
    interval = Interval(0.04, 0.0123, 0.0688, seeds=2, rows=100, resamples=10)
    return {
        "title": "Reviews",
        "command": "keras-kd compare --seeds 2",
        "configuration": {"student": "bigru", "temperature": 4.0},
        "data": {
            "train": 22500,
            "test": 100,
            "overlaps": {"train_in_test": 3},
        },
        "labels": list(labels),
        "primary_metric": "accuracy",
        "arms": {
            "teacher": {"seeds": [seed_entry(None, 5, labels)]},
            "alone": {
                "seeds": [seed_entry(0, 13, labels), seed_entry(1, 15, labels)]
            },
            "distilled": {
                "seeds": [seed_entry(0, 9, labels), seed_entry(1, 11, labels)]
            },
        },
        "comparison": {**interval.to_dict(), "split": "test"},
        "agreement": {"alone": 0.87, "distilled": [0.9, 0.94]},
        "exports": [
            {
                "file": "student.tflite",
                "format": "litert",
                "quantization": "dynamic",
                "bytes": 1_500_000,
                "rows": 64,
                "max_difference": 0.0512,
                "agreement": 0.984375,
                "accuracy_keras": 0.90625,
                "accuracy_file": 0.890625,
                "scores": {"accuracy": 0.89},
            }
        ],
        "machine": machine_description(),
        "warnings": ["3 texts of the test rows\nare training rows too."],
    }


def table_rows(text):
    """The cells of every table row, by the first cell."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
    ]
    return {line[0]: line[1:] for line in cells}


def test_kinds_of_entities_that_not_all_models_find(tmp_path):
    def seed(**kinds):
        per_class = {
            kind: {"precision": f1, "recall": f1, "f1": f1, "support": support}
            for kind, (f1, support) in kinds.items()
        }
        return {"seed": 0, "scores": {"entity_f1": 0.5, "per_class": per_class}}

    arms = {
        "alone": {
            "seeds": [seed(PER=(0.5, 4)), seed(PER=(0.5, 4), ORG=(0, 0))]
        },
        "distilled": {"seeds": [seed(PER=(1.0, 4), LOC=(0, 0))] * 2},
    }
    result = {
        "arms": arms, "task": "token_tagging", "primary_metric": "entity_f1"
    }  # fmt: skip
    text = write_report(tmp_path, result).read_text("utf-8")
    rows = table_rows(text)
    assert rows["PER"][:2] == ["4", "50.00 ± 0.00"]
    assert rows["LOC"][:3] == ["0", "0.00 ± 0.00", "0.00 ± 0.00"]
    assert rows["ORG"][0] == "0"


@pytest.mark.parametrize(
    ("task", "things"),
    [
        ("token_tagging", "100 test sentences)"),
        ("question_answering", "100 test questions)"),
        ("classification", "100 test rows)"),
    ],
)
def test_verdict_says_what_was_compared(tmp_path, task, things):
    path = write_report(tmp_path / "run", {**full_result(), "task": task})
    assert things in path.read_text(encoding="utf-8").splitlines()[2]


def test_full_report(tmp_path):
    path = write_report(tmp_path / "run", full_result())
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "# Reviews"
    assert lines[2] == (
        "**HELPED**: the distilled student scores 4.00 points of accuracy more "
        "than the same student trained alone (95% interval +1.23 to +6.88, "
        "2 seeds, 100 test rows)."
    )
    rows = table_rows(text)
    assert rows["model"] == [
        "accuracy (%)",
        "of teacher's",
        "agrees with teacher",
        "ECE",
        "parameters",
        "size",
        "steps",
        "seconds",
    ]
    # Sample standard deviation of 0.87 and 0.85; mean retention 0.86 / 0.95.
    assert rows["student alone"][:3] == ["86.00 ± 1.41", "90.53%", "87.00%"]
    assert rows["student distilled"][:3] == ["90.00 ± 1.41", "94.74%", "92.00%"]
    assert rows["teacher"][:3] == ["95.00", "", ""]
    assert rows["teacher"][4:] == ["1,234,567", "5.00 MB", "200", "61"]
    assert rows["negative"][0] == "50"
    assert rows["student.tflite"] == [
        "litert",
        "dynamic",
        "1.50 MB",
        "64",
        "0.0512",
        "98.44%",
        "90.62%",
        "89.06%",
        "89.00",
    ]
    assert rows["train"] == ["22,500"]
    assert rows["overlaps: train in test"] == ["3"]
    assert "- 3 texts of the test rows are training rows too." in lines
    assert "keras-kd compare --seeds 2" in lines
    assert "Seeds: student alone 0, 1; student distilled 0, 1." in lines
    block = text.split("```json\n")[1].split("```")[0]
    assert json.loads(block) == full_result()["configuration"]
    assert f"python {machine_description()['python']}" in text
    assert rows["macro F1 (%)"][0] == "95.00"
    assert rows["NLL, lower is better"][1].count("±") == 1
    for name in CLASS_PLOTS:
        assert f"({name})" in text
    found = {file.name for file in (tmp_path / "run").iterdir()}
    assert found == {"report.md", "metrics.json", *CLASS_PLOTS}


def test_metrics_are_json(tmp_path):
    result = full_result()
    result["arms"]["alone"]["seeds"][0]["history"][0]["loss"] = float("nan")
    result["folder"] = tmp_path
    result["logit_ranges"] = np.arange(2.0)
    write_report(tmp_path, result)
    stored = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    history = stored["arms"]["alone"]["seeds"][0]["history"]
    assert history == [
        {"step": 100, "loss": None, "validation": 0.7},
        {"step": 200, "loss": 0.5, "validation": 0.8},
    ]
    assert stored["folder"] == str(tmp_path)
    assert stored["logit_ranges"] == [0.0, 1.0]
    assert stored["comparison"] == result["comparison"]


def test_only_what_there_is(tmp_path):
    """One arm and one score: no empty heading, no empty column, no plot."""
    result = {"arms": {"teacher": {"seeds": [{"scores": {"accuracy": 0.5}}]}}}
    text = write_report(tmp_path, result).read_text("utf-8")
    assert text.count("#") == 3 and "## Scores" in text
    assert table_rows(text)["model"] == ["accuracy (%)"]
    assert "No verdict" in text and "None" not in text
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.md",
        "metrics.json",
    }


def test_plots_of_an_earlier_report_go(tmp_path):
    result = full_result()
    write_report(tmp_path, result)
    for arm in result["arms"].values():
        for entry in arm["seeds"]:
            del entry["history"]
    text = write_report(tmp_path, result).read_text("utf-8")
    assert not (tmp_path / "learning_curves.png").exists()
    assert "learning_curves" not in text and "## Training" not in text
    assert (tmp_path / "confusion_matrix.png").exists()


@pytest.mark.parametrize(
    "bounds, seeds, beginning",
    [
        (
            (-0.02, -0.03, -0.01),
            3,
            "HURT: the distilled student scores 2.00 points of accuracy less",
        ),
        (
            (0.001, -0.01, 0.02),
            3,
            "NO EFFECT: the distilled student (+0.10 points of accuracy) is "
            "not shown to differ",
        ),
        ((0.02, 0.01, 0.03), 1, "HELPED (provisional): the distilled"),
    ],
)
def test_verdicts(bounds, seeds, beginning):
    result = full_result()
    result["comparison"] = Interval(*bounds, seeds, 100, 10).to_dict()
    *_, sentence = console_table(result).splitlines()
    assert sentence.startswith(beginning)
    assert ("run three seeds" in sentence) == (seeds == 1)
    assert ("1 seed," in sentence) == (seeds == 1)


def test_control():
    result = full_result()
    result["control"] = Interval(-0.3, -0.4, -0.2, 1, 100, 10).to_dict()
    lines = console_table(result).splitlines()
    assert lines[-1].startswith(
        "Control, which must not say HELPED: HURT (provisional): the student "
        "of shuffled teacher targets scores 30.00 points"
    )


def test_metric_that_is_no_percentage():
    result = full_result()
    result["primary_metric"] = "ranking"
    for arm in result["arms"].values():
        for entry in arm["seeds"]:
            entry["scores"]["ranking"] = 1.5
    lines = console_table(result).splitlines()
    assert lines[0].split()[1] == "ranking"
    assert lines[2].split()[:2] == ["teacher", "1.50"]
    assert "scores 0.04 of ranking more" in lines[-1]


def test_console_table():
    lines = console_table(full_result()).splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert set(lines[1]) == {"-", " "}
    assert lines[2].startswith("teacher ") and "95.00" in lines[2]
    assert lines[4].startswith("student distilled  90.00 ± 1.41")
    # Columns are set to the right: every line of the table ends in one place.
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[6:9] == [
        "Warnings:",
        "- 3 texts of the test rows are training rows too.",
        "",
    ]
    assert lines[9].startswith("HELPED: the distilled student")


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9])
def test_console_shows_five_lines_of_warnings(count):
    result = full_result()
    result["warnings"] = [f"number {index}" for index in range(count)]
    lines = console_table(result).splitlines()
    assert ("Warnings:" in lines) == (count > 0)
    shown = [line for line in lines if line.startswith("- number")]
    assert len(shown) == (count if count <= 4 else 3)
    more = [line for line in lines if line.startswith("- and ")]
    expected = [f"- and {count - 3} more, in report.md"] if count > 4 else []
    assert more == expected


def multi_label_entry(seed, noise):
    generator = np.random.default_rng(0 if seed is None else seed)
    truth = generator.random((60, 3)) < 0.4
    logits = np.where(truth, 2.0, -2.0) + noise * generator.normal(size=(60, 3))
    scores = multi_label_scores(logits, truth, ["joy", "fear", "anger"])
    return {"seed": seed, "scores": scores, "steps": 10}


def test_multi_label_report(tmp_path):
    arms = {
        "teacher": {"seeds": [multi_label_entry(None, 0.5)]},
        "alone": {"seeds": [multi_label_entry(s, 2.0) for s in (0, 1)]},
        "distilled": {"seeds": [multi_label_entry(s, 1.0) for s in (0, 1)]},
    }
    result = {
        "primary_metric": "micro_f1",
        "task": "multi_label",
        "labels": ["joy", "fear", "anger"],
        "arms": arms,
        "agreement": {"distilled": 0.93},
        "comparison": Interval(0.1, 0.05, 0.2, 2, 60, 10).to_dict(),
        "exports": [
            {
                "file": "student.tflite",
                "kind": "multi_label",
                "agreement": 0.99,
                "score_name": "hamming_accuracy",
                "score_keras": 0.9,
                "score_file": 0.8975,
                "scores": {"micro_f1": 0.85},
            },
            # Compared by class, which says nothing here.
            {"file": "saved_model", "max_difference": 0.0, "agreement": 1.0},
        ],
    }
    text = write_report(tmp_path, result).read_text("utf-8")
    assert "scores 10.00 points of micro F1 more" in text
    rows = table_rows(text)
    assert rows["model"][0] == "micro F1 (%)"
    micro = [entry["scores"]["micro_f1"] for entry in arms["alone"]["seeds"]]
    assert rows["student alone"][0].startswith(f"{100 * np.mean(micro):.2f} ±")
    best = arms["teacher"]["seeds"][0]["scores"]["majority_micro_f1"]
    assert f"have a micro F1 of {best * 100:.2f}%." in text
    assert "most frequent class" not in text
    assert rows["class"][:2] == ["rows", "F1, teacher"]
    joy = arms["teacher"]["seeds"][0]["scores"]["per_class"]["joy"]
    # The rows are those of the distilled student's first seed.
    assert rows["joy"][1] == f"{100 * joy['f1']:.2f}"
    assert "subset accuracy (%)" in rows and "hamming accuracy (%)" in rows
    assert "ECE" in rows["model"]
    assert "confusion_matrix" not in text
    assert rows["file"] == [
        "largest logit difference",
        "same decisions as Keras",
        "hamming accuracy (%), Keras",
        "hamming accuracy (%), file",
        "micro F1, test rows",
    ]
    assert rows["student.tflite"] == ["", "99.00%", "90.00", "89.75", "85.00"]
    assert rows["saved_model"] == ["0", "", "", "", ""]
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.md",
        "metrics.json",
    }


def regression_result():
    generator = np.random.default_rng(0)
    labels = generator.uniform(0, 5, 80)
    predictions = {
        "teacher": labels + 0.2 * generator.normal(size=80),
        "alone": labels + generator.normal(size=80),
        "distilled": labels + 0.5 * generator.normal(size=80),
    }
    return {
        "primary_metric": "pearson",
        "task": "regression",
        "labels": None,
        "arms": {
            arm: {"seeds": [{"scores": regression_scores(values, labels)}]}
            for arm, values in predictions.items()
        },
        "agreement": {"alone": 0.7, "distilled": 0.9},
        "agreement_title": "correlation with teacher",
        "predictions": prediction_sample(labels, predictions, rows=30),
        "comparison": Interval(0.05, 0.02, 0.08, 1, 80, 10).to_dict(),
        "exports": [
            {
                "file": "student.tflite",
                "kind": "regression",
                "agreement": 0.9991,
                "score_name": "mse",
                "score_keras": 0.25,
                "score_file": 0.25061,
            }
        ],
    }


def test_regression_report(tmp_path):
    result = regression_result()
    text = write_report(tmp_path, result).read_text("utf-8")
    rows = table_rows(text)
    assert rows["model"] == [
        "Pearson correlation (%)",
        "of teacher's",
        "correlation with teacher",
    ]
    score = result["arms"]["alone"]["seeds"][0]["scores"]
    assert rows["student alone"][0] == f"{100 * score['pearson']:.2f}"
    assert rows["student alone"][2] == "70.00%"
    assert "points of Pearson correlation more" in text
    assert "ECE" not in text and "## By class" not in text
    assert "Labels, in the order" not in text and "None" not in text
    assert rows["RMSE, lower is better"][1] == f"{score['rmse']:.3f}"
    assert rows["Spearman correlation (%)"][1] == (
        f"{100 * score['spearman']:.2f}"
    )
    assert rows["file"] == ["correlation with Keras", "MSE, Keras", "MSE, file"]
    assert rows["student.tflite"] == ["99.91%", "0.25", "0.251"]
    assert "(predictions.png)" in text and "## Predictions" in text
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.md",
        "metrics.json",
        "predictions.png",
    }
    stored = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert len(stored["predictions"]["labels"]) == 30
    # The report of a program that reads the figures back has the same plot.
    again = write_report(tmp_path / "again", stored).read_text("utf-8")
    assert again == text


def test_scatter_shows_the_rows_of_the_sample():
    from keras_kd.evaluation import plots

    result = regression_result()
    figure = plots._predictions(result)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "teacher",
        "student alone",
        "student distilled",
    ]
    points = figure.axes[2].collections[0].get_offsets()
    sample = result["predictions"]
    np.testing.assert_allclose(points[:, 0], sample["labels"])
    np.testing.assert_allclose(points[:, 1], sample["arms"]["distilled"])


def test_errors_are_no_primary_metric(tmp_path):
    result = regression_result() | {"primary_metric": "mse"}
    with pytest.raises(ValueError, match="'mse', of which less is better"):
        write_report(tmp_path, result)
    with pytest.raises(ValueError, match="of which less is better"):
        console_table(result)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "labels",
    [
        ("a|b", "<b>", "$x$"),
        ("好评", "差评"),
        tuple(f"a rather long name {index}" for index in range(12)),
        tuple(str(index) for index in range(50)),
    ],
)
def test_names_of_classes(tmp_path, labels):
    """Markdown stays a table; plots neither warn nor fail on any name."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = write_report(tmp_path, full_result(labels)).read_text("utf-8")
    start = text.index("| class |")
    table = text[start:].split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(labels)
    assert {row.replace("\\|", "").count("|") for row in table} == {8}
    assert "<b>" not in text


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = write_report(tmp_path, full_result()).read_text("utf-8")
    assert "- Plots need matplotlib, which is not installed." in text
    assert ".png" not in text


def test_drawing_leaves_pyplot_alone(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    write_report(tmp_path, full_result())
    assert "matplotlib.pyplot" not in sys.modules


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    write_report(tmp_path, full_result())
    before = (tmp_path / "report.md").read_bytes()

    def no_space(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    changed = full_result() | {"title": "Another"}
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path, changed)
    assert (tmp_path / "report.md").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {
        report.REPORT,
        report.METRICS,
        *CLASS_PLOTS,
    }


@pytest.mark.parametrize("arms", [None, {}, {"alone": {"seeds": []}}])
def test_nothing_to_report(tmp_path, arms):
    with pytest.raises(ValueError, match="at least one arm"):
        write_report(tmp_path, {"arms": arms})
    assert not list(tmp_path.iterdir())


def test_machine():
    machine = machine_description()
    assert machine["cores"] >= 1 and machine["processor"]
    assert machine["versions"]["numpy"] == np.__version__
    json.dumps(machine)
