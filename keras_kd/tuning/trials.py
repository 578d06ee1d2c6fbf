"""The trainings of a search, each in a run folder of its own."""

import dataclasses
from pathlib import Path

import keras

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.runs.hparams_view import write_hparams
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.run_times import run_times
from keras_kd.runs.taught_run import short_hash
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.teachers.teacher import is_saved_teacher
from keras_kd.tuning.ranges import apply_values

TRIAL_FILE = "trial.json"
ARM = "distilled"


class Trials:
    """Trains students of different settings on one cache of targets.

    Rows, teacher and targets are those of a comparison that has labelled, so
    that a trial asks the teacher nothing, unless there are losses between
    layers: for them it runs live. A trial that was killed goes on from its
    last checkpoint, and one that is done is read.

    Args:
        comparison: `Comparison` whose rows are labelled.
        folder: Folder of the trials.
        seed: Seed of each.
    """

    def __init__(self, comparison, folder, seed):
        self.comparison = comparison
        self.folder = Path(folder)
        self.seed = seed
        given = comparison.configuration
        trained = comparison.run.teacher_folder
        changes = {"cache": str(comparison.cache)}
        if is_saved_teacher(trained):
            changes |= {"teacher": str(trained), "fine_tune_teacher": None}
        # Each trial's settings are a run that can be started by itself.
        self.configuration = dataclasses.replace(given, **changes)

    def run(self, values, steps):
        """Trains and measures one student, unless that is done.

        Args:
            values: Dictionary: values of ranges, by name.
            steps: Steps of this trial.

        Returns:
            Dictionary: `score` on the validation rows, `latency` (p50 of one
            text in Keras, in ms), `size` (bytes), `parameters`, `steps`,
            `seconds`, `teacher_calls`, the `settings` and the `folder`.

        Raises:
            ConfigurationError: The values can't stand together.
            ValueError: Such a student can't be built.
        """
        folder = self.folder_of(values, steps)
        file = folder / TRIAL_FILE
        if not file.exists():
            write_json(file, self._train(values, steps, folder))
        return read_json(file)

    def folder_of(self, values, steps):
        """The folder of a trial: the same settings have the same one."""
        return self.folder / short_hash([values, steps, self.seed])

    def _train(self, values, steps, folder):
        configuration = dataclasses.replace(
            apply_values(self.configuration, values),
            steps=steps,
            seeds=[self.seed],
            arms=[ARM],
            export=[],
        )
        keras.backend.clear_session()  # The students before are done with.
        run = RunFolder.start(folder, configuration)
        trial = self.comparison.with_settings(configuration, run)
        trial.say = lambda text: None
        result, student = trial.train_arm(ARM, self.seed)
        rows = trial.student_rows.validation
        (times,) = run_times({"student": (student, rows)})
        file = run.unit(f"{ARM}-{self.seed}") / STUDENT_FILE
        measured = {
            "score": result["best_score"],
            "latency": times["p50"],
            "size": file.stat().st_size,
            "parameters": student.count_params(),
            "seconds": result["seconds"],
        }
        write_hparams(folder, {**values, "steps": steps}, measured)
        return {
            **measured,
            "settings": values,
            "steps": steps,
            "teacher_calls": trial.teacher_calls,
            "folder": folder.name,
        }
