"""Distils BERT-like teachers into Keras students small enough for a phone."""

from keras_kd.distiller import Distiller as Distiller
from keras_kd.losses.soft_targets import SoftTargets as SoftTargets
from keras_kd.models.recurrent import recurrent_student as recurrent_student
from keras_kd.models.transformer import (
    transformer_student as transformer_student,
)
from keras_kd.version import __version__ as __version__
