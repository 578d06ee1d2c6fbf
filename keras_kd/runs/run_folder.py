"""A run's folder: its configuration, its units, its results."""

import shutil
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.errors import in_words

CONFIGURATION_FILE = "config.json"
INPUTS_FILE = "inputs.json"
SETTINGS_FILE = "settings.json"
UNITS_FOLDER = "units"
TEACHER_UNIT = "teacher_training"
REFUSAL_FILE = "teacher_refused.json"
# May differ between two starts of one run: they only add to it.
GROWING = ("seeds", "arms", "export", "licence")
# How a teacher is judged and run, and what its students are; they do not change
# what it has learned.
JUDGING = (
    "teacher_floor", "teacher_runtime", "student", "layers", "width", "heads",
    "intermediate", "convolution", "embedding_dim", "dropout", "prune",
    "quantization_aware", "tokens", "vocabulary_size", "lowercase",
    "embeddings", "loss", "temperature", "temperature_by", "probability_shift",
    "scale_by_temperature_squared", "alpha", "layer_losses", "layer_map",
    "relation_heads", "layer_weight", "layer_steps", "start_from", "steps",
    "batch_size", "learning_rate", "evaluate_every",
)  # fmt: skip


class RunFolder:
    """The folder of one run.

    | file | holds |
    |---|---|
    | `config.json` | the resolved configuration |
    | `inputs.json` | hashes of the data and of the teacher |
    | `teacher/` | the fine-tuned teacher, if it was trained here |
    | `teacher_refused.json` | why that teacher was refused, if it was |
    | `units/<arm>-<seed>/` | each finished or interrupted training |
    | `cache/` | tokenised rows and teacher targets |
    | `student.keras`, `student_*.tflite`, `saved_model/` | the student |
    | `report.md`, `metrics.json`, plots | the results |

    Args:
        folder: Path of the folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    @classmethod
    def start(cls, folder, configuration, resume=True, say=lambda text: None):
        """Makes a run's folder, or goes on with the run that stands there.

        Where its teacher was refused and no student was trained, the settings
        may change, and a teacher that they would train anew is dropped.

        Args:
            folder: Path of the folder.
            configuration: `Configuration`.
            resume: Whether a run that stands there may go on.
            say: Function that is told what is dropped.

        Raises:
            ConfigurationError: A run with other settings stands there, or one
                with the same and `resume` is off.
        """
        run = cls(folder)
        file = run.folder / CONFIGURATION_FILE
        if file.exists():
            stored = run.configuration.to_dict()
            different = {
                name: (stored[name], value)
                for name, value in configuration.to_dict().items()
                if stored[name] != value and name not in GROWING
            }
            # Before the first training there is nothing to mix up: a mistyped
            # path can be corrected and the command given again.
            trained = (run.folder / UNITS_FOLDER).exists()
            if not trained:
                run.accept_teacher()
            elif different and resume and run._has_refused_teacher_alone():
                run._forget_teacher(different, say)
            elif different or not resume:
                which = in_words(different) or "the same settings"
                raise ConfigurationError(
                    f"A run stands in '{folder}' already. Received: {which}. "
                    "Give another --run folder, or delete this one."
                )
        elif run.folder.is_file():
            raise ConfigurationError(
                f"'{folder}' is a file. Give another --run folder."
            )
        elif run.folder.exists() and any(
            # Another process may be about to write the first file.
            ".partial." not in file.name
            for file in run.folder.iterdir()
        ):
            raise ConfigurationError(
                f"'{folder}' has files in it, and is not a run. Give another "
                "--run folder."
            )
        write_json(file, configuration.to_dict())
        return run

    @classmethod
    def open(cls, folder):
        """Opens a run that was started before.

        Raises:
            ConfigurationError: No run stands there.
        """
        run = cls(folder)
        if not (run.folder / CONFIGURATION_FILE).is_file():
            raise ConfigurationError(
                f"'{folder}' is not a run: it has no {CONFIGURATION_FILE}. "
                "Give the folder that `keras-kd distill --run` wrote."
            )
        return run

    @property
    def configuration(self):
        """The stored `Configuration`."""
        return Configuration.from_dict(
            read_json(self.folder / CONFIGURATION_FILE)
        )

    def hold_to(self, name, fingerprint):
        """Refuses other data, or another teacher, than a run began with.

        The configuration holds paths; what stands there may have changed
        since the first units were trained on it.

        Args:
            name: What it is, such as `"data"` or `"teacher"`.
            fingerprint: Dictionary of JSON values: what it is made of.

        Raises:
            ConfigurationError: It has changed, and units were trained.
        """
        file = self.folder / INPUTS_FILE
        inputs = read_json(file) if file.exists() else {}
        stored = inputs.get(name, fingerprint)
        different = self._changed_under_units(stored, fingerprint)
        if different:
            raise ConfigurationError(
                f"The {name} of the run in '{self.folder}' has changed since "
                f"it was trained. Received: {in_words(different)}. Put it "
                "back, or give another --run folder."
            )
        write_json(file, {**inputs, name: fingerprint})

    def hold_to_settings(self, settings):
        """Refuses other settings than a run of a recipe began with.

        It is for runs that have settings of their own, and no `Configuration`.

        Args:
            settings: Dictionary of JSON values.

        Raises:
            ConfigurationError: They have changed, and units were trained.
        """
        file = self.folder / SETTINGS_FILE
        stored = read_json(file) if file.exists() else settings
        different = self._changed_under_units(stored, settings)
        if different:
            raise ConfigurationError(
                f"A run stands in '{self.folder}' already. Received: "
                f"{in_words(different)}. Give another --run folder, or delete "
                "this one."
            )
        write_json(file, settings)

    def _changed_under_units(self, stored, now):
        """What is another value now than what units were trained with."""
        if not (self.folder / UNITS_FOLDER).exists():
            return {}
        return {
            name: (stored.get(name), value)
            for name, value in now.items()
            if stored.get(name) != value
        }

    def refuse_teacher(self, reason):
        """Notes that this run's teacher was examined, and refused.

        Args:
            reason: Why.
        """
        write_json(self.folder / REFUSAL_FILE, {"reason": reason})

    def accept_teacher(self):
        """Forgets that a teacher of this run was refused."""
        (self.folder / REFUSAL_FILE).unlink(missing_ok=True)

    def _has_refused_teacher_alone(self):
        """Whether all that was trained here is a teacher that is of no use."""
        units = self.folder / UNITS_FOLDER
        return (
            (self.folder / REFUSAL_FILE).exists()
            and not (self.folder / "metrics.json").exists()
            and units.exists()
            and {unit.name for unit in units.iterdir()} <= {TEACHER_UNIT}
        )

    def _forget_teacher(self, different, say):
        """Drops a refused teacher, if other settings make another one."""
        # Whether the next one is refused is for its own examination to say.
        self.accept_teacher()
        inputs = self.folder / INPUTS_FILE
        if inputs.exists():
            kept = read_json(inputs)
            kept.pop("teacher", None)
            write_json(inputs, kept)
        if set(different) <= set(JUDGING):
            return
        dropped = [self.teacher_folder, self.folder / UNITS_FOLDER]
        say(
            "The teacher that was refused is dropped: "
            f"{' and '.join(f'{path}' for path in dropped)}. Other settings: "
            f"{in_words(different)}."
        )
        for path in dropped:
            shutil.rmtree(path, ignore_errors=True)

    def unit(self, name):
        """The folder of one (arm, seed)."""
        return self.folder / UNITS_FOLDER / name

    @property
    def teacher_folder(self):
        """Where a teacher that was trained in this run is kept."""
        return self.folder / "teacher"
