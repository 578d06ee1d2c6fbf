"""Every loss has the same values and gradients on every Keras backend."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.losses import cases

ROOT = Path(__file__).parents[2]
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5], "float32")


def found_here():
    """Values of all losses, and the sums of their gradients' sizes."""
    student = cases.everything(seed=1)
    teacher = cases.cast(cases.everything(seed=2), "float32")
    context = {
        "mask": cases.MASK,
        "labels": cases.LABELS,
        "sample_weight": WEIGHTS,
    }
    found = {}
    for name, make in cases.CASES.items():
        loss = make()
        read = cases.cast(cases.read_by(loss, student), "float32")

        def total(outputs):
            return keras.ops.sum(loss(outputs, teacher, **context))

        values = loss(read, teacher, **context)
        found[name] = {
            "values": keras.ops.convert_to_numpy(values).tolist(),
            "slopes": [
                float(np.abs(keras.ops.convert_to_numpy(slope)).sum())
                for slope in slopes_of(total, read)
            ],
        }
    return found


def slopes_of(function, outputs):
    """The gradient by each output, by the backend's own means."""
    names = sorted(outputs)
    if keras.backend.backend() == "jax":
        import jax

        slopes = jax.grad(function)(outputs)
        return [slopes[name] for name in names]
    if keras.backend.backend() == "torch":
        for name in names:
            outputs[name] = outputs[name].detach().requires_grad_()
        function(outputs).backward()
        return [outputs[name].grad for name in names]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = function(outputs)
    slopes = tape.gradient(total, outputs)
    return [tf.convert_to_tensor(slopes[name]) for name in names]


if __name__ == "__main__":
    print(json.dumps(found_here()))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_as_on_tensorflow(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, __file__],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    received = json.loads(done.stdout.splitlines()[-1])
    expected = found_here()
    assert set(received) == set(expected)
    for name, values in expected.items():
        for kind, numbers in values.items():
            np.testing.assert_allclose(
                received[name][kind],
                numbers,
                rtol=1e-4,
                atol=1e-6,
                err_msg=f"{name}: {kind}",
            )
