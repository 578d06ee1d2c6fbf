"""Converts a saved Keras model to LiteRT; run as a process of its own.

`python -m keras_kd.export.conversion_worker SETTINGS.json`, where the settings
hold `model` (a `.keras` file), `output`, `error` (where a message goes if it
fails), `quantization`, `batch_size`, `length` and `activation` (all three may
be null).
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from keras_kd.models.weight_quantization import TABLE_BITS

QUANTIZATIONS = ("dynamic", "float16", "float32", *TABLE_BITS)
LONGEST_REASON = 500


def convert(
    model,
    folder,
    quantization,
    batch_size=None,
    length=None,
    fast_loops=True,
    activation=None,
    tokenizer=None,
):
    """Converts a Keras model to the bytes of a LiteRT file.

    Only built-in operations: the runtimes that one installs with pip, and
    those on phones, have no others.

    Args:
        model: A functional `keras.Model` with int32 `[batch, length]` inputs.
        folder: Where the intermediate SavedModel goes.
        quantization: One of `QUANTIZATIONS`.
        batch_size: Number of rows, or `None` for any.
        length: Number of tokens, or `None` for any.
        fast_loops: Whether recurrent layers become loops of our own, where
            they take one row (`recurrent_lowering`); else Keras' own.
        activation: `"softmax"` or `"sigmoid"` makes the file a text classifier
            for MediaPipe: without loops, with all three inputs, and with
            `probabilities` for its output. `None` for any other file.
        tokenizer: `DeviceTokenizer` that makes the file take one text; it
            brings operations of tensorflow_text's. `None` for other files.

    Returns:
        Bytes. Inputs and outputs keep the names of the Keras model.
    """
    import tensorflow as tf

    from keras_kd.export.embedding_lookup import quantize_tables
    from keras_kd.export.embedding_lookup import with_embedding_lookups
    from keras_kd.export.recurrent_lowering import with_fast_loops
    from keras_kd.export.unrolled_recurrence import with_unrolled_recurrence
    from keras_kd.models.inference_encoder import for_inference

    model = for_inference(model)
    bits = TABLE_BITS.get(quantization)
    if bits is not None:
        model = with_embedding_lookups(model)
    if activation is not None:
        model = with_unrolled_recurrence(model)
    elif fast_loops and batch_size == 1:
        model = with_fast_loops(model)
    if tokenizer is None:
        save_features_signature(model, folder, batch_size, length, activation)
    else:
        save_text_signature(model, folder, tokenizer)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = tokenizer is not None
    if quantization in ("dynamic", "float16"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = converter.convert()
    return content if bits is None else quantize_tables(content, bits)


def save_features_signature(model, folder, batch_size, length, activation=None):
    """Writes a SavedModel with one signature: features to named outputs.

    With an activation it has every input that there is, used or not, and one
    output, `probabilities`.
    """
    import tensorflow as tf

    from keras_kd import batch

    names = batch.input_names(model)
    if activation is not None:
        names = [batch.TOKEN_IDS, batch.PADDING_MASK, batch.SEGMENT_IDS]

    def features(**inputs):
        outputs = batch.named_outputs(
            model(batch.select_inputs(model, inputs), training=False)
        )
        if activation is None:
            return outputs
        probabilities = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}
        (logits,) = outputs.values()
        return {batch.PROBABILITIES: probabilities[activation](logits)}

    specs = {
        name: tf.TensorSpec([batch_size, length], tf.int32, name=name)
        for name in names
    }
    _save_signature(model, folder, features, specs)


def save_text_signature(model, folder, tokenizer):
    """Writes a SavedModel with one signature: one text to named outputs."""
    import tensorflow as tf

    from keras_kd import batch

    def answer(text):
        inputs = batch.select_inputs(model, tokenizer(text))
        return batch.named_outputs(model(inputs, training=False))

    spec = tf.TensorSpec([1], tf.string, name="text")
    _save_signature(model, folder, answer, {"text": spec}, tokenizer)


def _save_signature(model, folder, function, specs, tokenizer=None):
    import tensorflow as tf

    module = tf.Module()
    # A module that holds only the Keras model loses the weights in silence.
    module.student_variables = [variable.value for variable in model.variables]
    module.tokenizer = tokenizer
    module.function = tf.function(function)
    signature = module.function.get_concrete_function(**specs)
    tf.saved_model.save(
        module, str(folder), signatures={"serving_default": signature}
    )


def explain(error):
    """The part of a converter's error that a person can use."""
    text = str(error)
    found = re.findall(r"^\s*(?:Flex|Custom) ops: .*$", text, re.MULTILINE)
    if found:
        operations = "; ".join(line.strip() for line in found)
        return (
            "The model has operations without a built-in LiteRT counterpart "
            f"({operations}). Build it from layers that convert: GRU, LSTM, "
            "Dense, attention, normalisation, elementary functions."
        )
    if "TensorListReserve" in text:
        return (
            "Recurrent layers convert for a fixed number of rows only. Export "
            "them with `export_litert`, which takes one row at a time."
        )
    found = re.search(r"'tf\.\w+' op [^\n]*", text)
    reason = found.group() if found else text.strip()
    return f"{type(error).__name__}: {reason[:LONGEST_REASON]}"


def main(settings_path):
    """Converts as the settings say. Returns the exit status."""
    settings = json.loads(Path(settings_path).read_text(encoding="utf-8"))
    try:
        import keras

        model = keras.models.load_model(settings["model"], compile=False)
        tokenizer = settings["tokenizer"]
        if tokenizer is not None:
            from keras_kd.data.tokenization import Tokenizer
            from keras_kd.export.device_tokenizer import DeviceTokenizer

            tokenizer = DeviceTokenizer(
                Tokenizer.from_folder(tokenizer), settings["length"]
            )
        with tempfile.TemporaryDirectory(
            dir=Path(settings_path).parent
        ) as folder:
            content = convert(
                model,
                folder,
                settings["quantization"],
                settings["batch_size"],
                settings["length"],
                activation=settings["activation"],
                tokenizer=tokenizer,
            )
        Path(settings["output"]).write_bytes(content)
    except Exception as error:
        Path(settings["error"]).write_text(explain(error), encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
