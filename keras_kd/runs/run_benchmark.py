"""Size, latency and score of a run's models, in every runtime that it has."""

import tempfile
from pathlib import Path

from keras_kd import batch
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import write_rows
from keras_kd.evaluation.benchmark_report import KERAS
from keras_kd.evaluation.benchmark_report import write_benchmark
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.result import primary_metric
from keras_kd.runs.benchmark_models import bert_base_beside
from keras_kd.runs.benchmark_models import models_of_runs
from keras_kd.runs.benchmark_models import quantization_of_teacher
from keras_kd.runs.distillation import read_result
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.run_times import ROWS
from keras_kd.runs.run_times import run_times

SHORT_LENGTH = 32
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
    runs = [RunFolder.open(folder) for folder in folders]
    results = [read_result(run) for run in runs]
    lengths = _check_lengths(
        lengths, min(run.configuration.max_length for run in runs)
    )
    metric = _check_metric(runs, results)
    set_threads(threads)
    output = Path(output or runs[0].folder)
    output.mkdir(parents=True, exist_ok=True)
    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        models = models_of_runs(runs, results, threads, output, temporary, say)
        if bert_base:
            beside = bert_base_beside(models, threads, temporary, say)
            models = beside + models
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


def _check_lengths(lengths, longest):
    lengths = sorted(set(lengths or [min(SHORT_LENGTH, longest), longest]))
    if lengths[0] < 1 or lengths[-1] > longest:
        raise ConfigurationError(
            f"`lengths` must be from 1 to {longest}, the --max-length that the "
            f"student was trained with. Received: {lengths}."
        )
    return lengths


def _check_metric(runs, results):
    """The metric that all runs score by."""
    metrics = {
        primary_metric(result): run for run, result in zip(runs, results)
    }
    if len(metrics) > 1:
        received = ", ".join(
            f"{metric} ('{run.folder}')" for metric, run in metrics.items()
        )
        raise ConfigurationError(
            f"Runs in one table score by one metric. Received: {received}."
        )
    return next(iter(metrics))


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
        same = base.get(
            (one["runtime"], quantization_of_teacher(one["quantization"]))
        )
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
