"""A recipe that searches instead of distilling once."""

from keras_kd.studies import study as study_module
from keras_kd.tuning import tune as tune_module
from keras_kd.tuning.search import Search
from tests import tiny


def test_recipe_searches(run_recipe, resolved, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        tune_module, "tune", lambda *args, **kwargs: calls.append(args)
    )
    train = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(40))
    status, _, err = run_recipe(
        "own_data", "--train", train, "--teacher", "bert", "--run",
        tmp_path / "run", "--tune", "alpha", "layers=1,2", "--trials", "3",
    )  # fmt: skip
    assert status == 0, err
    ((configuration, folder, search),) = calls
    assert configuration.train == str(train)
    assert folder == str(tmp_path / "run")
    assert search == Search(["alpha", "layers=1,2"], trials=3)
    assert not resolved  # Nothing else was started.


def test_recipe_studies(run_recipe, resolved, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        study_module, "study", lambda *args, **kwargs: calls.append(args)
    )
    train = tiny.write_csv(tmp_path / "train.csv", tiny.make_rows(40))
    arguments = ["--train", train, "--teacher", "bert", "--run", tmp_path / "r"]
    status, _, err = run_recipe(
        "own_data", *arguments, "--study", "temperature", "1", "20"
    )
    assert status == 0, err
    ((kind, configuration, folder, values),) = calls
    assert (kind, values) == ("temperature", ("1", "20"))
    assert configuration.train == str(train) and folder == str(tmp_path / "r")
    assert not resolved  # Nothing else was started.
    status, _, err = run_recipe("own_data", *arguments, "--study", "weather")
    assert status == 1 and "--study must be one of ['methods'," in err
    status, _, err = run_recipe(
        "own_data", *arguments, "--study", "temperature", "--tune", "alpha"
    )
    assert status == 1 and "--tune and --study are two runs" in err
