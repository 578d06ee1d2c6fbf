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

REFERENCE, TEACHER, STUDENT = "BERT-base", "teacher", "student"
KERAS = "Keras"
SHORT_LENGTH = 32
BYTES_OF_FLOAT32 = 4
NOT_WRITTEN = ("model", "rows", "vocabulary_size")


def benchmark(
    folders,
    lengths=None,
    threads=1,
    rows=ROWS,
    bert_base=False,
    output=None,
    say=print,
):
    """Times finished runs' teacher, students and files, one row at a time.

    Each is timed at every length, in rows of exactly so many tokens: the test
    rows' tokens, strung together. The teacher runs in Keras and, in the
    quantisation of each file, in LiteRT: what a file gains on the teacher has
    both ratios. Keras models are compiled calls, never `predict`.

    Args:
        folders: The run folders; all score by one metric. A teacher that
            several have is timed once.
        lengths: Tokens of the rows; by default 32 and the runs' length.
        threads: Threads of every model. TensorFlow takes a number of threads
            before it has computed anything.
        rows: How many different rows there are of each length.
        bert_base: Whether the ratios are over a model of BERT-base's shape,
            whose weights are random, for they do not change its time. By
            default they are over the first run's teacher.
        output: Folder that gets `benchmark.md`, `benchmark.json` and
            `benchmark.png`, and the converted teachers in `benchmark/`; by
            default the first run's.
        say: Function that is told what happens, and the table.

    Returns:
        The dictionary in `benchmark.json`.

    Raises:
        ConfigurationError: A run is not finished or has another metric, a
            length above that of a run, or TensorFlow runs with other threads
            already.
    """
    runs = [_finished(folder) for folder in folders]
    lengths = _check_lengths(
        lengths, min(run.configuration.max_length for run in runs)
    )
    metric = _check_metric(runs)
    set_threads(threads)
    output = Path(output or runs[0].folder)
    output.mkdir(parents=True, exist_ok=True)
    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        models = _models(runs, metric, threads, output, temporary, say)
        if bert_base:
            models = _bert_base(models, threads, temporary, say) + models
        for length in lengths:
            say(f"Timing {len(models)} models at {length} tokens ...")
            measured += _measure(models, length, rows, temporary)
    return write_benchmark(
        output,
        {
            "metric": metric,
            "reference": models[0]["of"],
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


def _finished(folder):
    run = RunFolder.open(folder)
    if not (run.folder / METRICS).exists():
        raise ConfigurationError(
            f"The run in '{run.folder}' has no {METRICS}: it was not finished. "
            "Start `keras-kd distill` again with the same settings."
        )
    return run


def _check_lengths(lengths, longest):
    lengths = sorted(set(lengths or [min(SHORT_LENGTH, longest), longest]))
    if lengths[0] < 1 or lengths[-1] > longest:
        raise ConfigurationError(
            f"`lengths` must be from 1 to {longest}, the --max-length that the "
            f"student was trained with. Received: {lengths}."
        )
    return lengths


def _check_metric(runs):
    """The metric that all runs score by."""
    metrics = {
        primary_metric(read_json(run.folder / METRICS)): run for run in runs
    }
    if len(metrics) > 1:
        received = ", ".join(
            f"{metric} ('{run.folder}')" for metric, run in metrics.items()
        )
        raise ConfigurationError(
            f"Runs in one table score by one metric. Received: {received}."
        )
    return next(iter(metrics))


def _models(runs, metric, threads, output, temporary, say):
    """What is timed: dictionaries with `model`, `rows`, and what it is."""
    teachers, students = {}, []
    for run in runs:
        result = read_json(run.folder / METRICS)
        student = TrainedStudent(run)
        test = Rows.open(run.folder / TEST_ROWS)
        prefix = f"{run.folder.resolve().name}/" if len(runs) > 1 else ""
        students += _student_models(
            student, test, result, metric, threads, prefix
        )
        teacher, _ = open_teacher(
            run.configuration, student.task, run.teacher_folder
        )
        key = short_hash(teacher.fingerprint)
        if key in teachers:
            continue
        if teacher.tokenizer.fingerprint != student.tokenizer.fingerprint:
            test = retokenize(
                test,
                teacher.tokenizer,
                temporary / f"teacher-{len(teachers)}",
                student.max_length,
            )
        score = _test_score(result, TEACHER, metric)
        name = f"{prefix if teachers else ''}{TEACHER}"
        teachers[key] = {
            **_keras_model(name, TEACHER, teacher.model, test, score),
            "vocabulary_size": teacher.tokenizer.vocabulary_size,
        }
    models = []
    for key, teacher in teachers.items():
        kept = output / "benchmark" / f"teacher-{key}"
        models += [
            teacher,
            *_converted(teacher, students, kept, threads, say),
        ]
    return models + students


def _student_models(student, test, result, metric, threads, prefix):
    """A student in Keras, and its files."""
    score = _test_score(result, "distilled", metric)
    models = [
        _keras_model(f"{prefix}{STUDENT}", STUDENT, student.model, test, score)
    ]
    for export in result["exports"]:
        path = student.folder / export["file"]
        if export.get("quantization") and path.exists():
            models.append(
                _file(
                    path,
                    f"{prefix}{path.name}",
                    STUDENT,
                    test,
                    export["quantization"],
                    threads,
                    export.get("scores", {}).get(metric),
                )
            )
    return models


def _bert_base(models, threads, temporary, say):
    """A model of BERT-base's shape, in each runtime that the models have."""
    from transformers import BertConfig

    from keras_kd.models.bert import bert
    from keras_kd.models.huggingface_config import read_settings

    teacher = models[0]
    # BERT-base is what `BertConfig` describes by itself.
    config = BertConfig(vocab_size=teacher["vocabulary_size"]).to_dict()
    model = bert(read_settings(config), "sequence", 2)
    reference = _keras_model(REFERENCE, REFERENCE, model, teacher["rows"])
    return [
        reference,
        *_converted(reference, models, temporary / "bert-base", threads, say),
    ]


def _keras_model(name, of, model, rows, score=None):
    return {
        "name": name,
        "of": of,
        "model": model,
        "rows": rows,
        "runtime": KERAS,
        "quantization": "float32",
        "bytes": model.count_params() * BYTES_OF_FLOAT32,
        "score": score,
    }


def _file(path, name, of, rows, quantization, threads, score=None):
    from keras_kd.export.litert_runner import LiteRTModel

    return {
        "name": name,
        "of": of,
        "model": LiteRTModel(path, num_threads=threads),
        "rows": rows,
        "runtime": "LiteRT",
        "quantization": quantization,
        "bytes": path.stat().st_size,
        "score": score,
    }


def _test_score(result, arm, metric):
    """The test score of an arm's seed that was kept; `None` without one."""
    seeds = result["arms"].get(arm, {}).get("seeds")
    if not seeds:
        return None
    best = max(seeds, key=lambda seed: seed.get("best_score") or 0.0)
    return best["scores"].get(metric)


def _of_teacher(quantization):
    """The quantisation of a teacher to be put beside such a file."""
    return "dynamic" if "embedding" in quantization else quantization


def _converted(teacher, models, path, threads, say):
    """The teacher as LiteRT files, one for each quantisation of the models."""
    from keras_kd.export.litert import convert_teacher

    path.parent.mkdir(exist_ok=True)
    files = []
    for quantization in sorted(
        {
            _of_teacher(one["quantization"])
            for one in models
            if one["runtime"] != KERAS
        }
    ):
        file = path.with_name(f"{path.name}-{quantization}.tflite")
        if not file.exists():
            say(f"Converting {teacher['name']}, {quantization} ...")
            try:
                convert_teacher(teacher["model"], file, quantization)
            except ExportError as error:
                say(f"{teacher['name']} is timed in Keras alone: {error}")
                break
        files.append(
            _file(
                file,
                teacher["name"],
                teacher["of"],
                teacher["rows"],
                quantization,
                threads,
            )
        )
    return files


def _measure(models, length, count, temporary):
    """Times the models on rows of one length; gives a dictionary for each."""
    fitting = [
        one
        for one in models
        if (getattr(one["model"], "length", None) or length) >= length
    ]
    samples = {}
    for one in fitting:
        rows = one["rows"]
        if id(rows) not in samples:
            folder = temporary / f"rows-{len(samples)}"
            samples[id(rows)] = rows_of_length(rows, length, count, folder)
    times = run_times(
        {
            str(number): (one["model"], samples[id(one["rows"])])
            for number, one in enumerate(fitting)
        },
        count,
    )
    base, of_base = {}, fitting[0]["of"]
    measured = []
    for one, time in zip(fitting, times, strict=True):
        if one["of"] == of_base:
            base.setdefault((one["runtime"], one["quantization"]), time["p50"])
        same = base.get((one["runtime"], _of_teacher(one["quantization"])))
        measured.append(
            {
                **{key: one[key] for key in one if key not in NOT_WRITTEN},
                "tokens": length,
                "threads": time["threads"],
                "p50": time["p50"],
                "p90": time["p90"],
                "ratio_keras": base[KERAS, "float32"] / time["p50"],
                "ratio_same": same and same / time["p50"],
            }
        )
    return measured
