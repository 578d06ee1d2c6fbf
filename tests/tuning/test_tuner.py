"""KerasTuner's loop, on a score that is known."""

import math
import sys

import pytest

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.tuning import tuner
from keras_kd.tuning.ranges import read_ranges
from keras_kd.tuning.search import Search
from keras_kd.tuning.tuner import search_trials

TUNE = ["temperature", "alpha"]
INTERVALS = 9


def planted(values, intervals=INTERVALS):
    """Best at a temperature of 3 and an alpha of 0.7; rises with training."""
    score = 1.0 - (math.log(values["temperature"] / 3.0)) ** 2
    score -= (values["alpha"] - 0.7) ** 2
    return score - 0.5 / intervals


@pytest.fixture
def run(tmp_path):
    """Runs a search; keeps what was tried."""

    def run(algorithm="random", trials=None, score=planted, tune=TUNE):
        tried = []

        def run_trial(values, intervals):
            tried.append((values, intervals))
            return score(values, intervals)

        search = Search(tune, algorithm, trials)
        ranges = read_ranges(tune, Configuration())
        result = search_trials(search, ranges, INTERVALS, tmp_path, run_trial)
        return result, tried

    return run


@pytest.mark.parametrize(
    ("algorithm", "trials"), [("random", 40), ("bayesian", 20)]
)
def test_planted_optimum_is_found(run, algorithm, trials):
    result, tried = run(algorithm, trials)
    assert len(result) == len(tried) == trials
    best, _, completed, _ = max(result, key=lambda one: planted(one[0]))
    assert completed
    assert 2.2 < best["temperature"] < 4.1
    assert 0.5 < best["alpha"] < 0.9


def test_hyperband_finds_it_with_few_whole_trainings(run):
    result, tried = run("hyperband")
    whole = [one for one in result if one[1] == INTERVALS]
    assert 0 < len(whole) < len(result) / 2
    assert {intervals for _, intervals, _, _ in result} == {1, 3, 9}
    best = max(result, key=lambda one: planted(one[0], one[1]))
    assert best in whole
    assert 2.2 < best[0]["temperature"] < 4.1
    assert not any("tuner/" in name for name in best[0])


def test_number_of_trials_holds_for_hyperband_too(run):
    assert len(run("hyperband", 5)[0]) == 5


def test_search_goes_on(run):
    first, _ = run("random", 3)
    again, tried = run("random", 5)
    assert again[:3] == first
    assert len(tried) == 2


def test_trial_that_was_cut_off_comes_first(run):
    def killed(values, intervals):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(values)
        return planted(values)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run("random", 4, killed)
    result, tried = run("random", 4)
    assert len(tried) == 2
    assert [one[0] for one in result] == [*seen, *(v for v, _ in tried)]


@pytest.mark.parametrize("name", ["oracle.json", "tuner0.json"])
def test_project_that_was_half_written(run, tmp_path, name):
    first, _ = run("random", 3)
    file = tmp_path / tuner.PROJECT / name
    file.write_text(file.read_text()[:-20])
    again, tried = run("random", 3)
    # The same is asked for, which finished trials answer at once.
    assert again == first
    assert len(tried) == 3


def test_settings_that_cannot_stand_together_fail_a_trial(run):
    def refuse(values, intervals):
        if values["layers"] == 2:
            raise ConfigurationError("Two is one too many.")
        return float(values["layers"])

    result, _ = run("random", 3, refuse, ["layers=1,2,3"])
    by_layers = {values["layers"]: rest for values, _, *rest in result}
    assert by_layers[1][0] and by_layers[3][0]
    completed, message = by_layers[2]
    assert not completed
    assert message == "Two is one too many."


def test_error_that_is_no_trials_fault_ends_the_search(run):
    def full(values, intervals):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run("random", 3, full)


def test_without_keras_tuner(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match="pip install keras-tuner"):
        run("random", 1)


class TestSearch:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"algorithm": "grid"}, "`algorithm` must be one of"),
            ({"trials": 0}, "`trials` must be 1 or more"),
            ({"objectives": ["size"]}, "`objectives` must be score"),
            ({"objectives": ["score", "joy"]}, "`objectives` must be score"),
            ({"seed": -1}, "`search_seed` must be 0 or more"),
            ({"seed": 2**32}, "`search_seed` must be 0 or more, and below"),
        ],
    )
    def test_what_is_refused(self, settings, message):
        with pytest.raises(ConfigurationError, match=message):
            Search(**settings)

    def test_hyperband_knows_its_number_itself(self):
        assert Search(algorithm="hyperband").trials is None
        assert Search(algorithm="bayesian").trials == 20


def test_worker_is_told_by_keras_tuners_variables(monkeypatch):
    assert not tuner.is_worker()
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    for name, expected in (("chief", False), ("worker0", True)):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        assert tuner.is_worker() is expected
        from keras_tuner.src.distribute.utils import is_chief_oracle

        assert is_chief_oracle() is not expected


def test_worker_waits_for_the_chief(tmp_path):
    file = tmp_path / "labelled.json"

    class Said(list):
        def append(self, text):
            super().append(text)
            file.write_text("{}")

    said = Said()
    tuner.wait_for(file, said.append, seconds=0.001)
    assert said == [
        "Waiting for the chief to prepare the rows and the teacher ..."
    ]
