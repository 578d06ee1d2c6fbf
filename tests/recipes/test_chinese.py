"""ChnSentiCorp and TNEWS: teachers from scratch, chosen classes."""

import dataclasses
import json

import pytest

from keras_kd.configuration import Configuration
from keras_kd.data.sources import read_examples
from keras_kd.data.tokenization import Tokenizer
from keras_kd.teachers import teacher as teacher_module
from keras_kd.teachers.teacher import Teacher
from keras_kd.teachers.teacher import is_saved_teacher
from recipes.recipe_steps import make_teacher
from tests.recipes.files import CHINESE
from tests.recipes.files import CHINESE_NEUTRAL
from tests.recipes.files import SMALL
from tests.recipes.files import chinese_rows
from tests.recipes.files import stored
from tests.recipes.files import write_table


class TestChnsenticorp:
    @pytest.fixture
    def data(self, tmp_path):
        rows = chinese_rows(180)
        folder = tmp_path / "chn"
        for name, part in (
            ("train", rows[:100]),
            ("dev", rows[100:140]),
            ("test", rows[140:]),
        ):
            write_table(folder / f"{name}.tsv", ("label", "text"), part)
        return folder

    @pytest.fixture
    def arguments(self, data, tmp_path):
        return [
            "--data", data, "--run", tmp_path / "run", *SMALL, "--max-length",
            "16", "--teacher-epochs", "20", "--teacher-learning-rate", "0.05",
        ]  # fmt: skip

    def test_fresh_teacher_is_made_once(
        self, run_recipe, arguments, tmp_path, quick, small_fresh_teacher
    ):
        status, out, err = run_recipe("chnsenticorp", *arguments)
        assert status == 0, err
        assert "Making a teacher from scratch ..." in out
        assert "Fine-tuning the teacher ..." in out
        (folder,) = (tmp_path / "run-data").iterdir()
        run = tmp_path / "run"
        configuration = stored(run, "config.json")
        assert configuration["teacher"] == str(folder)
        assert configuration["fine_tune_teacher"] is True
        (untrained,) = small_fresh_teacher
        assert untrained["max_length"] == 16
        # All characters that occur twice, behind the special tokens.
        tokenizer = Tokenizer.from_folder(folder)
        signs = set("".join(CHINESE.values()) + CHINESE_NEUTRAL)
        assert set(tokenizer.vocabulary[5:]) == signs
        # What was saved is the untrained one; the run keeps the trained one.
        result = stored(run)
        (seed,) = result["arms"]["teacher"]["seeds"]
        assert seed["scores"]["accuracy"] > 0.9
        before, after = Teacher.open(folder), Teacher.open(run / "teacher")
        assert before.labels == after.labels == ["0", "1"]
        assert before.fingerprint["weights"] != after.fingerprint["weights"]

        modified = (folder / "model.keras").stat().st_mtime_ns
        status, out, err = run_recipe("chnsenticorp", *arguments)
        assert status == 0, err
        assert "Making" not in out and "Fine-tuning" not in out
        assert "Student, distilled, seed 0: done before." in out
        assert len(small_fresh_teacher) == 1
        assert (folder / "model.keras").stat().st_mtime_ns == modified

    def test_other_settings_make_another_teacher(
        self, run_recipe, arguments, tmp_path, quick, small_fresh_teacher
    ):
        for more in ([], ["--max-length", "12"], ["--vocabulary-size", "10"]):
            status, out, err = run_recipe(
                "chnsenticorp", *arguments, "--mode", "prepare", *more
            )
            assert status == 0, err
        assert len(small_fresh_teacher) == 3
        assert len(list((tmp_path / "run-data").iterdir())) == 3

    def test_other_rows_and_columns_make_another_teacher(
        self, tmp_path, small_fresh_teacher
    ):
        path, folder = tmp_path / "train.tsv", tmp_path / "teachers"
        settings = Configuration(train=str(path))
        made = []
        # Further signs in the same file: its path says nothing of them.
        for extra in ("", "猫"):
            rows = [(n, text + extra, "狗") for n, text in chinese_rows(20)]
            write_table(path, ("label", "text", "other"), rows)
            made.append(make_teacher(settings, "character", folder))
        settings = dataclasses.replace(settings, text="other")
        made.append(make_teacher(settings, "character", folder))
        assert make_teacher(settings, "character", folder) == made[2]
        signs = [set(Tokenizer.from_folder(name).vocabulary) for name in made]
        assert ["猫" in found for found in signs] == [False, True, False]
        assert ["狗" in found for found in signs] == [False, False, True]
        assert len(small_fresh_teacher) == 3

    def test_nothing_half_written(
        self, run_recipe, arguments, tmp_path, quick, small_fresh_teacher,
        monkeypatch,
    ):  # fmt: skip
        def fail(path, value):
            raise OSError("no more room")

        monkeypatch.setattr(teacher_module, "write_json", fail)
        status, _, err = run_recipe("chnsenticorp", *arguments)
        assert (status, err) == (1, "keras-kd: no more room\n")
        assert list((tmp_path / "run-data").iterdir()) == []
        monkeypatch.undo()

    def test_with_a_teacher_none_is_made(
        self, run_recipe, data, resolved, small_fresh_teacher
    ):
        status, _, err = run_recipe(
            "chnsenticorp", "--data", data, "--run", "run", "--teacher", "bert"
        )
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.teacher == "bert"
        assert configuration.fine_tune_teacher is None
        assert configuration.teacher_learning_rate == 5e-5
        assert not small_fresh_teacher

    def test_settings_come_back_from_print_config(
        self, run_recipe, data, resolved, tmp_path, small_fresh_teacher
    ):
        status, out, _ = run_recipe(
            "chnsenticorp", "--data", data, "--print-config"
        )
        assert status == 0
        printed = json.loads(out)
        assert printed["teacher"] is None
        assert printed["fine_tune_teacher"] is True
        assert printed["teacher_learning_rate"] == 5e-4
        assert not small_fresh_teacher
        file = tmp_path / "settings.json"
        file.write_text(out)
        run_recipe("chnsenticorp", "--config", file, "--run", tmp_path / "run")
        (configuration,) = resolved
        assert is_saved_teacher(configuration.teacher)
        printed["teacher"] = configuration.teacher
        assert configuration.to_dict() == printed


