"""IMDB, and what all recipes have in common: modes, flags, files."""

import dataclasses
import gzip
import json
import shutil

import pytest

from keras_kd.configuration import Configuration
from tests import tiny
from tests.recipes.files import SMALL
from tests.recipes.files import stored


@pytest.fixture
def imdb(run_recipe):
    """Runs `python -m recipes.imdb`."""
    return lambda *arguments: run_recipe("imdb", *arguments)


@pytest.fixture
def data(tmp_path):
    """A folder as the recipe wants it, with labels as IMDB has them."""
    names = {"bad": "neg", "good": "pos"}
    rows = [(text, names[label]) for text, label in tiny.make_rows(150)]
    tiny.write_csv(tmp_path / "imdb" / "train.csv", rows[:60])
    tiny.write_csv(tmp_path / "imdb" / "test.csv", rows[60:90])
    text = "".join(f"{text}\n" for text, _ in rows[90:])
    (tmp_path / "imdb" / "unsup.txt").write_text(text, encoding="utf-8")
    return tmp_path / "imdb"


@pytest.fixture
def teacher(tmp_path):
    return tiny.write_teacher(tmp_path / "teacher", labels=["neg", "pos"])


class TestImdb:
    def test_help_has_its_own_flags_and_every_setting(self, imdb):
        status, out, _ = imdb("--help")
        assert status == 0
        for field in dataclasses.fields(Configuration):
            assert "--" + field.name.replace("_", "-") in out
        for flag in (
            "--data", "--run", "--mode", "--with-unlabelled", "--config",
            "--print-config",
        ):  # fmt: skip
            assert flag in out
        assert out.startswith(
            "usage: python -m recipes.imdb [--data DIR] [--run DIR] "
            "[settings]\n\n"
        )
        assert "Maas et al. 2011" in out
        assert "(default: 256)" in out

    def test_teacher_only(self, imdb, data, teacher, tmp_path):
        run = tmp_path / "run"
        status, out, err = imdb(
            "--data", data, "--teacher", teacher, "--run", run, "--mode",
            "teacher", *SMALL,
        )  # fmt: skip
        assert status == 0, err
        assert "The teacher scores 1.000" in out
        result = stored(run)
        assert set(result["arms"]) == {"teacher"}
        assert result["labels"] == ["neg", "pos"]
        assert result["data"]["test"] == 30
        assert not (run / "units").exists()

    def test_both_with_unlabelled_texts(
        self, imdb, data, teacher, tmp_path, quick
    ):
        with open(data / "unsup.txt", "rb") as plain:
            with gzip.open(data / "unsup.txt.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
        (data / "unsup.txt").unlink()
        run = tmp_path / "run"
        status, out, err = imdb(
            "--data", data, "--teacher", teacher, "--run", run,
            "--with-unlabelled", "--mode", "both", *SMALL,
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert list(result["arms"]) == ["teacher", "alone", "distilled"]
        assert result["data"]["train"] == 40
        assert result["data"]["validation"] == 20
        assert result["data"]["test"] == 30
        assert result["data"]["unlabelled"] == 60
        for arm in ("alone", "distilled"):
            (seed,) = result["arms"][arm]["seeds"]
            assert seed["steps"] == 3
        assert result["command"].startswith("imdb.py --data ")
        assert "student distilled" in out
        assert stored(run, "config.json")["layers"] == 1

    def test_reviews_of_tfds(self, imdb, teacher, tmp_path, quick):
        tfds = pytest.importorskip("tensorflow_datasets")
        run = tmp_path / "run"
        with tfds.testing.mock_data(num_examples=100):
            status, _, err = imdb(
                "--teacher", teacher, "--run", run, "--mode", "student",
                "--with-unlabelled", *SMALL, "--max-length", "32",
            )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        assert result["labels"] == ["neg", "pos"]
        assert result["data"]["test"] == 100
        assert set(result["arms"]) == {"alone"}
        (seed,) = result["arms"]["alone"]["seeds"]
        assert seed["steps"] == 3
        assert stored(run, "config.json")["train"] == (
            "tfds:imdb_reviews/plain_text"
        )

    @pytest.mark.parametrize(
        ("mode", "arms"),
        [
            ("teacher", ["teacher"]),
            ("student", ["alone"]),
            ("both", ["teacher", "alone", "distilled"]),
        ],
    )
    def test_modes_and_defaults(self, imdb, data, resolved, mode, arms):
        status, _, err = imdb("--data", data, "--run", "run", "--mode", mode)
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.arms == arms
        assert configuration.train == str(data / "train.csv")
        assert configuration.test == str(data / "test.csv")
        assert configuration.unlabelled is None
        assert configuration.max_length == 256
        assert configuration.steps == 2500

    def test_flags_stand_above_the_recipe(self, imdb, data, resolved):
        status, _, err = imdb(
            "--data", data, "--run", "run", "--student", "transformer",
            "--layers", "2", "--steps", "9", "--with-unlabelled", "--seeds",
            "0", "1", "--test", "other.csv",
        )  # fmt: skip
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.student == "transformer"
        assert configuration.layers == 2
        assert configuration.steps == 9
        assert configuration.seeds == [0, 1]
        assert configuration.test == "other.csv"
        assert configuration.unlabelled == str(data / "unsup.txt")

    def test_splits_of_tfds(self, imdb, resolved):
        imdb("--run", "run", "--with-unlabelled")
        (configuration,) = resolved
        name = "tfds:imdb_reviews/plain_text"
        assert configuration.train == name
        assert configuration.test == name
        assert configuration.unlabelled == name
        assert configuration.train_split == "train"
        assert configuration.test_split == "test"
        assert configuration.unlabelled_split == "unsupervised"

    def test_folder_without_the_files(self, imdb, tmp_path, resolved):
        status, out, err = imdb("--data", tmp_path, "--run", "run")
        assert status == 1
        assert err == (
            f"keras-kd: '{tmp_path}' has neither train.csv nor train.csv.gz. "
            "Give the folder of the data set with --data.\n"
        )
        assert not resolved

    def test_print_config(self, imdb, data, resolved):
        status, out, err = imdb(
            "--data", data, "--steps", "9", "--mode", "teacher",
            "--print-config",
        )  # fmt: skip
        assert (status, err) == (0, "")
        settings = json.loads(out)
        assert settings["train"] == str(data / "train.csv")
        assert settings["steps"] == 9
        assert settings["max_length"] == 256
        assert settings["arms"] == ["teacher"]
        assert not resolved

    def test_file_of_settings_stands_below_flags(
        self, imdb, data, resolved, tmp_path
    ):
        file = tmp_path / "settings.json"
        file.write_text(
            json.dumps(
                {
                    "train": "other.csv",
                    "test": "other.csv",
                    "steps": 7,
                    "width": 5,
                    "arms": ["alone"],
                }
            )  # fmt: skip
        )
        for arguments in (
            [],
            ["--data", data, "--mode", "teacher", "--width", "6"],
            ["--data", data, "--test", "mine.csv", "--arms", "control"],
        ):
            status, _, err = imdb("--config", file, *arguments)
            assert status == 0, err
        alone, teacher, control = resolved
        # It stands above the recipe, ...
        assert (alone.train, alone.arms) == ("other.csv", ["alone"])
        assert (alone.steps, alone.width, alone.max_length) == (7, 5, 256)
        # ... and below all that was typed, the recipe's own flags too.
        assert teacher.train == str(data / "train.csv")
        assert teacher.test == str(data / "test.csv")
        assert teacher.arms == ["teacher"]
        assert (teacher.steps, teacher.width) == (7, 6)
        assert control.test == "mine.csv"
        assert control.arms == ["control"]

    def test_message_names_the_flag(self, imdb, data):
        status, _, err = imdb("--data", data, "--max-length", "3")
        assert status == 1
        assert err == "keras-kd: --max-length must be 8 or more. Received: 3.\n"

    def test_run_folder_has_a_name_by_itself(self, imdb, monkeypatch):
        folders = []
        monkeypatch.setattr(
            "keras_kd.runs.distillation.distill",
            lambda settings, folder, command: folders.append(str(folder)),
        )
        status, _, err = imdb("--student", "transformer", "--layers", "2")
        assert status == 0, err
        assert folders == ["saved_models/imdb-transformer-2"]
