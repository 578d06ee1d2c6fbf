"""Distils BERT-like teachers into Keras students small enough for a phone."""

import importlib

from keras_kd.data.batches import gather_inputs as gather_inputs
from keras_kd.data.rows import Rows as Rows
from keras_kd.data.sources import read_examples as read_examples
from keras_kd.data.tokenization import Tokenizer as Tokenizer
from keras_kd.distiller import Distiller as Distiller
from keras_kd.losses.distillation_loss import (
    DistillationLoss as DistillationLoss,
)
from keras_kd.losses.soft_targets import SoftTargets as SoftTargets
from keras_kd.models.pretrained import load_pretrained as load_pretrained
from keras_kd.models.recurrent import recurrent_student as recurrent_student
from keras_kd.models.transformer import (
    transformer_student as transformer_student,
)
from keras_kd.schedules import LinearWarmupDecay as LinearWarmupDecay
from keras_kd.tasks.text_classification import (
    TextClassification as TextClassification,
)
from keras_kd.teachers.cache import TeacherTargets as TeacherTargets
from keras_kd.teachers.teacher import Teacher as Teacher
from keras_kd.version import __version__ as __version__

# These need TensorFlow, which `import keras_kd` does not.
_WITH_TENSORFLOW = {
    "evaluation_batches": "keras_kd.data.pipeline",
    "training_batches": "keras_kd.data.pipeline",
    "export_litert": "keras_kd.export.litert",
    "export_saved_model": "keras_kd.export.saved_model",
}


def __getattr__(name):
    if name in _WITH_TENSORFLOW:
        return getattr(importlib.import_module(_WITH_TENSORFLOW[name]), name)
    raise AttributeError(f"module 'keras_kd' has no attribute '{name}'")
