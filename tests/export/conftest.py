"""Small students, rows and tokenizers for the tests of export."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.transformer import transformer_student
from tests import tiny_wordpiece

PROJECT = Path(__file__).resolve().parents[2]
LENGTH = 16
LABELS = ["negative", "neutral", "positive"]


@pytest.fixture(scope="session")
def nasty_strings():
    return tiny_wordpiece.nasty_strings()


@pytest.fixture(scope="session")
def wordpiece_tokenizer():
    """Makes BERT tokenizers: see `tiny_wordpiece.make_tokenizer`."""
    return tiny_wordpiece.make_tokenizer


@pytest.fixture(scope="session")
def tokenizer(wordpiece_tokenizer):
    return wordpiece_tokenizer()


@pytest.fixture
def make_student(tokenizer):
    """Makes students with firm decisions, as trained ones have."""

    def make(kind, vocabulary_size=None, **options):
        vocabulary_size = vocabulary_size or tokenizer.vocabulary_size
        if kind == "bigru":
            options = {"units": 12, "embedding_dim": 16, **options}
            student = recurrent_student(
                vocabulary_size, len(LABELS), num_layers=2, **options
            )
        else:
            options = {"hidden_dim": 16, "num_heads": 2, **options}
            student = transformer_student(
                vocabulary_size, len(LABELS), **options
            )
        embedding = student.get_layer("token_embedding")
        table = embedding.get_weights()[0]
        embedding.set_weights([table / table.std() * 0.5])
        kernel, bias = student.get_layer("logits").get_weights()
        student.get_layer("logits").set_weights([kernel * 4, bias])
        return student

    return make


@pytest.fixture
def make_rows(tokenizer):
    """Makes random rows of every length, padded on the right with 0."""

    def make(count=100, length=LENGTH, seed=0):
        generator = np.random.default_rng(seed)
        lengths = generator.integers(2, length + 1, count)
        lengths[0] = length
        mask = (np.arange(length) < lengths[:, np.newaxis]).astype("int32")
        ids = generator.integers(
            5, tokenizer.vocabulary_size, (count, length), dtype="int32"
        )
        return {"token_ids": ids * mask, "padding_mask": mask}

    return make


@pytest.fixture
def linear_student():
    """The smallest student there is: its conversion is not what is tested."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(2000, 4, name="token_embedding")(
        inputs["token_ids"]
    )
    mask = keras.ops.cast(inputs["padding_mask"], "float32")
    x = keras.ops.sum(x * keras.ops.expand_dims(mask, -1), axis=1)
    x = keras.layers.Dense(len(LABELS), name="logits")(x)
    return keras.Model(inputs, x, name="linear")


@pytest.fixture
def run_script():
    """Runs a script in a fresh process in which some packages are blocked."""

    def run(script, *arguments, blocked=()):
        block = "".join(
            f"import sys; sys.modules[{name!r}] = None\n" for name in blocked
        )
        finished = subprocess.run(
            [sys.executable, "-c", block + script, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        return finished.stdout

    return run
