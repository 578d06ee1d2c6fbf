"""A whole search: label once, try, and train the best on fresh seeds."""

import dataclasses
import math
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.errors import in_words
from keras_kd.evaluation.result import plain
from keras_kd.evaluation.tables import general
from keras_kd.evaluation.tables import text_table
from keras_kd.memory import keep_freed_memory
from keras_kd.runs.compare import Comparison
from keras_kd.runs.distillation import distill
from keras_kd.runs.run_folder import GROWING
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.teacher_checks import verdict_noted
from keras_kd.tuning.pareto import pareto_front
from keras_kd.tuning.ranges import apply_values
from keras_kd.tuning.ranges import read_ranges
from keras_kd.tuning.trials import Trials
from keras_kd.tuning.tuner import is_worker
from keras_kd.tuning.tuner import search_trials
from keras_kd.tuning.tuner import wait_for
from keras_kd.tuning.tuning_report import trial_columns
from keras_kd.tuning.tuning_report import write_tuning

SEARCH_FILE = "search.json"
LABELLED_FILE = "labelled.json"
TRIALS_FOLDER = "trials"
SHOWN = 10


def tune(configuration, folder, search, command="", say=print):
    """Searches for the settings that distil best, and trains them again.

    Every trial learns from the same targets, which the teacher gave once, and
    is judged on the validation rows. The best is trained on the
    configuration's seeds, beside the same student alone, and scored on the
    test rows. The same call goes on where it was stopped; with more `trials`
    it goes further.

    | file in the run folder | holds |
    |---|---|
    | `tuning.md`, `tuning.json`, `tuning.png` | trials, front and winner |
    | `trials/` | a run folder for each trial |
    | `winner-TRIAL/` | the run of the winner, with its student and report |
    | `keras_tuner/` | KerasTuner's own project |

    Args:
        configuration: `Configuration`; what is not searched.
        folder: The run folder.
        search: `Search`.
        command: The command line, for the reports.
        say: Function that is told what happens.

    Returns:
        The result that `tuning.json` holds, the winner's report in it; in a
        worker of a parallel search `None`.

    Raises:
        ConfigurationError: Another search stands in the folder, a seed of the
            trials is also one of the winner, or there is nothing to search.
        RuntimeError: Three trials in a row failed.
    """
    keep_freed_memory()
    folder = Path(folder)
    ranges = read_ranges(search.tune, configuration)
    if "distilled" not in configuration.arms:
        raise ConfigurationError(
            "A search is for the distilled student. Received: `arms` "
            f"{configuration.arms}. Add distilled."
        )
    if search.seed in configuration.seeds:
        raise ConfigurationError(
            "The winner must be trained on seeds that the search has not seen. "
            f"Received: `seeds` {configuration.seeds}, and {search.seed} for "
            "the search (--search-seed). Leave it out of `seeds`."
        )
    if is_worker():
        wait_for(folder / LABELLED_FILE, say)
    settings = {**configuration.to_dict(), **search.to_dict()}
    for name in (*GROWING, "trials", "objectives"):
        settings.pop(name)
    _refuse_others(folder, settings)
    run = RunFolder.start(folder, configuration, say=say)
    comparison = Comparison(configuration, run, say=say)
    say("Reading and tokenising the data ...")
    comparison.prepare()
    with verdict_noted(run):
        comparison.prepare_teacher()
    comparison.label()
    settings["data"] = comparison.rows.fingerprint
    settings["targets"] = comparison.targets.fingerprint
    _refuse_others(folder, settings)
    write_json(folder / SEARCH_FILE, plain(settings))
    labelled, calls = folder / LABELLED_FILE, comparison.teacher_calls
    if labelled.exists():
        calls += read_json(labelled)["calls"]
    write_json(labelled, {"calls": calls})
    trials = Trials(comparison, folder / TRIALS_FOLDER, search.seed)
    every = configuration.evaluate_every

    def steps_of(intervals):
        return min(intervals * every, configuration.steps)

    def run_trial(values, intervals):
        steps = steps_of(intervals)
        shown = ", ".join(f"{n} {general(v)}" for n, v in values.items())
        say(f"Trial, {steps} steps: {shown} ...")
        measured = trials.run(values, steps)
        say(
            f"  {comparison.task.primary_metric} {measured['score']:.4f} on "
            f"validation, {measured['latency']:.2f} ms a text, "
            f"{measured['size'] / 1e6:.2f} MB"
        )
        return measured["score"]

    asked = search_trials(
        search,
        ranges,
        math.ceil(configuration.steps / every),
        folder,
        run_trial,
        say,
    )
    if asked is None:
        return None
    done = [
        trials.run(values, steps_of(intervals))
        for values, intervals, completed, _ in asked
        if completed
    ]
    # A small space may be asked for the same more than once.
    done = list({one["folder"]: one for one in done}.values())
    failed = [
        {"settings": values, "message": message}
        for values, _, completed, message in asked
        if not completed
    ]
    # It begins with the best score: of equal ones with one that none beats.
    front = pareto_front(done, search.objectives)
    result = {
        "search": search.to_dict(),
        "configuration": configuration.to_dict(),
        "command": command,
        "primary_metric": comparison.task.primary_metric,
        "teacher_calls": calls,
        "trial_teacher_calls": sum(one["teacher_calls"] for one in done),
        "trials": done,
        "failed": failed,
        "front": front,
        "best": front[0] if front else None,
        "winner": None,
    }
    write_tuning(folder, result)
    if not done:
        raise RuntimeError(
            f"None of {len(failed)} trials was completed. The last one: "
            f"{failed[-1]['message'] if failed else 'there was none'}"
        )
    say("The best trials:")
    best = sorted(done, key=lambda one: -one["score"])[:SHOWN]
    say("\n".join(text_table(trial_columns(best, result))))
    say("Training the winner again, with fresh seeds ...")
    result["winner_folder"] = f"winner-{result['best']['folder']}"
    result["winner"] = distill(
        dataclasses.replace(
            apply_values(trials.configuration, result["best"]["settings"]),
            seeds=configuration.seeds,
            arms=configuration.arms,
        ),
        folder / result["winner_folder"],
        command=command,
        say=say,
    )
    say(f"\nThe search: {write_tuning(folder, result)}")
    return result


def _refuse_others(folder, settings):
    """Refuses other settings than those of the trials that are there."""
    file = folder / SEARCH_FILE
    stored = read_json(file) if file.exists() else {}
    different = {
        name: (stored[name], value)
        for name, value in plain(settings).items()
        if name in stored and stored[name] != value
    }
    if different and (folder / TRIALS_FOLDER).exists():
        raise ConfigurationError(
            f"A search stands in '{folder}' already. Received: "
            f"{in_words(different)}. Give another --run folder, or delete this "
            "one."
        )
