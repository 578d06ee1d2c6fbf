"""Apache Beam fills a cache of teacher targets, on several machines."""

import functools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from keras_kd.data.column_files import ColumnFiles
from keras_kd.data.rows import Rows
from keras_kd.inference import keras_runtime
from keras_kd.teachers.cache import ROWS_PER_SHARD
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.target_shards import label_shard
from keras_kd.teachers.teacher import Teacher

TRIES = 3


def label_with_beam(
    teacher,
    rows,
    folder,
    options=(),
    rows_per_shard=ROWS_PER_SHARD,
    make_runtime=None,
    fingerprint=None,
    say=print,
):
    """Labels rows as `TeacherTargets.label` does, on the workers of Beam.

    A worker is given the numbers of the rows of a shard. It labels them in a
    process of its own, which opens teacher and rows by their folders, that all
    workers must see, and writes the shard with its manifest: files of the same
    names, and of the same values, as one process writes. A process that is
    killed, for its memory for example, has written a shard or nothing. The
    worker then reports an error, and it is for the runner to try the shard
    again. A pipeline that fails is started again with what is missing.

    Args:
        teacher: Folder of a saved teacher, or of Hugging Face.
        rows: `Rows` as the teacher reads them.
        folder: Folder of the targets.
        options: List of Beam's pipeline options, such as
            `["--runner=FlinkRunner"]`. By default one local process.
        rows_per_shard: The most rows of a shard.
        make_runtime: Function of a `Teacher` and of the folder of the targets
            that gives `(input names, predict)`; a worker must be able to
            import it. By default it is Keras'.
        fingerprint: Dictionary of what decides the targets; by default the
            teacher's.
        say: Function that is told what happens.

    Returns:
        `TeacherTargets`.

    Raises:
        ImportError: Apache Beam is not installed.
        RuntimeError: Rows are missing after three tries.
    """
    beam = _import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    if fingerprint is None:
        fingerprint = Teacher.open(teacher).fingerprint
    setting = json.dumps(
        {
            "teacher": str(Path(teacher).absolute()),
            "folder": str(Path(folder).absolute()),
            "rows": [str(part.folder.absolute()) for part in rows.parts],
            "fingerprint": fingerprint,
        }
    )
    reason = None
    for number in range(1, TRIES + 1):
        targets = TeacherTargets(folder, fingerprint)
        parts = targets.parts(rows, rows_per_shard)
        if not parts:
            return targets
        say(
            f"Beam labels {sum(map(len, parts))} rows in {len(parts)} shards, "
            f"try {number} of {TRIES} ..."
        )
        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as line:
                _ = (
                    line
                    | beam.Create([rows.numbers[p].tolist() for p in parts])
                    | beam.Reshuffle()  # Else one worker would have them all.
                    | beam.ParDo(_label_shards(beam, setting, make_runtime))
                )
        except Exception as error:  # Each runner has errors of its own.
            reason = error
    targets = TeacherTargets(folder, fingerprint)
    missing = len(targets.missing(rows))
    if missing:
        raise RuntimeError(
            f"{missing} rows have no target after {TRIES} tries. The last "
            f"error: {reason}. What is labelled is kept: call it again."
        ) from reason
    return targets


def _label_shards(beam, setting, make_runtime):
    """The `beam.DoFn` of `label_part`, each instance with its own process."""

    class LabelShards(beam.DoFn):
        def setup(self):
            # A fork of a process with TensorFlow's threads would hang.
            self.process_of_worker = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn")
            )

        def process(self, numbers):
            try:
                yield self.process_of_worker.submit(
                    label_part, numbers, setting, make_runtime
                ).result()
            except BrokenProcessPool as error:
                self.setup()
                raise RuntimeError(
                    f"The process that labelled {len(numbers)} rows was "
                    "killed. Nothing half-written is left. If it was killed "
                    "for its memory, give fewer workers."
                ) from error

        def teardown(self):
            self.process_of_worker.shutdown()

    return LabelShards()


def label_part(numbers, setting, make_runtime=None):
    """What the process of a worker does: labels the rows of one shard.

    Args:
        numbers: List of row numbers over all folders of rows.
        setting: JSON: the folders, and the fingerprint.
        make_runtime: As in `label_with_beam`.

    Returns:
        The name of the file.
    """
    setting = json.loads(setting)
    folder = Path(setting["folder"])
    runtime = _open_runtime(setting["teacher"], folder, make_runtime)
    rows = Rows([ColumnFiles(part) for part in setting["rows"]])
    rows = rows.select(np.array(numbers))
    return label_shard(
        folder,
        setting["fingerprint"],
        runtime,
        rows,
        np.arange(len(rows)),
    )


@functools.cache
def _open_runtime(teacher, folder, make_runtime):
    """The teacher of a process, opened once."""
    teacher = Teacher.open(teacher)
    if make_runtime is None:
        return keras_runtime(teacher.model)
    return make_runtime(teacher, folder)


def _import_beam():
    try:
        import apache_beam
    except ImportError as error:
        raise ImportError(
            "Labelling on several machines needs Apache Beam, which is not "
            'installed. Run `pip install "keras_kd[beam]"` and start again.'
        ) from error
    return apache_beam
