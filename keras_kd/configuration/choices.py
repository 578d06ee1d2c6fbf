"""The names that settings are chosen from."""

STUDENTS = ("bigru", "bilstm", "attention", "transformer", "bag", "bert")
# Students with attention, and how many heads they have by default.
STUDENTS_WITH_HEADS = ("attention", "transformer", "bert")
HEADS = 4
STUDENTS_WITH_CONVOLUTION = ("attention", "transformer")
TASKS = (
    "classification", "multi_label", "regression", "token_tagging",
    "question_answering",
)  # fmt: skip
# Files whose columns have a delimiter between them.
DELIMITERS = {".csv": ",", ".tsv": "\t"}
# How a file is read, that the files of a task have not.
NOT_OF_FILES = {
    "token_tagging": ("text_pair", "delimiter"),
    "question_answering": ("text", "text_pair", "label", "delimiter"),
}
ANSWER_SCORINGS = ("squad", "cmrc")
TASKS_OF_TOKENS = ("token_tagging", "question_answering")
# Tasks whose logits have no names.
WITHOUT_LABELS = ("regression", "question_answering")
TOKENS = (
    "teacher", "mediapipe", "wordpiece", "word", "character", "jieba",
)  # fmt: skip
# Of a vocabulary that is built from the training text.
OWN_VOCABULARIES = TOKENS[2:]
LOSSES = ("soft_targets", "soft_cross_entropy", "logits_mse", "decoupled_kd")
# Tasks that have classes for it to compare.
TASKS_OF_LOSSES = {
    "soft_cross_entropy": ("classification", "token_tagging"),
    "decoupled_kd": ("classification",),
}
# Losses on classes, whose targets may be moved row by row.
LOSSES_OF_ROWS = ("soft_targets", "soft_cross_entropy")
EXAMPLE_TEMPERATURES = ("flsw", "cwsm")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored")
QUANTIZATIONS = (
    "float32", "float16", "dynamic", "int8-embedding", "int4-embedding",
    "int2-embedding",
)  # fmt: skip
# Those of which a training knows.
WEIGHT_QUANTIZATIONS = QUANTIZATIONS[2:]
TEACHER_RUNTIMES = ("keras", "litert-int8")
FRAMEWORKS = ("keras", "torch")
# What `keras_kd.runs.layer_distillation` makes of each stands there.
LAYER_LOSSES = (
    "embedding_mse", "hidden_state_mse", "hidden_state_cosine",
    "patient_knowledge", "attention_mse", "attention_probability_mse",
    "attention_kl", "self_attention_relations", "value_relations",
    "neuron_selectivity", "flow_matching", "relational_distance",
    "relational_angle", "contrastive", "layer_transport",
)  # fmt: skip
AUGMENTATIONS = ("none", "tang", "tinybert")
ARMS = ("teacher", "alone", "distilled_labelled", "distilled", "control")
