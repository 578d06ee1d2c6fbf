"""Size, latency and score of a run's models, in every runtime that it has."""

import tempfile
from pathlib import Path

from keras_kd import batch
from keras_kd.atomic_files import read_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.retokenization import retokenize
from keras_kd.data.rows import Rows
from keras_kd.data.rows import write_rows
from keras_kd.deployment import TrainedStudent
from keras_kd.distillation import TEST_ROWS
from keras_kd.evaluation.benchmark_report import write_benchmark
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.report import METRICS
from keras_kd.evaluation.result import primary_metric
from keras_kd.export.errors import ExportError
from keras_kd.run_folder import RunFolder
from keras_kd.run_times import ROWS
from keras_kd.run_times import run_times
from keras_kd.taught_run import short_hash
from keras_kd.teaching import open_teacher

TEACHER, STUDENT = "teacher", "student"
KERAS = "Keras"
SHORT_LENGTH = 32
BYTES_OF_FLOAT32 = 4


def benchmark(folder, lengths=None, threads=1, rows=ROWS, say=print):
    """Times a finished run's teacher, student and files, one row at a time.

    Each is timed at every length, in rows of exactly so many tokens: the test
    rows' tokens, strung together. The teacher runs in Keras and, in the
    quantisation of each file, in LiteRT: what a file gains on the teacher has
    both ratios. Keras models are compiled calls, never `predict`.

    Args:
        folder: The run folder. It gets `benchmark.md`, `benchmark.json` and
            `benchmark.png`, and the converted teachers in `benchmark/`.
        lengths: Tokens of the rows; by default 32 and the run's length.
        threads: Threads of every model. TensorFlow takes a number of threads
            before it has computed anything.
        rows: How many different rows there are of each length.
        say: Function that is told what happens, and the table.

    Returns:
        The dictionary in `benchmark.json`.

    Raises:
        ConfigurationError: The run is not finished, a length above that of the
            run, or TensorFlow runs with other threads already.
    """
    run = RunFolder.open(folder)
    if not (run.folder / METRICS).exists():
        raise ConfigurationError(
            f"The run in '{run.folder}' has no {METRICS}: it was not finished. "
            "Start `keras-kd distill` again with the same settings."
        )
    lengths = _check_lengths(lengths, run.configuration.max_length)
    set_threads(threads)
    student = TrainedStudent(run)
    result = read_json(run.folder / METRICS)
    teacher, _ = open_teacher(
        run.configuration, student.task, run.teacher_folder
    )
    models = _models(student, teacher, result, threads, say)
    measured = []
    test = Rows.open(run.folder / TEST_ROWS)
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        of_teacher = test
        if teacher.tokenizer.fingerprint != student.tokenizer.fingerprint:
            of_teacher = retokenize(
                test, teacher.tokenizer, temporary, student.max_length
            )
        for length in lengths:
            say(f"Timing {len(models)} models at {length} tokens ...")
            samples = {
                who: rows_of_length(source, length, rows, temporary / who)
                for who, source in ((TEACHER, of_teacher), (STUDENT, test))
            }
            measured += _measure(models, samples, length)
    return write_benchmark(
        run.folder,
        {
            "metric": primary_metric(result),
            "threads": threads,
            "rows": rows,
            "machine": machine_description(),
            "measured": measured,
        },
        say,
    )


def set_threads(threads):
    """Lets TensorFlow compute with so many threads, if it still can.

    Raises:
        ConfigurationError: It computes with another number already.
    """
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ConfigurationError(
            "TensorFlow has computed in this process before, with "
            f"{threading.get_intra_op_parallelism_threads() or 'all'} threads. "
            f"Received: threads={threads}. Run the benchmark in a process of "
            "its own."
        ) from error


def rows_of_length(rows, length, count, folder):
    """Writes rows of exactly `length` tokens: real ones, strung together.

    Args:
        rows: `Rows`.
        length: Tokens of each row.
        count: How many.
        folder: Where to; rows of another length that stand there go.

    Returns:
        `Rows`.
    """
    tokens = []
    position = 0
    while len(tokens) < length * count:
        tokens += rows.row(batch.TOKEN_IDS, position % len(rows)).tolist()
        position += 1
    starts = range(0, length * count, length)
    return write_rows(
        folder / str(length),
        ({batch.TOKEN_IDS: tokens[start : start + length]} for start in starts),
        {"length": length},
    )


