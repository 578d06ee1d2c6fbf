"""A recipe that searches instead of distilling once."""

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
