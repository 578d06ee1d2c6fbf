"""KerasTuner's algorithms, and its loop over trials."""

import json
import os
import shutil
import time
from pathlib import Path

# The environment variables are KerasTuner's own.
TUNER_ID = "KERASTUNER_TUNER_ID"
CHIEF_ADDRESS = "KERASTUNER_ORACLE_IP"
PROJECT = "keras_tuner"


def is_worker():
    """Whether another process, the chief, says what is to be tried."""
    return CHIEF_ADDRESS in os.environ and "chief" not in os.environ.get(
        TUNER_ID, "chief"
    )


def search_trials(search, ranges, intervals, folder, run_trial, say=print):
    """Runs the trials that KerasTuner asks for, until there are no more.

    What it knows stands in the folder, and is read again after a kill; the
    trial that was cut off comes first.

    Args:
        search: `Search`.
        ranges: List of `Range`.
        intervals: Validations of a whole training, which Hyperband gives to
            its last students, and a share of them to the others.
        folder: Where KerasTuner keeps its project.
        run_trial: Function of the values of the ranges and a number of
            intervals that gives the score; a `ValueError` fails the trial.
        say: Function that is told what happens.

    Returns:
        List of `(values, intervals, whether it was completed, message)` in the
        order of the trials; in a worker `None`: the chief knows.

    Raises:
        ImportError: KerasTuner is not installed.
        RuntimeError: Three trials in a row failed.
    """
    keras_tuner = _import_keras_tuner()
    from keras_tuner.engine.base_tuner import BaseTuner

    class Tuner(BaseTuner):
        def run_trial(self, trial):
            try:
                return {"score": run_trial(*_parts(trial, intervals))}
            except ValueError as error:
                raise keras_tuner.errors.FailedTrialError(str(error)) from error
            except Exception as error:
                # A full disk, say, is no fault of the trial's settings.
                raise keras_tuner.errors.FatalError(str(error)) from error

    def make():
        space = keras_tuner.HyperParameters()
        for one in ranges:
            one.add_to(space)
        oracle = _make_oracle(keras_tuner, search, space, intervals)
        oracle.verbose = 0
        return Tuner(oracle, directory=str(folder), project_name=PROJECT)

    try:
        tuner = make()
    except json.JSONDecodeError:
        if is_worker():
            raise
        # Killed while it was written. The trials themselves are kept by us:
        # they are found when they are asked for again.
        say("What KerasTuner kept can't be read; it begins once more.")
        shutil.rmtree(Path(folder) / PROJECT)
        tuner = make()
    try:
        tuner.search()
    except keras_tuner.errors.FatalError as error:
        raise error.__cause__ from None
    if is_worker():
        return None
    trials = [tuner.oracle.trials[key] for key in tuner.oracle.start_order]
    return [
        (*_parts(one, intervals), one.status == "COMPLETED", _message(one))
        for one in trials
    ]


def wait_for(file, say=print, seconds=1.0):
    """Waits, in a worker, until the chief has written a file."""
    if not file.exists():
        say("Waiting for the chief to prepare the rows and the teacher ...")
    while not file.exists():
        time.sleep(seconds)


def _parts(trial, intervals):
    """`(values, intervals)` of KerasTuner's trial."""
    values = dict(trial.hyperparameters.values)
    intervals = values.get("tuner/epochs", intervals)
    values = {n: v for n, v in values.items() if not n.startswith("tuner/")}
    return values, intervals


def _message(trial):
    """The error of a failed trial, without its traceback."""
    lines = (trial.message or "").strip().splitlines() or [""]
    return lines[-1].partition("Error: ")[2]


def _make_oracle(keras_tuner, search, space, intervals):
    options = {
        "objective": keras_tuner.Objective("score", "max"),
        "hyperparameters": space,
        "seed": search.seed + 1,  # It takes 0 for no seed.
    }
    if search.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(
            max_epochs=intervals,
            # As many sweeps as there are trials for.
            hyperband_iterations=1 if search.trials is None else None,
            **options,
        )
        oracle.max_trials = search.trials
        return oracle
    oracle = {
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "random": keras_tuner.oracles.RandomSearchOracle,
    }[search.algorithm]
    return oracle(max_trials=search.trials, **options)


def _import_keras_tuner():
    try:
        import keras_tuner
    except ImportError as error:
        raise ImportError(
            "A search needs KerasTuner, which is not installed. Run `pip "
            "install keras-tuner scikit-learn` and start again."
        ) from error
    return keras_tuner
