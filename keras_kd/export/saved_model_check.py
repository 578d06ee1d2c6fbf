"""Loads a SavedModel and runs it: a script without any import of keras_kd.

`python saved_model_check.py FOLDER INPUTS.npz OUTPUTS.npz`. The inputs are
named `SIGNATURE/INPUT`, and the outputs come back as `SIGNATURE/OUTPUT`. It is
how a server would use the folder: with tensorflow and, where there is a
signature for text, with tensorflow_text.
"""

import sys

import numpy as np
import tensorflow as tf


def main(folder, inputs_path, outputs_path):
    """Runs each signature that there are inputs for."""
    inputs = {}
    with np.load(inputs_path) as arrays:
        for key in arrays:
            signature, name = key.split("/")
            inputs.setdefault(signature, {})[name] = arrays[key]
    if any("text" in signature for signature in inputs):
        import tensorflow_text  # noqa: F401  (registers its operations)
    signatures = tf.saved_model.load(folder).signatures
    outputs = {}
    for signature, values in inputs.items():
        results = signatures[signature](
            **{
                name: tf.constant(
                    np.char.encode(value, "utf-8")
                    if value.dtype.kind == "U"
                    else value
                )
                for name, value in values.items()
            }
        )
        for name, value in results.items():
            outputs[f"{signature}/{name}"] = value.numpy()
    np.savez(outputs_path, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
