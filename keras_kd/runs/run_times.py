"""What one text costs, in the teacher, the student and the exported files."""

import keras
import numpy as np

from keras_kd import batch
from keras_kd.data.batches import gather_inputs
from keras_kd.evaluation.latency import latency
from keras_kd.evaluation.machine import usable_cores
from keras_kd.inference import keras_runtime

ROWS = 50


def run_times(models, count=ROWS):
    """Times models on real rows, one row at a time.

    Args:
        models: Dictionary from a name to `(model, rows)`: a Keras model or a
            `LiteRTModel`, and the rows as it reads them; the same rows for
            all. The first is what the others are compared with.
        count: How many rows are timed, evenly spread.

    Returns:
        List of dictionaries: `model`, `runtime`, `threads`, `p50` and `p90` in
        milliseconds, `rows`, `tokens` (mean number a row) and `ratio`, the
        first model's p50 over this one's.
    """
    results = []
    for name, (model, rows) in models.items():
        last = len(rows) - 1
        positions = np.linspace(0, last, min(count, len(rows))).astype(int)
        if hasattr(model, "num_threads"):
            names, predict = model.input_names, model.predict
            runtime = getattr(model, "framework", "LiteRT")
            threads = model.num_threads
        else:
            names, predict = keras_runtime(model, plain=True)
            runtime, threads = "Keras", keras_threads()
        inputs = [gather_inputs(rows, [p], names) for p in positions]
        lengths = rows.lengths(batch.TOKEN_IDS, positions)
        results.append(
            {
                "model": name,
                "runtime": runtime,
                "threads": threads,
                **latency(predict, inputs),
                "tokens": float(lengths.mean()),
            }
        )
    for result in results:
        result["ratio"] = results[0]["p50"] / result["p50"]
    return results


def keras_threads():
    """The threads of a Keras model: those that TensorFlow was given, or all."""
    given = 0
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        given = tf.config.threading.get_intra_op_parallelism_threads()
    return given or usable_cores()
