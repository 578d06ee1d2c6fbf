"""What every test shares: a quiet TensorFlow, fixed seeds, strict warnings."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import keras
import pytest


@pytest.fixture(autouse=True)
def fixed_seed():
    """Fixes the seeds, and drops the graphs of the test before."""
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()