class TestTnews:
    @pytest.fixture
    def data(self, tmp_path):
        """Six classes; of two, the text says which."""
        known = chinese_rows(120, ("news_story", "news_sports"))
        other = [
            (f"news_{name}", text)
            for name, (_, text) in zip(
                ["car", "house", "game", "tech"] * 15, chinese_rows(60, seed=5)
            )
        ]
        header = ("label", "text")
        folder = tmp_path / "tnews"
        write_table(folder / "train.tsv", header, known[:80] + other[:40])
        write_table(folder / "dev.tsv", header, other[40:] + known[80:])
        return folder

    def run(self, run_recipe, data, tmp_path, *arguments):
        return run_recipe(
            "tnews", "--data", data, "--run", tmp_path / "run", *SMALL,
            "--max-length", "16", "--teacher-epochs", "20",
            "--teacher-learning-rate", "0.05", *arguments,
        )  # fmt: skip

    def test_rows_of_some_classes(
        self, run_recipe, data, tmp_path, quick, small_fresh_teacher
    ):
        status, out, err = self.run(
            run_recipe, data, tmp_path, "--classes", "story, news_sports"
        )
        assert status == 0, err
        result = stored(tmp_path / "run")
        # Sorted, however they were typed.
        assert result["labels"] == ["news_sports", "news_story"]
        assert result["data"]["train"] == 60
        assert result["data"]["validation"] == 20
        assert result["data"]["test"] == 40
        (seed,) = result["arms"]["teacher"]["seeds"]
        assert seed["scores"]["accuracy"] > 0.9
        expected = [
            (e.fields, e.label)
            for e in read_examples(data / "train.tsv")
            if e.label in ("news_story", "news_sports")
        ]
        written = read_examples(tmp_path / "run-data" / "train.jsonl")
        assert [(e.fields, e.label) for e in written] == expected

    def test_all_classes_are_read_from_the_files_themselves(
        self, run_recipe, data, resolved, tmp_path, small_fresh_teacher
    ):
        status, _, err = self.run(run_recipe, data, tmp_path)
        assert status == 0, err
        (configuration,) = resolved
        assert configuration.train == str(data / "train.tsv")
        assert configuration.test == str(data / "dev.tsv")
        assert not (tmp_path / "run-data" / "train.jsonl").exists()

    def test_unknown_class(self, run_recipe, data, tmp_path, resolved):
        status, _, err = self.run(
            run_recipe, data, tmp_path, "--classes", "story,sprots"
        )
        assert status == 1
        assert err == (
            f"keras-kd: {data / 'train.tsv'} has no row of the classes "
            "['news_sprots']. It has: ['news_car', 'news_game', 'news_house', "
            "'news_sports', 'news_story', 'news_tech']. Check --classes.\n"
        )
        assert list((tmp_path / "run-data").iterdir()) == []
        assert not resolved

    def test_files_of_another_form(
        self, run_recipe, data, tmp_path, resolved, small_fresh_teacher
    ):
        """Columns, delimiter and encoding are those of the given files."""
        rows = [(e.fields[0], e.label) for e in read_examples(data / "dev.tsv")]
        lines = [f"{text};{label}" for text, label in [("t", "c"), *rows]]
        file = tmp_path / "mine.csv"
        file.write_text("\n".join(lines), encoding="gb18030")
        status, _, err = run_recipe(
            "tnews", "--train", file, "--test", file, "--text", "t",
            "--label", "c", "--delimiter", ";", "--encoding", "gb18030",
            "--classes", "story,car", "--run", tmp_path / "run",
        )  # fmt: skip
        assert status == 0, err
        (configuration,) = resolved
        wanted = [row for row in rows if row[1] in ("news_story", "news_car")]
        for part in (configuration.train, configuration.test):
            read = read_examples(
                part,
                text=configuration.text,
                label=configuration.label,
                delimiter=configuration.delimiter,
                encoding=configuration.encoding,
            )
            assert [(e.fields[0], e.label) for e in read] == wanted
