"""TinyBERT's stages in miniature, and the tasks of GLUE."""

import json

import keras
import numpy as np
import pytest

from recipes import tinybert_glue
from tests import tiny

SIZES = ["--layers=1", "--width=2", "--heads=2", "--intermediate=4"]


@pytest.fixture
def folder(tmp_path):
    tiny.write_bert(tmp_path / "bert")
    rows = tiny.make_rows(260)
    text = "".join(f"{text} {text}\n" for text, _ in rows)
    (tmp_path / "texts.txt").write_text(text)
    for name, part in (("train", rows[:60]), ("dev", rows[60:90])):
        lines = ["sentence\tlabel"]
        lines += [f"{text}\t{int(label == 'good')}" for text, label in part]
        path = tmp_path / "SST-2" / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return tmp_path


def run(*flags):
    assert tinybert_glue.main([*flags, "--traceback"]) == 0


@pytest.mark.slow
def test_general_stage_then_both_of_a_task(folder, capsys):
    general = folder / "general"
    common = [f"--teacher={folder / 'bert'}", "--max-length=16", *SIZES]
    common += ["--batch-size=8", "--dropout=0.0"]
    run(
        "--stage=general", f"--data={folder / 'texts.txt'}", *common,
        f"--run={general}", "--steps=40", "--evaluate-every=20",
        "--learning-rate=0.05", "--validation-texts=60", "--test-texts=20",
    )  # fmt: skip
    history = json.loads((general / "unit/result.json").read_text())["history"]
    assert history[0]["validation"] < history[-1]["validation"] < 0
    losses = {"embedding_mse", "hidden_state_mse", "attention_mse"}
    assert {f"{name}_loss" for name in losses} <= set(history[0])
    student = keras.saving.load_model(general / "student.keras")
    assert student.get_layer("transformer_layer_0").output.shape[-1] == 2
    capsys.readouterr()
    run(
        "--task=SST-2", f"--data={folder / 'SST-2'}", *common,
        f"--run={folder / 'task'}", f"--start-from={general}/student.keras",
        "--layer-steps=4", "--steps=4", "--evaluate-every=2",
        "--no-fine-tune-teacher", "--arms", "teacher", "alone", "distilled",
        "--export", "--validation-rows=20",
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "These layers begin afresh: none" in said
    units = folder / "task" / "units"
    assert sorted(unit.name for unit in units.iterdir()) == [
        "alone-0", "distilled-0", "distilled-0-layers",
    ]  # fmt: skip
    # Four steps of 0.0001 from where the general stage ended.
    begun = keras.saving.load_model(units / "alone-0" / "student.keras")
    for own, given in zip(begun.get_weights(), student.get_weights()):
        np.testing.assert_allclose(own, given[: len(own)], atol=1e-3)


def test_augment_alone_is_tinyberts_way(folder, capsys):
    run(
        "--task=SST-2", f"--data={folder / 'SST-2'}", "--augment",
        "--augment-masked-lm=somewhere", "--print-config",
    )  # fmt: skip
    settings = json.loads(capsys.readouterr().out)
    assert settings["augment"] == "tinybert"
    assert settings["layer_losses"] == tinybert_glue.LAYERS
    assert settings["task"] == "classification"


def test_prediction_has_no_layers(folder, capsys):
    run(
        "--task=SST-2", "--stage=prediction", f"--data={folder / 'SST-2'}",
        "--print-config",
    )  # fmt: skip
    settings = json.loads(capsys.readouterr().out)
    assert settings["layer_losses"] is None and settings["layer_steps"] == 0
    assert (settings["width"], settings["heads"]) == (312, 12)


@pytest.mark.parametrize(
    "task, header, row, metric",
    [
        ("MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
         "1\t7\t8\ta\tb", "f1"),
        ("CoLA", None, "gj04\t1\t\ta b", "mcc"),
        ("RTE", "index\tsentence1\tsentence2\tlabel",
         "0\ta\tb\tentailment", None),
        ("STS-B", "index\tgenre\tsentence1\tsentence2\tscore",
         "0\tmain\ta\tb\t5.0", None),
    ],
)  # fmt: skip
def test_columns_and_metric_of_a_task(
    task, header, row, metric, tmp_path, capsys
):
    from keras_kd.configuration import Configuration
    from keras_kd.run_sources import read_part

    for name in ("train", "dev"):
        lines = [line for line in (header, row) if line]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    run(f"--task={task}", f"--data={tmp_path}", "--print-config")
    settings = json.loads(capsys.readouterr().out)
    assert settings["metric"] == metric
    (example,) = read_part(Configuration.from_dict(settings), "test")
    assert example.fields == (("a b",) if task == "CoLA" else ("a", "b"))
    assert example.label in ("1", "entailment", "5.0")


def test_a_file_of_texts_is_no_task(folder, capsys):
    flags = ["--task=SST-2", f"--data={folder / 'texts.txt'}"]
    assert tinybert_glue.main(flags) == 1
    assert "for --stage general" in capsys.readouterr().err
