"""Distils BERT-like teachers into Keras students small enough for a phone.

Public names are imported when they are first used: `keras-kd --help` then
answers at once, and what needs TensorFlow asks for it only when it is used.
"""

import importlib

from keras_kd.version import __version__ as __version__

_PUBLIC_NAMES = {
    "ConstantSchedule": "keras_kd.schedules",
    "CosineSchedule": "keras_kd.schedules",
    "DistillationLoss": "keras_kd.losses.distillation_loss",
    "Distiller": "keras_kd.distiller",
    "HiddenStateMSE": "keras_kd.losses.hidden_state_mse",
    "JoinedSchedule": "keras_kd.schedules",
    "LinearSchedule": "keras_kd.schedules",
    "LinearWarmupDecay": "keras_kd.schedules",
    "LogitsMSE": "keras_kd.losses.logits_mse",
    "MultiLabelClassification": "keras_kd.tasks.multi_label_classification",
    "MultiTaskDistiller": "keras_kd.multi_task_distiller",
    "QuestionAnswering": "keras_kd.tasks.question_answering",
    "Questions": "keras_kd.data.question_files",
    "Rows": "keras_kd.data.rows",
    "SigmoidSoftTargets": "keras_kd.losses.sigmoid_soft_targets",
    "SoftTargets": "keras_kd.losses.soft_targets",
    "TangAugmentation": "keras_kd.data.augmentation.tang",
    "Teacher": "keras_kd.teachers.teacher",
    "TeacherEnsemble": "keras_kd.teachers.ensemble",
    "TeacherTargets": "keras_kd.teachers.cache",
    "TextClassification": "keras_kd.tasks.text_classification",
    "TextRegression": "keras_kd.tasks.text_regression",
    "TinyBertAugmentation": "keras_kd.data.augmentation.tinybert",
    "TokenTagging": "keras_kd.tasks.token_tagging",
    "Tokenizer": "keras_kd.data.tokenization",
    "attention_student": "keras_kd.models.attention",
    "bag_student": "keras_kd.models.bag",
    "bert_student": "keras_kd.models.bert_student",
    "build_student": "keras_kd.models.students",
    "build_tokenizer": "keras_kd.data.vocabularies",
    "distribute_options": "keras_kd.distribution",
    "evaluation_batches": "keras_kd.data.pipeline",
    "export_litert": "keras_kd.export.litert",
    "export_mediapipe": "keras_kd.export.mediapipe",
    "export_saved_model": "keras_kd.export.saved_model",
    "fresh_teacher": "keras_kd.teachers.fresh",
    "gather_inputs": "keras_kd.data.batches",
    "init_from_teacher": "keras_kd.models.initialization",
    "keras_runtime": "keras_kd.inference",
    "layer_outputs": "keras_kd.models.layer_outputs",
    "load_pretrained": "keras_kd.models.pretrained",
    "narrow_from_teacher": "keras_kd.models.narrowing",
    "predict_rows": "keras_kd.inference",
    "read_examples": "keras_kd.data.sources",
    "read_tagged_sentences": "keras_kd.data.tagged_files",
    "read_word_vectors": "keras_kd.models.embeddings",
    "recurrent_student": "keras_kd.models.recurrent",
    "retokenize": "keras_kd.data.retokenization",
    "strategy_by_name": "keras_kd.distribution",
    "teacher_table": "keras_kd.models.embeddings",
    "training_batches": "keras_kd.data.pipeline",
    "transformer_student": "keras_kd.models.transformer",
    "with_task_heads": "keras_kd.models.task_heads",
}
__all__ = ["__version__", *_PUBLIC_NAMES]


def __getattr__(name):
    if name not in _PUBLIC_NAMES:
        raise AttributeError(f"module 'keras_kd' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC_NAMES[name]), name)


def __dir__():
    return sorted(__all__)
