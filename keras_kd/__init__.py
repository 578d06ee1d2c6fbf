"""Distils BERT-like teachers into Keras students small enough for a phone.

Public names are imported when they are first used: `keras-kd --help` then
answers at once, and what needs TensorFlow asks for it only when it is used.
"""

import importlib

from keras_kd.version import __version__ as __version__

_PUBLIC_NAMES = {
    "DistillationLoss": "keras_kd.losses.distillation_loss",
    "Distiller": "keras_kd.distiller",
    "LinearWarmupDecay": "keras_kd.schedules",
    "Rows": "keras_kd.data.rows",
    "SoftTargets": "keras_kd.losses.soft_targets",
    "Teacher": "keras_kd.teachers.teacher",
    "TeacherTargets": "keras_kd.teachers.cache",
    "TextClassification": "keras_kd.tasks.text_classification",
    "Tokenizer": "keras_kd.data.tokenization",
    "evaluation_batches": "keras_kd.data.pipeline",
    "export_litert": "keras_kd.export.litert",
    "export_saved_model": "keras_kd.export.saved_model",
    "gather_inputs": "keras_kd.data.batches",
    "load_pretrained": "keras_kd.models.pretrained",
    "read_examples": "keras_kd.data.sources",
    "recurrent_student": "keras_kd.models.recurrent",
    "training_batches": "keras_kd.data.pipeline",
    "transformer_student": "keras_kd.models.transformer",
}
__all__ = ["__version__", *_PUBLIC_NAMES]


def __getattr__(name):
    if name not in _PUBLIC_NAMES:
        raise AttributeError(f"module 'keras_kd' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC_NAMES[name]), name)


def __dir__():
    return sorted(__all__)
