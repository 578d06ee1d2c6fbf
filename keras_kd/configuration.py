"""Everything that decides a run, in one flat, validated place."""

import dataclasses
import math
import numbers
import os
import typing
from dataclasses import dataclass
from dataclasses import field
from typing import Optional

STUDENTS = ("bigru", "bilstm", "attention", "transformer", "bag", "bert")
TASKS = (
    "classification", "multi_label", "regression", "token_tagging",
    "question_answering",
)  # fmt: skip
ANSWER_SCORINGS = ("squad", "cmrc")
TASKS_OF_TOKENS = ("token_tagging", "question_answering")
# Tasks whose logits have no names.
WITHOUT_LABELS = ("regression", "question_answering")
TOKENS = (
    "teacher", "mediapipe", "wordpiece", "word", "character", "jieba",
)  # fmt: skip
LOSSES = ("soft_targets", "logits_mse")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored")
QUANTIZATIONS = (
    "float32", "float16", "dynamic", "int8-embedding", "int4-embedding",
)  # fmt: skip
TEACHER_RUNTIMES = ("keras", "litert-int8")
FRAMEWORKS = ("keras", "torch")
# What `keras_kd.layer_distillation` makes of each stands there.
LAYER_LOSSES = (
    "embedding_mse", "hidden_state_mse", "hidden_state_cosine",
    "patient_knowledge", "attention_mse", "attention_probability_mse",
    "attention_kl", "self_attention_relations", "neuron_selectivity",
    "flow_matching", "relational_distance", "relational_angle", "contrastive",
    "layer_transport",
)  # fmt: skip
AUGMENTATIONS = ("none", "tang", "tinybert")
ARMS = ("teacher", "alone", "distilled_labelled", "distilled", "control")


class ConfigurationError(ValueError):
    """A setting that can't be used: says which, and what is allowed."""


