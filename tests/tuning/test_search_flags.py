"""`keras-kd tune`: what is typed becomes a search."""

import pytest

from keras_kd.cli import main
from keras_kd.tuning import tune as tune_module
from keras_kd.tuning.search import Search


@pytest.fixture
def started(monkeypatch):
    """What `tune` was called with, and not run."""
    calls = []
    monkeypatch.setattr(
        tune_module,
        "tune",
        lambda *args, **kwargs: calls.append((args, kwargs)),
    )
    return calls


def command(folder, *arguments):
    flags = ["--train", "a.csv", "--teacher", "bert", "--run", str(folder)]
    return main(["tune", *flags, *arguments])


def test_usual_search(started, tmp_path):
    assert command(tmp_path) == 0
    (((configuration, folder, search), options),) = started
    assert (configuration.train, folder) == ("a.csv", str(tmp_path))
    assert configuration.seeds == [0, 1, 2]
    assert search == Search()
    assert search.seed not in configuration.seeds
    assert options["command"]


def test_all_flags(started, tmp_path):
    command(
        tmp_path, "--tune", "alpha=0:1", "student", "--algorithm", "hyperband",
        "--trials", "7", "--objectives", "score", "size", "--search-seed", "9",
        "--steps", "50",
    )  # fmt: skip
    (((configuration, _, search), _),) = started
    assert configuration.steps == 50
    assert search == Search(
        ["alpha=0:1", "student"], "hyperband", 7, ["score", "size"], 9
    )


def test_settings_are_shown_and_nothing_is_started(started, tmp_path, capsys):
    assert command(tmp_path, "--print-config") == 0
    assert '"temperature": 2.0' in capsys.readouterr().out
    assert not started


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tune", "steps"], "`tune` must be some of"),
        (["--tune", "alpha=0:2"], "--alpha must be from 0 to 1. Received: 2.0"),
        (["--trials", "0"], "`trials` must be 1 or more"),
        (["--search-seed", "2"], "(--search-seed). Leave it out of --seeds"),
    ],
)
def test_mistakes_are_said_before_anything_is_read(
    tmp_path, capsys, arguments, message
):
    assert command(tmp_path / "run", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
