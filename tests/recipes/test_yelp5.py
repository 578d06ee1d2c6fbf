"""Yelp: which file is read, and stars in the teacher's order."""

import shutil

import pytest

from tests import tiny
from tests.recipes.files import SMALL
from tests.recipes.files import stored


class TestYelp5:
    @pytest.fixture
    def data(self, tmp_path):
        stars = {"bad": "1", "good": "5"}
        rows = [
            (stars[label], "Restaurants", text)
            for text, label in tiny.make_rows(140)
        ]
        header = ("stars", "category", "text")
        tiny.write_csv(tmp_path / "yelp5" / "dev.csv", rows[:100], header)
        tiny.write_csv(tmp_path / "yelp5" / "test.csv", rows[100:], header)
        return tmp_path / "yelp5"

    def test_stars_by_macro_f1(self, run_recipe, data, tmp_path, quick):
        run = tmp_path / "run"
        teacher = tiny.write_teacher(
            tmp_path / "teacher", outputs=5, labels=["1", "5", "2", "3", "4"]
        )
        status, out, err = run_recipe(
            "yelp5", "--data", data, "--teacher", teacher, "--run", run,
            *SMALL, "--metric", "macro_f1",
        )  # fmt: skip
        assert status == 0, err
        result = stored(run)
        # The teacher's order, as it knows all that is there.
        assert result["labels"] == ["1", "5", "2", "3", "4"]
        assert result["primary_metric"] == "macro_f1"
        assert result["data"]["train"] == 80

    def test_train_stands_before_dev(self, run_recipe, data, resolved):
        run_recipe("yelp5", "--data", data, "--run", "run")
        shutil.copy(data / "dev.csv", data / "train.csv")
        run_recipe("yelp5", "--data", data, "--run", "run")
        dev, train = resolved
        assert dev.train == str(data / "dev.csv")
        assert train.train == str(data / "train.csv")

    def test_neither(self, run_recipe, data, resolved):
        (data / "dev.csv").unlink()
        status, _, err = run_recipe("yelp5", "--data", data, "--run", "run")
        assert status == 1
        assert err == (
            f"keras-kd: '{data}' has neither train.csv nor train.csv.gz nor "
            "dev.csv nor dev.csv.gz. Give the folder of the data set with "
            "--data.\n"
        )
