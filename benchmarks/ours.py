"""keras_kd's side of the comparisons: what is timed, as a user runs it."""

import functools
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.divergence import divergence
from benchmarks.preparation import converted_teacher
from keras_kd import batch
from keras_kd.data.pipeline import training_batches
from keras_kd.data.rows import Rows
from keras_kd.distiller import Distiller
from keras_kd.inference import in_pieces
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.memory import keep_freed_memory
from keras_kd.models.bert_student import bert_student
from keras_kd.models.recurrent import recurrent_student
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.teacher import Teacher

TOKENS_PER_BATCH = 8192


class RowsOfOneLength(Rows):
    """Rows that are all padded to one length, as other libraries pad them.

    Args:
        rows: `Rows`.
        length: The length of every batch.
    """

    def __init__(self, rows, length):
        super().__init__(rows.parts, rows.numbers)
        self.length = length

    def padded(self, name, positions, length=None):
        return super().padded(name, positions, length or self.length)


def labelling(setting):
    """Jobs that run the teacher over the first rows: `job(rows)`.

    `sorted` is what `Teacher.label` does, `padded` the same with all batches
    of one length, `int8` is `sorted` in LiteRT.
    """
    keep_freed_memory()
    files = _Files(setting)

    def timed(runtime, padded, count):
        rows = files.first_rows(count, padded)
        start = time.perf_counter()
        logits = predict_rows(runtime, rows)
        return {"seconds": time.perf_counter() - start, "logits": logits}

    return {
        "sorted": lambda count: timed(files.keras, False, count),
        "padded": lambda count: timed(files.keras_in_pieces, True, count),
        "int8": lambda count: timed(files.litert, False, count),
    }


def steps(setting):
    """Jobs that train a student on cached targets.

    `train(steps, kind, buckets)`, on the same batches every time, and
    `parameters(kind)`. With `buckets` a batch is as long as its longest row,
    without them all have one length.
    """
    keep_freed_memory()
    files = _Files(setting)

    @functools.cache
    def training(kind, buckets):
        rows = files.first_rows(None, padded=not buckets)
        return Training(files, rows, kind, start_step=0)

    return {
        "train": lambda steps, *key: training(*key).run(steps),
        "parameters": lambda kind: training(
            kind, False
        ).distiller.student.count_params(),
    }


def epochs(setting):
    """Jobs of a distillation from text with targets to a trained student.

    | job | times |
    |---|---|
    | `label padded`, `label sorted`, `label int8` | targets of `rows` rows |
    | `live`, `cached`, `buckets` | `steps` steps of the training |
    | `whole` | all of it, with `(labelling, training)`, for so many epochs |
    | `divergence` | nothing: how far a trained student is from its teacher |
    """
    keep_freed_memory()
    files = _Files(setting)
    kind = setting["students"][0]
    trainings = {}

    def training(name):
        # Each is traced when it is used.
        if name not in trainings:
            rows = files.first_rows(None, padded=name != "buckets")
            trainings[name] = Training(files, rows, kind, name == "live")
        return trainings[name]

    def label(name, count):
        with tempfile.TemporaryDirectory(dir=files.folder) as folder:
            start = time.perf_counter()
            files.label(name, count, folder)
            return {"seconds": time.perf_counter() - start}

    def whole(labelling, name, epochs):
        rows = files.first_rows(None, padded=name != "buckets")
        with tempfile.TemporaryDirectory(dir=files.folder) as folder:
            start = time.perf_counter()
            targets = labelling and files.label(labelling, None, folder)
            trained = Training(files, rows, kind, name == "live", targets)
            loss = trained.run(trained.steps_per_epoch * epochs)["loss"]
            return {"seconds": time.perf_counter() - start, "loss": loss}

    return {
        **{
            f"label {name}": lambda count, name=name: label(name, count)
            for name in ("padded", "sorted", "int8")
        },
        **{
            name: lambda count, name=name: training(name).run(count)
            for name in ("live", "cached", "buckets")
        },
        "whole": whole,
        "divergence": lambda name: training(name).divergence(),
    }