def _check_lengths(lengths, longest):
    lengths = sorted(set(lengths or [min(SHORT_LENGTH, longest), longest]))
    if lengths[0] < 1 or lengths[-1] > longest:
        raise ConfigurationError(
            f"`lengths` must be from 1 to {longest}, the --max-length that the "
            f"student was trained with. Received: {lengths}."
        )
    return lengths


def _models(student, teacher, result, threads, say):
    """What is timed: dictionaries with `model`, `of`, and what it is."""
    from keras_kd.export.litert_runner import LiteRTModel

    metric = primary_metric(result)

    def keras_model(name, of, model, score):
        return {
            "name": name,
            "of": of,
            "model": model,
            "runtime": KERAS,
            "quantization": "float32",
            "bytes": model.count_params() * BYTES_OF_FLOAT32,
            "score": score,
        }

    def file(path, of, quantization, score=None):
        return {
            "name": path.name if of == STUDENT else TEACHER,
            "of": of,
            "model": LiteRTModel(path, num_threads=threads),
            "runtime": "LiteRT",
            "quantization": quantization,
            "bytes": path.stat().st_size,
            "score": score,
        }

    scores = {
        arm: _score_of_best(seeds["seeds"], metric)
        for arm, seeds in result["arms"].items()
    }
    files = [
        file(
            student.folder / export["file"],
            STUDENT,
            export["quantization"],
            export.get("scores", {}).get(metric),
        )
        for export in result["exports"]
        if export.get("quantization")
        and (student.folder / export["file"]).exists()
    ]
    quantizations = {_of_teacher(one["quantization"]) for one in files}
    teachers = [
        keras_model(TEACHER, TEACHER, teacher.model, scores.get(TEACHER))
    ]
    for quantization in sorted(quantizations):
        path = _converted(teacher, student.folder, quantization, say)
        if path is not None:
            teachers.append(file(path, TEACHER, quantization))
    own = keras_model(STUDENT, STUDENT, student.model, scores.get("distilled"))
    return [*teachers, own, *files]


def _score_of_best(seeds, metric):
    """The test score of the seed that was kept."""
    best = max(seeds, key=lambda seed: seed.get("best_score") or 0.0)
    return best["scores"].get(metric)


def _of_teacher(quantization):
    """The quantisation of a teacher to be put beside such a file."""
    return "dynamic" if "embedding" in quantization else quantization


def _converted(teacher, folder, quantization, say):
    """The path of the teacher as a LiteRT file; `None` if there is none."""
    from keras_kd.export.litert import convert_teacher

    name = f"teacher-{short_hash(teacher.fingerprint)}-{quantization}.tflite"
    path = folder / "benchmark" / name
    if not path.exists():
        say(f"Converting the teacher, {quantization} ...")
        path.parent.mkdir(exist_ok=True)
        try:
            convert_teacher(teacher.model, path, quantization)
        except ExportError as error:
            say(f"The teacher is timed in Keras alone: {error}")
            return None
    return path


def _measure(models, samples, length):
    """Times the models on rows of one length; gives a dictionary for each."""
    fitting = [
        one
        for one in models
        if (getattr(one["model"], "length", None) or length) >= length
    ]
    times = run_times(
        {
            str(number): (one["model"], samples[one["of"]])
            for number, one in enumerate(fitting)
        },
        count=len(samples[TEACHER]),
    )
    teachers = {}
    measured = []
    for one, time in zip(fitting, times, strict=True):
        if one["of"] == TEACHER:
            teachers[one["runtime"], one["quantization"]] = time["p50"]
        quantization = _of_teacher(one["quantization"])
        same = teachers.get((one["runtime"], quantization))
        measured.append(
            {
                **{key: one[key] for key in one if key != "model"},
                "tokens": length,
                "threads": time["threads"],
                "p50": time["p50"],
                "p90": time["p90"],
                "ratio_keras": teachers[KERAS, "float32"] / time["p50"],
                "ratio_same": same and same / time["p50"],
            }
        )
    return measured
