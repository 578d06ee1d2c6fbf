"""TinyBERT's stages in miniature, and the tasks of GLUE."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_kd.data.sources import read_examples
from keras_kd.models.start import start_from
from keras_kd.models.students import build_student
from keras_kd.runs import training
from recipes import recipe
from recipes import sst2
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
    result = general / "units" / "general" / "result.json"
    history = json.loads(result.read_text())["history"]
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


@pytest.fixture
def start_of_general_stage(folder, monkeypatch):
    """The score and the student with which the general stage begins."""

    def score_alone(unit, distiller, batches, score, *args, **kwargs):
        distiller.run_eagerly = True
        point = {"validation": score(), "step": 0}
        scores.append(point["validation"])
        return {
            "history": [point],
            "best_score": point["validation"],
            "best_step": 0,
            "seconds": 0.0,
        }

    def start(teacher, *flags):
        run(
            "--stage=general", f"--data={folder / 'texts.txt'}", *SIZES,
            f"--teacher={teacher}", f"--run={folder / 'general'}",
            "--max-length=16", "--validation-texts=60", "--test-texts=20",
            *flags,
        )  # fmt: skip
        path = folder / "general" / "student.keras"
        return scores[-1], keras.saving.load_model(path)

    scores = []
    monkeypatch.setattr(training, "train_unit", score_alone)
    return start


@pytest.mark.parametrize("classes", [None, 3])
def test_general_stage_needs_no_head(classes, folder, start_of_general_stage):
    head = {} if classes is None else {"num_labels": classes}
    teacher = tiny.write_bert(folder / "other", head=bool(head), **head)
    score, student = start_of_general_stage(teacher)
    assert -100 < score < 0
    assert student.get_layer("transformer_layer_0").output.shape[-1] == 2


def test_general_stage_from_layers_of_the_teacher(
    folder, start_of_general_stage
):
    teacher = folder / "bert"
    score, student = start_of_general_stage(teacher, "--teacher-layers", "0")
    assert student.get_layer("transformer_layer_0").output.shape[-1] == 2
    task = build_student(
        "bert",
        len(tiny.WORDS),
        2,
        layers=1,
        width=2,
        max_length=16,
        heads=2,
        intermediate=4,
    )
    assert start_from(task, folder / "general" / "student.keras") == ["logits"]


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
    from keras_kd.runs.run_sources import read_part

    for name in ("train", "dev"):
        lines = [line for line in (header, row) if line]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    run(f"--task={task}", f"--data={tmp_path}", "--print-config")
    settings = json.loads(capsys.readouterr().out)
    assert settings["metric"] == metric
    (example,) = read_part(Configuration.from_dict(settings), "test")
    assert example.fields == (("a b",) if task == "CoLA" else ("a", "b"))
    assert example.label in ("1", "entailment", "5.0")


def test_no_phrase_of_a_validation_sentence_of_sst2_is_trained_on(
    folder, resolved
):
    data = folder / "SST-2"
    lines = (data / "train.tsv").read_text().splitlines()
    phrases = [
        "\t".join([" ".join(line.split()[:2]), "1"]) for line in lines[1:]
    ]
    (data / "train.tsv").write_text("\n".join([*lines, *phrases, ""]))
    run(
        "--task=SST-2", f"--data={data}", f"--teacher={folder / 'bert'}",
        f"--run={folder / 'task'}", "--validation-rows=10",
    )  # fmt: skip
    (configuration,) = resolved
    given = list(read_examples(data / "train.tsv", text="sentence"))
    expected = sst2.split_by_sentence(given, 10)
    written = [
        list(read_examples(path))
        for path in (configuration.train, configuration.validation)
    ]
    for part, examples in zip(written, expected):
        assert [e.fields for e in part] == [e.fields for e in examples]
    assert len(written[1]) == 10 and len(written[0]) < len(given) - 10
    assert configuration.layer_losses == tinybert_glue.LAYERS


@pytest.mark.parametrize("mismatched", [True, False])
def test_mnli_has_a_second_test_set(
    mismatched, tmp_path, resolved, monkeypatch
):
    names = ["train", "dev_matched"] + ["dev_mismatched"] * mismatched
    for name in names:
        (tmp_path / f"{name}.tsv").write_text(
            "sentence1\tsentence2\tgold_label\na\tb\tneutral\n"
        )
    seen = []
    monkeypatch.setattr(
        recipe, "score_further", lambda run, further: seen.append(further)
    )
    arguments = ["--task=MNLI", f"--run={tmp_path / 'run'}", "--teacher=bert"]
    run(*arguments, f"--data={tmp_path}")
    path = str(tmp_path / "dev_mismatched.tsv")
    assert seen == [{"mismatched": {"test": path}} if mismatched else {}]
    assert resolved[0].test == str(tmp_path / "dev_matched.tsv")
    # A part of rows of one's own is tested on alone.
    run(*arguments, f"--train={tmp_path / 'train.tsv'}")
    assert seen[1:] == [{}] and resolved[1].test is None


def test_a_file_of_texts_is_no_task(folder, capsys):
    flags = ["--task=SST-2", f"--data={folder / 'texts.txt'}"]
    assert tinybert_glue.main(flags) == 1
    assert "for --stage general" in capsys.readouterr().err


def test_broken_lines_of_qqp_are_left_out(tmp_path, resolved, capsys):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    row = "0\t1\t2\tis it ?\twas it ?\t1"
    for name in ("train", "dev"):
        lines = [header, row, "7\t8\tbroken", row]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    run(
        "--task=QQP", f"--data={tmp_path}", f"--run={tmp_path / 'run'}",
        "--teacher=bert",
    )  # fmt: skip
    assert "1 lines of" in capsys.readouterr().out
    rows = list(read_examples(resolved[0].train, text_pair="text_pair"))
    assert [one.fields for one in rows] == [("is it ?", "was it ?")] * 2
    assert [one.label for one in rows] == ["1", "1"]


class TestGeneralStage:
    """What it refuses: in a run with other settings it would train nothing."""

    @pytest.fixture
    def flags(self, folder):
        return [
            "--stage=general", f"--data={folder / 'texts.txt'}", *SIZES,
            f"--teacher={folder / 'bert'}", f"--run={folder / 'general'}",
            "--max-length=16", "--validation-texts=60", "--test-texts=20",
            "--steps=2", "--evaluate-every=2", "--batch-size=4",
        ]  # fmt: skip

    def test_other_settings_texts_and_teachers(self, folder, flags, capsys):
        run(*flags)
        first = (folder / "general" / "student.keras").read_bytes()
        for other, said in (
            (["--steps=4"], "--steps was 2, and is 4 now"),
            (["--layer-losses", "attention_kl"], "--layer-losses was"),
            (["--texts=9"], "`texts` was 20000, and is 9 now"),
        ):
            assert tinybert_glue.main([*flags, *other]) == 1
            assert said in capsys.readouterr().err
        shutil.rmtree(folder / "general" / "tokens")
        with open(folder / "texts.txt", "a") as file:
            file.write("another text\n")
        assert tinybert_glue.main(flags) == 1
        assert "The data of the run" in capsys.readouterr().err
        tiny.change_weights(folder / "bert")
        assert tinybert_glue.main(flags) == 1
        assert "The teacher of the run" in capsys.readouterr().err
        assert (folder / "general" / "student.keras").read_bytes() == first

    @pytest.mark.parametrize(
        "given, said",
        [
            (["--embeddings", "teacher"], "--embeddings"),
            (["--precision=mixed_bfloat16", "--prune=0.5"], "--prune"),
            (["--mode=prepare"], "--mode"),
            (["--seeds", "0", "1"], "one seed"),
            (["--max-length=600"], "--max-length must be at most"),
            (["--data=no_file.txt"], "--data must be a file"),
        ],
    )
    def test_what_it_would_ignore(self, given, said, flags, folder, capsys):
        assert tinybert_glue.main([*flags, *given]) == 1
        assert said in capsys.readouterr().err
        assert not (folder / "general" / "units").exists()

    def test_copy_of_layers_has_the_sizes_of_its_teacher(self, capsys):
        tinybert_glue.main(
            ["--train=x.csv", "--teacher-layers", "0", "5", "--print-config"]
        )
        settings = json.loads(capsys.readouterr().out)
        sizes = ("width", "heads", "intermediate")
        assert [settings[size] for size in sizes] == [None, None, None]

    def test_sizes_of_a_copy_of_layers_of_the_teacher(self, flags, capsys):
        flags = [flag for flag in flags if flag not in SIZES]
        run(*flags, "--teacher-layers", "0", "2", "5", "--print-config")
        settings = json.loads(capsys.readouterr().out)
        assert (settings["layers"], settings["width"]) == (3, 312)

    def test_weights_of_its_losses_and_the_configuration(self, flags, capsys):
        run(*flags, "--layer-weight", "1", "2", "3", "--print-config")
        settings = json.loads(capsys.readouterr().out)
        assert settings["layer_losses"] == tinybert_glue.LAYERS
        assert settings["layer_weight"] == [1, 2, 3]