class Training:
    """A student in training, for some steps at a time.

    Args:
        files: `_Files`.
        rows: `Rows`.
        kind: `"gru"`, `"lstm"` or `"bert"`: the student.
        live: Whether the teacher runs in every step.
        targets: `TeacherTargets`; by default those that were prepared.
        start_step: Which batch each `run` begins with; by default the one
            after the last.
    """

    def __init__(
        self, files, rows, kind, live=False, targets=None, start_step=None
    ):
        setting = files.setting
        keras.utils.set_random_seed(0)
        sizes = [
            files.description[name] for name in ("vocabulary_size", "outputs")
        ]
        if kind == "bert":
            student = bert_student(*sizes, **setting["bert"])
        else:
            student = recurrent_student(
                *sizes,
                kind,
                units=setting["units"],
                embedding_dim=setting["embedding_dim"],
            )
        self.files, self.rows = files, rows
        self.distiller = Distiller(
            student,
            teacher=files.teacher.model if live else None,
            losses=[
                # As TextBrewer has it.
                SoftTargets(
                    setting["temperature"], scale_by_temperature_squared=False
                )
            ],
        )
        self.distiller.compile(keras.optimizers.AdamW(setting["learning_rate"]))
        # As `train_unit` does: else the step is traced twice.
        self.distiller.optimizer.build(self.distiller.trainable_variables)
        self.steps_per_epoch = -(-len(rows) // setting["batch_size"])
        self.batches = training_batches(
            rows,
            student,
            setting["batch_size"],
            targets=None if live else targets or files.targets,
            start_step=(
                (lambda: self.distiller.steps_made)
                if start_step is None
                else start_step
            ),
        )
        if live:
            self.batches = self.batches.map(_with_teacher_inputs)

    def run(self, count):
        """Trains for `count` steps, wherever an epoch ends."""
        start = time.perf_counter()
        history = self.distiller.fit(
            self.batches, steps_per_epoch=count, epochs=1, verbose=0
        )
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": history.history["loss"][-1]}

    def divergence(self, count=64):
        """The mean KL divergence from the teacher on the first rows."""
        rows = self.files.first_rows(count, padded=False)
        logits = predict_rows(keras_runtime(self.distiller.student), rows)
        return divergence(logits, self.files.targets_array[: len(rows)])


class _Files:
    """What was prepared, opened when it is used."""

    def __init__(self, setting):
        self.setting = setting
        self.folder = Path(setting["folder"])
        self.description = json.loads(
            (self.folder / "description.json").read_text()
        )
        self.teacher = Teacher.open(self.folder / "teacher")
        self.keras = keras_runtime(self.teacher.model)
        # For rows that are longer than the plan of `predict_rows` thinks.
        self.keras_in_pieces = in_pieces(self.keras, TOKENS_PER_BATCH)
        self.litert = converted_teacher(setting)
        self.targets = TeacherTargets(
            self.folder / "targets", self.teacher.fingerprint
        )
        self.targets_array = np.load(self.folder / "targets.npy")

    def first_rows(self, count, padded):
        rows = Rows.open(self.folder / "rows")
        rows = rows.select(np.arange(min(count or len(rows), len(rows))))
        if padded:
            rows = RowsOfOneLength(rows, self.setting["length"])
        return rows

    def label(self, name, count, folder):
        """Labels the first rows into a folder, as `Teacher.label` does."""
        runtime = {
            "padded": self.keras_in_pieces,
            "sorted": self.keras,
            "int8": self.litert,
        }[name]
        targets = TeacherTargets(folder, {"of": name})
        targets.label(runtime, self.first_rows(count, name == "padded"))
        return targets


def _with_teacher_inputs(x, y):
    segments = keras.ops.zeros_like(x[batch.TOKEN_IDS])
    return x, {**y, batch.TEACHER_INPUTS: {**x, batch.SEGMENT_IDS: segments}}
