"""Running a model, in any runtime, over all rows of a data set."""

import functools

import keras
import numpy as np

from keras_kd import batch
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_inputs
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.models.inference_encoder import for_inference

# Of these there is a number for each two tokens, not an array a token.
OF_PAIRS = ("attention_scores", "attention_probabilities")


def keras_runtime(model, plain=False):
    """`(input names, predict)` of a Keras model, for `predict_rows`.

    It reads the model's own variables: what is trained meanwhile is seen.

    Args:
        model: A `keras.Model` by the contract of `keras_kd.batch`.
        plain: Whether every layer is run as it is, rather than by
            `keras_kd.models.inference_encoder`, which is faster: to measure
            how fast the model itself is.
    """
    names = batch.input_names(model)
    if not plain:
        model = for_inference(model)

    def call(features):
        inputs = batch.select_inputs(model, features)
        return batch.named_outputs(model(inputs, training=False))

    if keras.config.backend() == "tensorflow":
        call = _one_graph(call, names)

    def predict(features):
        outputs = call(
            {
                name: keras.ops.convert_to_tensor(features[name], "int32")
                for name in names
            }
        )
        return {
            name: keras.ops.convert_to_numpy(values)
            for name, values in outputs.items()
        }

    return names, predict


def _one_graph(call, names):
    """The same function as one graph for all lengths, made when it is used.

    `Model.predict` would have XLA compile anew for each length. A graph taken
    out of its `tf.function` warns no one that other models have theirs.
    """
    import tensorflow as tf

    spec = {name: tf.TensorSpec([None, None], "int32") for name in names}
    function = tf.function(call, input_signature=[spec])
    graph = functools.cache(function.get_concrete_function)
    return lambda features: graph()(features)


def in_pieces(runtime, tokens):
    """The same runtime, which is given so many tokens of a batch at once.

    Args:
        runtime: As in `predict_batches`.
        tokens: The most tokens of a piece, padding included; one row at least.
    """
    names, predict = runtime

    def predict_pieces(features):
        rows, length = features[batch.TOKEN_IDS].shape
        size = max(1, tokens // max(1, length))
        pieces = [
            predict({n: x[i : i + size] for n, x in features.items()})
            for i in range(0, rows, size)
        ]
        return {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}

    return names, predict_pieces


def predict_batches(runtime, rows, positions=None, tokens_per_batch=8192):
    """Yields `(positions, outputs by name)`, batches of like length.

    Args:
        runtime: `(input names, predict)`; `predict` takes a dictionary of
            int32 `[batch, length]` and gives a dictionary of arrays.
        rows: `Rows`.
        positions: Which rows; by default all.
        tokens_per_batch: The most tokens in a batch, padding included.
    """
    names, predict = runtime
    if positions is None:
        positions = np.arange(len(rows))
    lengths = rows.lengths(batch.TOKEN_IDS, positions)
    for group in by_length(lengths, tokens_per_batch):
        chosen = positions[group]
        yield chosen, predict(gather_inputs(rows, chosen, names))


def predict_rows(
    runtime, rows, output=batch.LOGITS, progress=None, per_token=False
):
    """One output of a model for every row, in the order of the rows.

    Args:
        runtime: As in `predict_batches`.
        rows: `Rows`.
        output: Name of an output with one array of equal shape a row, or a
            token.
        progress: Function that is told how many rows were done.
        per_token: Whether it has one a token: its second axis is that of the
            tokens, padding included.

    Returns:
        `[rows, ...]` array, float32; of an output for each token
        `TokenOutputs`, without padding.

    Raises:
        ValueError: Attention for each token.
    """
    if per_token:
        refuse_attention([output])
        return _predict_tokens(runtime, rows, output, progress)
    result = None
    for positions, outputs in predict_batches(runtime, rows):
        values = np.asarray(outputs[output])
        if result is None:
            result = np.empty((len(rows), *values.shape[1:]), "float32")
        result[positions] = values
        if progress is not None:
            progress(len(positions))
    return result


def refuse_attention(names):
    """Refuses outputs that can be kept neither for each row nor each token.

    Raises:
        ValueError: There is attention among them.
    """
    attention = [name for name in names if name.partition("/")[0] in OF_PAIRS]
    if attention:
        raise ValueError(
            "Outputs can be kept that have one array of equal shape a row, or "
            f"a token. Received: {attention}, with a number for each two "
            "tokens. Run the teacher live (`Distiller(student, teacher=...)`), "
            "or keep 'hidden_states/...', or 'queries/...', 'keys/...' and "
            "'values/...' with `SelfAttentionRelations`."
        )


def _predict_tokens(runtime, rows, output, progress):
    lengths = rows.lengths(batch.TOKEN_IDS)
    result = [None] * len(rows)
    for positions, outputs in predict_batches(runtime, rows):
        values = np.asarray(outputs[output], "float32")
        for position, row in zip(positions, values):
            # A copy: a view would keep the padding of the whole batch.
            result[position] = row[: lengths[position]].copy()
        if progress is not None:
            progress(len(positions))
    return TokenOutputs.join(result)
