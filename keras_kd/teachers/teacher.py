"""A teacher: a model, the tokenizer that it reads with, and its labels."""

import hashlib
import json
import re
from pathlib import Path

import keras
import numpy as np

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.batch import LOGITS
from keras_kd.batch import named_outputs
from keras_kd.data.tokenization import Tokenizer
from keras_kd.inference import keras_runtime
from keras_kd.teachers.cache import TeacherTargets

MODEL_FILE = "model.keras"
SETTINGS_FILE = "teacher.json"
# In the folder of a run, whose student can teach as well.
RUN_FILES = ("student.keras", "task.json", "tokenizer")


class Teacher:
    """Any Keras model in the role of a teacher.

    Args:
        model: Functional `keras.Model` that gives raw logits.
        tokenizer: `Tokenizer` that makes the model's `token_ids`.
        labels: Names of the classes in the order of the logits; `None` where
            they are not known.

    Example:

    ```python
    teacher = Teacher.open("runs/imdb/teacher")
    teacher.model, teacher.labels, teacher.fingerprint
    ```
    """

    def __init__(self, model, tokenizer, labels=None):
        self.model = model
        self.tokenizer = tokenizer
        self.labels = list(labels) if labels is not None else None

    @classmethod
    def open(
        cls, folder, num_outputs=None, allow_pickle=False, task_head="sequence"
    ):
        """Opens a teacher's folder: ours, a run's, or one of Hugging Face.

        Args:
            folder: A folder that `save` wrote, that of a run, whose student
                then teaches, a Hugging Face folder or a hub name.
            num_outputs: Number of logits of a fresh head where a Hugging Face
                checkpoint has none. Such a teacher has to be trained first.
            allow_pickle: Whether a `pytorch_model.bin` may be read.
            task_head: Of a Hugging Face checkpoint, as in `load_pretrained`.

        Raises:
            ValueError: The checkpoint has no head and `num_outputs` is not
                given, or it has another number of outputs.
        """
        if is_saved_teacher(folder):
            model, settings, tokenizer = saved_files(folder)
            import keras_hub  # noqa: F401  Its layers are looked up by name.

            return cls(
                keras.saving.load_model(model, compile=False),
                Tokenizer.from_folder(tokenizer),
                read_json(settings).get("labels"),
            )
        from keras_kd.models.huggingface_folder import read_labels
        from keras_kd.models.huggingface_folder import resolve_folder
        from keras_kd.models.pretrained import load_pretrained

        folder = resolve_folder(folder)
        tokenizer = Tokenizer.from_folder(folder)
        model = load_pretrained(
            folder,
            task_head,
            num_outputs=num_outputs,
            allow_pickle=allow_pickle,
        )
        labels = read_labels(folder) if num_outputs is None else None
        return cls(model, tokenizer, labels)

    def save(self, folder):
        """Writes model, tokenizer and labels, aside and renamed.

        Raises:
            FileExistsError: The folder holds something else than a teacher
                that was saved, such as a checkpoint of Hugging Face.
        """
        with folder_aside(folder, marker=SETTINGS_FILE) as temporary:
            self.model.save(temporary / MODEL_FILE)
            self.tokenizer.save(temporary)
            write_json(temporary / SETTINGS_FILE, {"labels": self.labels})

    def label(self, rows, folder, progress=None):
        """Asks the teacher for its logits of all rows, once.

        Args:
            rows: `Rows` that were made with this teacher's tokenizer.
            folder: Folder of the targets; a second call asks for nothing that
                stands there.
            progress: Function that is told how many rows were done.

        Returns:
            `TeacherTargets`.
        """
        runtime = keras_runtime(self.model)
        output = named_outputs(self.model.output)[LOGITS]
        per_token = (LOGITS,) if len(output.shape) == 3 else ()
        targets = TeacherTargets(folder, self.fingerprint, per_token)
        targets.label(runtime, rows, progress=progress)
        return targets

    @property
    def fingerprint(self):
        """A hash of the model and one of the tokenizer."""
        return {
            "weights": weights_hash(self.model),
            "tokenizer": self.tokenizer.fingerprint,
        }


def is_saved_teacher(folder):
    """Whether `Teacher.save` wrote this folder, or a run with a student."""
    return all(path.exists() for path in saved_files(folder))


def saved_files(folder):
    """The model, what has its labels, and the tokenizer's folder."""
    folder = Path(folder)
    own = (folder / MODEL_FILE, folder / SETTINGS_FILE, folder)
    run = tuple(folder / name for name in RUN_FILES)
    return run if run[0].exists() else own


def weights_hash(model):
    """A hash of a model's layers and of all its weights.

    It is the same in every process: the numbers that Keras appends to names
    (`gru_1`), which depend on what was built before, do not count, and neither
    does what is frozen.
    """
    layers = json.dumps(model.get_config(), sort_keys=True, default=str)
    layers = re.sub(r'_\d+"', '"', layers)
    layers = re.sub(r'"trainable": (true|false)', "", layers)
    digest = hashlib.blake2b(layers.encode(), digest_size=16)
    for variable in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{values.shape}{values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
