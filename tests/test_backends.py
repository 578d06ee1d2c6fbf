"""The Distiller gives the same losses on every Keras backend."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
ONE_TASK = """
import json
import keras
import numpy as np
import keras_kd

generator = np.random.default_rng(0)
x = {
    "token_ids": generator.integers(1, 20, (16, 6)).astype("int32"),
    "padding_mask": np.ones((16, 6), "int32"),
}
y = {
    "labels": generator.integers(0, 3, 16).astype("int32"),
    "teacher": {"logits": generator.normal(size=(16, 3)).astype("float32")},
}
student = keras_kd.recurrent_student(
    20, 3, units=4, embedding_dim=4, dropout=0.0
)
for weight in student.trainable_weights:
    weight.assign(generator.normal(size=weight.shape).astype("float32") / 2)
distiller = keras_kd.Distiller(student, losses=[keras_kd.SoftTargets()])
distiller.compile(
    # Adam over an embedding: TensorFlow's sparse gradients would differ.
    keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = distiller.fit(
    x, y, epochs=3, batch_size=8, shuffle=False, verbose=0
).history
print(json.dumps({k: [float(v) for v in vs] for k, vs in history.items()}))
"""
SEVERAL_TASKS = """
import json
import keras
import numpy as np
import keras_kd

generator = np.random.default_rng(0)
tasks = {"topic": 4, "tone": 2}


def rows(outputs):
    x = {
        "token_ids": generator.integers(1, 20, (8, 6)).astype("int32"),
        "padding_mask": np.ones((8, 6), "int32"),
    }
    y = {
        "labels": generator.integers(0, outputs, 8).astype("int32"),
        "teacher": {
            "logits": generator.normal(size=(8, outputs)).astype("float32")
        },
    }
    return x, y


def batch():
    parts = {name: rows(outputs) for name, outputs in tasks.items()}
    return tuple({n: part[i] for n, part in parts.items()} for i in range(2))


encoder = keras_kd.recurrent_student(
    20, 7, units=4, embedding_dim=4, dropout=0.0
)
students = keras_kd.with_task_heads(encoder, tasks)
distiller = keras_kd.MultiTaskDistiller(
    {
        name: keras_kd.Distiller(student, losses=[keras_kd.SoftTargets()])
        for name, student in students.items()
    },
    {"tone": 0.5},
)
for weight in distiller.student.trainable_weights:
    weight.assign(generator.normal(size=weight.shape).astype("float32") / 2)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
distiller.compile(
    keras.optimizers.Adam(0.01),
    loss=dict.fromkeys(tasks, loss),
    metrics={"tone": ["accuracy"]},
)
batches = [batch() for _ in range(6)]
history = distiller.fit(
    (one for one in batches),
    steps_per_epoch=3,
    epochs=2,
    shuffle=False,
    verbose=0,
).history
print(json.dumps({k: [float(v) for v in vs] for k, vs in history.items()}))
"""


def run_on(backend, script):
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(
    "script", [ONE_TASK, SEVERAL_TASKS], ids=["one task", "several tasks"]
)
def test_training_is_the_same_as_on_tensorflow(backend, script):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    expected, received = run_on("tensorflow", script), run_on(backend, script)
    assert set(expected) == set(received)
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, atol=1e-5)