def _setting(default, text, choices=None):
    metadata = {"help": text, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Configuration:
    """The settings of a run; each is also a flag of the command line.

    Raises:
        ConfigurationError: A value out of its range.

    Example:

    >>> configuration = Configuration(train="train.csv", teacher="bert/")
    >>> configuration.student, configuration.temperature
    ('bigru', 2.0)
    """

    # === Data ===
    train: Optional[str] = _setting(
        None, "labelled rows: a .csv, .tsv, .jsonl, .parquet file or tfds:NAME"
    )
    train_split: str = _setting("train", "split of a tfds:NAME to train on")
    validation: Optional[str] = _setting(
        None, "rows to choose checkpoints on; by default a part of --train"
    )
    validation_rows: Optional[int] = _setting(
        None, "rows of --train kept for validation (default: a tenth)"
    )
    test: Optional[str] = _setting(
        None,
        "rows to judge the comparison on; by default a part of --train",
    )
    test_split: str = _setting("test", "split of a tfds:NAME to test on")
    validation_split: str = _setting(
        "validation", "split of a tfds:NAME to validate on"
    )
    unlabelled_split: str = _setting(
        "unsupervised", "split of a tfds:NAME without labels"
    )
    test_rows: Optional[int] = _setting(
        None, "rows of --train kept for testing where there is no --test"
    )
    unlabelled: Optional[str] = _setting(
        None, "rows without labels, or whose labels are not read"
    )
    labelled_rows: Optional[int] = _setting(
        None, "use only so many labels of --train; the rest is unlabelled text"
    )
    task: str = _setting(
        "classification",
        "what is to be found: a class, several labels, a number, the entities "
        "of a text, or the answer to a question about it",
        TASKS,
    )
    text: typing.Union[str, int] = _setting("text", "column of the text")
    text_pair: typing.Union[str, int, None] = _setting(
        None, "column of the second text, where rows are pairs"
    )
    label: typing.Union[str, int] = _setting("label", "column of the label")
    label_separator: str = _setting(
        ",", "what stands between the labels of a multi_label row"
    )
    delimiter: Optional[str] = _setting(
        None, "delimiter of a text table, where its suffix does not say it"
    )
    encoding: str = _setting("utf-8", "encoding of text files")
    labels: Optional[list[str]] = _setting(
        None, "class names in the order of the logits; default: from the data"
    )
    metric: Optional[str] = _setting(
        None, "what checkpoints and the comparison go by; default: accuracy, "
        "micro_f1 (multi_label), pearson (regression)"
    )  # fmt: skip
    max_length: int = _setting(128, "tokens of a row at the most")
    stride: Optional[int] = _setting(
        None, "tokens that two windows share where a text is longer than that "
        "(token_tagging: a quarter, question_answering: a third of it)"
    )  # fmt: skip
    answer_scoring: str = _setting(
        "squad", "by whose rules answers are compared: squad or cmrc (Chinese)",
        ANSWER_SCORINGS,
    )  # fmt: skip
    longest_answer: int = _setting(30, "tokens of an answer at the most")
    no_answer_threshold: float = _setting(
        0.0, "by how much more 'no answer' has to score than the best answer, "
        "where some questions have none"
    )  # fmt: skip

    cache: Optional[str] = _setting(
        None, "folder of tokenised rows and teacher targets; runs may share it "
        "(default: the run's own)"
    )  # fmt: skip

    # === Augmentation ===
    augment: str = _setting(
        "none",
        "make more text of the labelled rows for the teacher to label: none, "
        "tang (words masked or replaced, n-grams) or tinybert (words that a "
        "masked language model proposes)",
        AUGMENTATIONS,
    )
    augment_copies: int = _setting(
        20, "texts that are made of each labelled row"
    )
    augment_tagger: Optional[str] = _setting(
        None, "an installed spaCy model: tang then also replaces words by "
        "others of the same part of speech"
    )  # fmt: skip
    augment_masked_lm: Optional[str] = _setting(
        None, "masked language model of tinybert: a Hugging Face folder"
    )
    augment_word_vectors: Optional[str] = _setting(
        None, "file of word vectors: tinybert then also replaces words that "
        "are several tokens of the masked language model"
    )  # fmt: skip

    # === Teacher ===
    teacher: typing.Union[str, list[str], None] = _setting(
        None, "teacher: a Hugging Face folder or hub name, or a saved teacher; "
        "of several, the logits are averaged"
    )  # fmt: skip
    teacher_weights: typing.Union[str, list[float], None] = _setting(
        None, "a weight for each of several teachers, or validation: those "
        "that together score best there (default: equal)"
    )  # fmt: skip
    fine_tune_teacher: Optional[bool] = _setting(
        None, "fine-tune the teacher first; default: when it has no head"
    )
    teacher_epochs: float = _setting(3.0, "epochs of fine-tuning")
    teacher_learning_rate: float = _setting(5e-5, "peak of fine-tuning")
    teacher_batch_size: int = _setting(16, "rows a batch of fine-tuning")
    teacher_floor: Optional[float] = _setting(
        None, "refuse a teacher that scores less; default: what answers that "
        "ignore the text score"
    )  # fmt: skip
    teacher_framework: str = _setting(
        "keras", "whose model the teacher is: torch runs any Hugging Face "
        "checkpoint that was fine-tuned, to label rows", FRAMEWORKS
    )  # fmt: skip
    teacher_runtime: str = _setting(
        "keras", "what labels the rows", TEACHER_RUNTIMES
    )
    allow_pickle: bool = _setting(
        False, "read a pytorch_model.bin, which may run code when it is read"
    )

    # === Student ===
    student: str = _setting("bigru", "kind of the student", STUDENTS)
    layers: int = _setting(1, "layers of the student")
    teacher_layers: Optional[list[int]] = _setting(
        None, "layers of the teacher, from 0, that a bert student begins as "
        "copies of; narrower ones, if --width is below the teacher's"
    )  # fmt: skip
    width: Optional[int] = _setting(
        None, "units of each direction (bigru, bilstm), hidden width "
        "(attention, transformer, bert) or of the layers behind the mean "
        "(bag); default: 64, or with --teacher-layers the teacher's"
    )  # fmt: skip
    heads: Optional[int] = _setting(
        None, "attention heads (attention, transformer, bert), which divide "
        "--width; default: 4, or with --teacher-layers the teacher's"
    )  # fmt: skip
    intermediate: Optional[int] = _setting(
        None, "width of feed-forward layers (transformer, bert); default: 4 "
        "times --width, or with --teacher-layers the teacher's share of it"
    )  # fmt: skip
    embedding_dim: int = _setting(
        128, "width of the word table of bigru, bilstm and bag"
    )
    dropout: float = _setting(0.2, "dropout of the student")
    chain: bool = _setting(
        False, "of token_tagging: let a tag's score depend on the tag before "
        "it, as a conditional random field"
    )  # fmt: skip
    tokens: str = _setting(
        "teacher",
        "the student's tokens: the teacher's; the teacher's vocabulary as "
        "MediaPipe's clients read it; or a vocabulary of its own, built from "
        "the training text",
        TOKENS,
    )
    vocabulary_size: int = _setting(
        20000, "size of a vocabulary of the student's own"
    )
    lowercase: bool = _setting(
        True, "whether a vocabulary of the student's own makes letters small"
    )
    embeddings: str = _setting(
        "random", "what the student's word table starts from: random, teacher "
        "(the teacher's table by PCA), or a file of word vectors"
    )  # fmt: skip

    # === Distillation ===
    loss: str = _setting(
        "soft_targets", "the loss on the teacher's logits", LOSSES
    )
    temperature: float = _setting(2.0, "temperature of the soft targets")
    scale_by_temperature_squared: bool = _setting(
        True, "multiply the soft targets by the square of the temperature"
    )
    alpha: float = _setting(
        0.9, "weight of the teacher's loss; 1 - alpha is that of the labels"
    )
    layer_losses: Optional[list[str]] = _setting(
        None, "losses between layers of student and teacher, which then runs "
        "live", LAYER_LOSSES
    )  # fmt: skip
    layer_map: str = _setting(
        "uniform", "which layer learns from which: uniform, last, first, skip, "
        "last_only, or pairs such as 1:2,2:4,3:6 (student:teacher)"
    )  # fmt: skip
    layer_weight: typing.Union[float, list[float]] = _setting(
        1.0, "weight of each loss between layers: a number for all, or one "
        "for each of them"
    )  # fmt: skip
    layer_steps: int = _setting(
        0, "steps on the losses between layers alone, before all others; "
        "0: all losses at once"
    )  # fmt: skip
    start_from: Optional[str] = _setting(
        None, "a student.keras that every student begins as, where the layers "
        "have the same names and shapes"
    )  # fmt: skip
    steps: int = _setting(1000, "optimizer steps of every student")
    batch_size: int = _setting(32, "rows a batch")
    learning_rate: float = _setting(1e-3, "peak learning rate")
    evaluate_every: int = _setting(100, "steps between two validations")
    seeds: list[int] = _setting([0], "one training of each arm for each seed")
    arms: list[str] = _setting(
        ["teacher", "alone", "distilled"], "what to train and to score", ARMS
    )

    # === Machine ===
    precision: str = _setting(
        "float32", "precision of the students' training", PRECISIONS
    )
    strategy: str = _setting(
        "none", "replicas: none, or mirrored over all local devices", STRATEGIES
    )
    accumulation_steps: int = _setting(
        1, "micro-batches that a batch is computed in, to save memory"
    )
    jit_compile: bool = _setting(
        False, "compile the step with XLA; batches are padded to --max-length"
    )
    steps_per_execution: int = _setting(
        1, "steps of one call, between which nothing is shown or saved"
    )

    # === Results ===
    export: list[str] = _setting(
        ["dynamic"], "also write the distilled student as .tflite: float32, "
        "float16, dynamic (int8 weights), or dynamic with a word table of a "
        "scale a row: int8-embedding, int4-embedding (the smallest)",
        QUANTIZATIONS,
    )  # fmt: skip
    licence: Optional[str] = _setting(
        None, "licence of the student, which its .tflite files name"
    )

    def __post_init__(self):
        for setting in dataclasses.fields(self):
            _check_type(self, setting)
        for setting in dataclasses.fields(self):
            choices = setting.metadata["choices"]
            value = getattr(self, setting.name)
            several = isinstance(value, list)
            for one in value if several else [value]:
                if choices and one not in (*choices, setting.default):
                    which = "some" if several else "one"
                    _refuse(setting.name, one, f"{which} of {list(choices)}")
        if not 0 < self.temperature < math.inf:
            _refuse("temperature", self.temperature, "above 0 and finite")
        if not 0 <= self.alpha <= 1:
            _refuse("alpha", self.alpha, "from 0 to 1")
        if not 0 <= self.dropout < 1:
            _refuse("dropout", self.dropout, "0 or more and below 1")
        for name in (
            "layers", "width", "embedding_dim", "batch_size", "learning_rate",
            "steps", "evaluate_every", "teacher_batch_size", "teacher_epochs",
            "teacher_learning_rate", "labelled_rows", "validation_rows",
            "test_rows", "vocabulary_size", "accumulation_steps",
            "steps_per_execution", "augment_copies", "heads", "intermediate",
            "longest_answer",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                _refuse(name, value, "above 0 and finite")
        if self.teacher_floor is not None and not 0 <= self.teacher_floor <= 1:
            _refuse("teacher_floor", self.teacher_floor, "from 0 to 1")
        if self.max_length < 8:
            _refuse("max_length", self.max_length, "8 or more")
        for name, method in (
            ("augment_tagger", "tang"),
            ("augment_masked_lm", "tinybert"),
            ("augment_word_vectors", "tinybert"),
        ):
            value = getattr(self, name)
            if value is not None and self.augment != method:
                _refuse(name, value, f"left out unless `augment` is {method}")
        if self.augment == "tinybert" and self.augment_masked_lm is None:
            _refuse(
                "augment_masked_lm",
                None,
                "the folder of a BERT-like checkpoint with a masked-LM head, "
                "such as google-bert/bert-base-uncased, where `augment` is "
                "tinybert",
            )
        _check_layer_weight(self)
        if not 0 <= self.layer_steps < math.inf:
            _refuse("layer_steps", self.layer_steps, "0 or more and finite")
        if self.layer_losses is None and self.layer_steps:
            _refuse(
                "layer_steps", self.layer_steps, "0 where `layer_losses` is not"
                " given"
            )  # fmt: skip
        if self.layer_losses is not None and self.tokens != "teacher":
            _refuse(
                "tokens",
                self.tokens,
                "teacher where `layer_losses` is given: layers are compared "
                "token by token",
            )
        for name in ("steps", "evaluate_every", "layer_steps"):
            if getattr(self, name) % self.steps_per_execution:
                many = f"a multiple of {self.steps_per_execution} steps a call"
                _refuse(name, getattr(self, name), many)
        if self.task in WITHOUT_LABELS and self.labels is not None:
            without = f"left out: {self.task} has no names"
            _refuse("labels", self.labels, without)
        _check_tokens(self)
        for name in ("seeds", "arms"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                _refuse(name, values, "one or more, all different")
        if min(self.seeds) < 0:
            _refuse("seeds", self.seeds, "0 or more")
        _check_teachers(self)
        _check_teacher_layers(self)
        _check_framework(self)

    @property
    def teachers(self):
        """The teachers as a list: one, several, or none."""
        if isinstance(self.teacher, list):
            return self.teacher
        return [] if self.teacher is None else [self.teacher]

    @classmethod
    def from_dict(cls, values):
        """Makes a configuration; a key that it doesn't know is an error."""
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            import difflib

            close = difflib.get_close_matches(unknown[0], known, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ConfigurationError(
                f"Unknown settings: {unknown}.{hint} Known: {known}."
            )
        return cls(**values)

    def to_dict(self):
        """All settings, the defaults included."""
        return dataclasses.asdict(self)


def setting_type(setting):
    """`(type of one value, whether it is a list)` of a dataclass field."""
    kind = setting.type
    if typing.get_origin(kind) is typing.Union:
        # The first is what a flag makes of a string.
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is list:
        return typing.get_args(kind)[0], True
    return kind, False


def list_type(setting):
    """Type of a value of the list that a field may hold instead of one value.

    `None` where it may not.
    """
    for kind in typing.get_args(setting.type):
        if typing.get_origin(kind) is list and not setting_type(setting)[1]:
            return typing.get_args(kind)[0]
    return None


def _check_type(configuration, setting):
    """Refuses a value of another type, as a JSON file may have it."""
    value = getattr(configuration, setting.name)
    if value is None and setting.default is None:
        return
    kind, several = setting_type(setting)
    if list_type(setting) is not None and isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], kind):
            (value,) = value
            setattr(configuration, setting.name, value)
        else:
            kind, several = list_type(setting), True
    allowed = {int: numbers.Integral, float: numbers.Real}.get(kind, kind)
    if int in typing.get_args(setting.type):  # A column by name or by number.
        allowed = (kind, numbers.Integral)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
        setattr(configuration, setting.name, value)
    values = value if several and isinstance(value, list) else [value]
    if several is not isinstance(value, list) or not all(
        isinstance(one, allowed) and (kind is bool or not isinstance(one, bool))
        for one in values
    ):
        name = f"a list of {kind.__name__}" if several else kind.__name__
        _refuse(setting.name, value, name)


def _check_teachers(configuration):
    """Refuses what can't be meant of several teachers."""
    teachers = configuration.teachers
    weights = configuration.teacher_weights
    if configuration.teacher == [] or len(set(teachers)) < len(teachers):
        _refuse("teacher", teachers, "one or more, all different")
    if len(teachers) > 1 and configuration.fine_tune_teacher:
        _refuse(
            "fine_tune_teacher", True,
            "left out where there are several teachers: fine-tune each in a "
            "run of its own, and give the folders RUN/teacher",
        )  # fmt: skip
    if weights is None or weights == "validation" and len(teachers) > 1:
        return
    if len(teachers) < 2:
        _refuse("teacher_weights", weights, "left out without several teachers")
    if (
        isinstance(weights, str)
        or len(weights) != len(teachers)
        or min(weights) < 0
        or not 0 < sum(weights) < math.inf
    ):
        which = f"'validation', or {len(teachers)} numbers, none below 0"
        _refuse("teacher_weights", weights, which)


def _check_tokens(configuration):
    """Refuses what tasks of tokens have not, and what only they have."""
    per_token = configuration.task in TASKS_OF_TOKENS
    stride, length = configuration.stride, configuration.max_length
    if stride is not None and not (per_token and 0 <= stride < length):
        which = f"0 or more, below {length}, and given for tasks of tokens"
        _refuse("stride", stride, which)
    if configuration.chain and configuration.task != "token_tagging":
        _refuse("chain", True, "left out but for token_tagging")
    if configuration.chain and configuration.loss != "soft_targets":
        _refuse("loss", configuration.loss, "soft_targets where `chain` is on")
    if not per_token:
        return
    for name, allowed in (
        ("student", [one for one in STUDENTS if one != "bag"]),
        ("augment", ["none"]),
        ("tokens", ["teacher"])
        if configuration.task == "question_answering"
        else ("tokens", [t for t in TOKENS if t not in ("jieba", "mediapipe")]),
    ):
        if getattr(configuration, name) not in allowed:
            which = f"one of {allowed} for {configuration.task}"
            _refuse(name, getattr(configuration, name), which)


def _check_framework(configuration):
    """Refuses what a teacher that PyTorch runs can't be asked for."""
    if configuration.teacher_framework == "keras":
        return
    where = "where `teacher_framework` is torch: its answers alone are read"
    for name, needed in (
        ("fine_tune_teacher", (None, False)),
        ("teacher_layers", (None,)),
        ("layer_losses", (None,)),
        ("teacher_runtime", ("keras",)),
    ):
        value = getattr(configuration, name)
        if value not in needed:
            _refuse(name, value, f"left out {where}")
    if configuration.embeddings == "teacher":
        _refuse("embeddings", "teacher", f"another one {where}")
    if len(configuration.teachers) > 1:
        _refuse("teacher", configuration.teachers, f"a single one {where}")


def _check_layer_weight(configuration):
    """Refuses weights that are none, or more or fewer than the losses."""
    weight = configuration.layer_weight
    weights = weight if isinstance(weight, list) else [weight]
    if not all(0 <= one < math.inf for one in weights):
        _refuse("layer_weight", weight, "0 or more and finite")
    losses = configuration.layer_losses or []
    if isinstance(weight, list) and len(weight) != len(losses):
        many = f"one number, or {len(losses)}: one for each of {losses}"
        _refuse("layer_weight", weight, many)


def _check_teacher_layers(configuration):
    """Refuses what a student of its teacher's layers can't be."""
    layers = configuration.teacher_layers
    if layers is None:
        if configuration.width is None:
            configuration.width = 64
        return
    if not layers or layers != sorted(set(layers)) or layers[0] < 0:
        _refuse("teacher_layers", layers, "from 0, each above the one before")
    for name, needed in (
        ("student", ["bert"]),
        ("tokens", ["teacher"]),
        ("embeddings", ["random"]),  # The default: they are the teacher's.
        ("layers", [1, len(layers)]),
    ):
        value = getattr(configuration, name)
        if value not in needed:
            where = "where `teacher_layers` are given"
            _refuse(name, value, f"{needed[-1]} or left out {where}")
    configuration.layers = len(layers)


def _refuse(name, received, allowed):
    raise ConfigurationError(
        f"`{name}` must be {allowed}. Received: {received!r}."
    )
