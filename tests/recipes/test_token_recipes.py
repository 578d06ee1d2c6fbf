"""Recipes of tasks of tokens, on files in miniature."""

import gzip
import json

import pytest

from tests import tiny
from tests import tiny_tokens
from tests.recipes.files import stored

SMALL = [
    "--student", "transformer", "--width", "16", "--heads", "2",
    "--intermediate", "16", "--dropout", "0", "--steps", "60",
    "--evaluate-every", "30", "--batch-size", "8", "--learning-rate", "0.02",
    "--max-length", "16", "--validation-rows", "10",
]  # fmt: skip


@pytest.fixture
def no_files(monkeypatch):
    """Exports and plots are tested elsewhere."""
    from keras_kd.evaluation import report
    from keras_kd.runs.student_files import StudentFiles

    monkeypatch.setattr(
        StudentFiles,
        "write",
        lambda files, name: {"file": name, "format": "none"},
    )
    monkeypatch.setattr(report, "write_plots", lambda folder, result: [])


def test_conll2003(run_recipe, no_files, tmp_path):
    sentences = tiny_tokens.make_sentences(120)
    data = tmp_path / "conll"
    parts = {"train": 60, "valid": 90, "test": 120}
    start = 0
    for name, stop in parts.items():
        tiny_tokens.write_conll(data / f"{name}.txt", sentences[start:stop])
        start = stop
    status, out, err = run_recipe(
        "conll2003", "--data", data, "--run", tmp_path / "run", *SMALL,
        "--teacher", tiny_tokens.write_teacher(tmp_path),
    )  # fmt: skip
    assert status == 0, err
    result = stored(tmp_path / "run")
    assert result["labels"] == tiny_tokens.TAGS
    assert (result["data"]["validation"], result["data"]["test"]) == (30, 30)
    scores = result["arms"]["distilled"]["seeds"][0]["scores"]
    assert scores["entity_f1"] > 0.7
    assert "entity F1" in out


@pytest.mark.parametrize("recipe", ["conll2003", "squad", "cmrc2018"])
def test_students_of_teacher_layers_are_as_wide_as_it(run_recipe, recipe):
    flags = ["--student", "bert", "--teacher-layers", "0", "2"]
    for width in (None, 48):
        typed = [] if width is None else ["--width", width]
        status, out, err = run_recipe(
            recipe,
            *flags,
            *typed,
            "--teacher",
            "somebody/bert",
            "--print-config",
        )
        assert status == 0, err
        assert json.loads(out)["width"] == width


@pytest.mark.parametrize(
    "there, typed, expected",
    [
        (["1.1", "2.0"], [], "1.1"),
        (["2.0"], [], "2.0"),
        (["1.1", "2.0"], ["--squad-version", "2.0"], "2.0"),
    ],
)
def test_versions_of_squad_are_not_mixed(
    run_recipe, tmp_path, there, typed, expected
):
    for version in there:
        (tmp_path / f"train-v{version}.json").touch()
        (tmp_path / f"dev-v{version}.json").touch()
    # One of the other version.
    (tmp_path / "dev-v1.1.json").touch()
    status, out, err = run_recipe(
        "squad", "--data", tmp_path, *typed, "--teacher", "somebody/bert",
        "--print-config",
    )  # fmt: skip
    assert status == 0, err
    settings = json.loads(out)
    for part, name in (("train", "train"), ("test", "dev")):
        assert settings[part].endswith(f"{name}-v{expected}.json")


def test_squad(run_recipe, no_files, tmp_path):
    data = tmp_path / "squad"
    for seed, (name, count) in enumerate((("train", 70), ("dev", 30))):
        tiny_tokens.write_squad(
            data / f"{name}-v1.1.json", tiny_tokens.make_paragraphs(count, seed)
        )
    status, out, err = run_recipe(
        "squad", "--data", data, "--run", tmp_path / "run", *SMALL,
        "--stride", "4", "--teacher",
        tiny_tokens.write_teacher(tmp_path, "question_answering"),
    )  # fmt: skip
    assert status == 0, err
    result = stored(tmp_path / "run")
    # About ten: questions about one paragraph are not parted.
    assert 10 <= result["data"]["validation"] <= 12
    assert result["comparison"]["rows"] == 30
    scores = result["arms"]["distilled"]["seeds"][0]["scores"]
    assert scores["answer_f1"] > 0.6
    assert "answer F1" in out


@pytest.mark.parametrize(
    "with_train", [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_cmrc2018(run_recipe, no_files, tmp_path, monkeypatch, with_train):
    from keras_kd.teachers import fresh

    def small(vocabulary_size, num_outputs, pooling, **sizes):
        from keras_kd.models.transformer import transformer_student

        assert pooling is None
        return transformer_student(
            vocabulary_size, num_outputs, 1, 16, 2, pooling=None
        )

    monkeypatch.setattr(fresh, "transformer_student", small)
    data = tmp_path / "cmrc"
    data.mkdir()
    names = ["dev", "trial"] if not with_train else ["train", "dev", "trial"]
    for seed, name in enumerate(names):
        paragraphs = [
            {
                "context": f"甲乙{number}丙丁。" + "戊己庚" * (number % 3),
                "qas": [
                    {
                        "id": f"{name}-{number}",
                        "question": "什么？",
                        "answers": [{"text": "丙丁", "answer_start": 9}],
                    }
                ],
            }
            for number in range(40)
        ]
        document = json.dumps({"data": [{"paragraphs": paragraphs}]})
        with gzip.open(data / f"cmrc2018_{name}.json.gz", "wt") as file:
            file.write(document)
    status, out, err = run_recipe(
        "cmrc2018", "--data", data, "--run", tmp_path / "run", *SMALL[2:],
        "--max-length", "32", "--stride", "4", "--teacher-epochs", "1",
        "--teacher-floor", "0", "--steps", "4", "--evaluate-every", "4",
        "--mode", "both",
    )  # fmt: skip
    assert status in (0, 1), err
    if status:  # Nothing was learned in so few steps.
        assert "floor" in err
    else:
        result = stored(tmp_path / "run")
        configuration = result["configuration"]
        train = "train" if with_train else "dev"
        assert train in configuration["train"]
        repaired = result["data"]["repaired_or_cut"]
        name = "answers whose offset was repaired (train)"
        assert repaired[name] == 40


def test_files_of_cmrc(run_recipe, resolved, tmp_path):
    tiny.write_csv(tmp_path / "cmrc2018_dev.json", [])
    tiny.write_csv(tmp_path / "cmrc2018_trial.json", [])
    arguments = ["--data", tmp_path, "--teacher", "bert", "--run", "run"]
    status, _, err = run_recipe("cmrc2018", *arguments)
    assert status == 0, err
    tiny.write_csv(tmp_path / "cmrc2018_train.json", [])
    status, _, err = run_recipe("cmrc2018", *arguments)
    assert status == 0, err
    files = [
        (one.train.split("_")[-1], one.test.split("_")[-1]) for one in resolved
    ]
    assert files == [("dev.json", "trial.json"), ("train.json", "dev.json")]
