"""Everything that decides a run, in one flat, validated place."""

import dataclasses
import typing
from dataclasses import dataclass
from dataclasses import field
from typing import Optional

from keras_kd.configuration import choices
from keras_kd.configuration.checks import check
from keras_kd.configuration.errors import ConfigurationError
from keras_kd.configuration.setting_types import check_type


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
        choices.TASKS,
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
        choices.ANSWER_SCORINGS,
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
        choices.AUGMENTATIONS,
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
        None, "teacher: a Hugging Face folder or hub name, a saved teacher, or "
        "a run, whose student teaches; of several, the logits are averaged"
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
        "checkpoint that was fine-tuned, to label rows", choices.FRAMEWORKS
    )  # fmt: skip
    teacher_runtime: str = _setting(
        "keras", "what labels the rows", choices.TEACHER_RUNTIMES
    )
    allow_pickle: bool = _setting(
        False, "read a pytorch_model.bin, which may run code when it is read"
    )

    # === Student ===
    student: str = _setting("bigru", "kind of the student", choices.STUDENTS)
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
    convolution: Optional[int] = _setting(
        None, "tokens that a convolution before the first layer sees at once, "
        "such as 3 (attention, transformer); default: no convolution"
    )  # fmt: skip
    embedding_dim: int = _setting(
        128, "width of the word table of bigru, bilstm and bag"
    )
    dropout: float = _setting(0.2, "dropout of the student")
    prune: Optional[float] = _setting(
        None, "share of each table and kernel that is zero in the end, the "
        "smallest weights first"
    )  # fmt: skip
    quantization_aware: Optional[str] = _setting(
        None, "quantisation of a file, one of --export: students learn with "
        "their weights rounded as it has them", choices.WEIGHT_QUANTIZATIONS
    )  # fmt: skip
    chain: bool = _setting(
        False, "of token_tagging: let a tag's score depend on the tag before "
        "it, as a conditional random field"
    )  # fmt: skip
    tokens: str = _setting(
        "teacher",
        "the student's tokens: the teacher's; the teacher's vocabulary as "
        "MediaPipe's clients read it; or a vocabulary of its own, built from "
        "the training text",
        choices.TOKENS,
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
        "soft_targets", "the loss on the teacher's logits", choices.LOSSES
    )
    temperature: float = _setting(2.0, "temperature of the soft targets")
    temperature_by: Optional[str] = _setting(
        None, "give each row a temperature of its own around that: lower where "
        "the models differ (flsw), or where the student is unsure (cwsm)",
        choices.EXAMPLE_TEMPERATURES,
    )  # fmt: skip
    probability_shift: bool = _setting(
        False, "on labelled rows, exchange the teacher's logit of the label "
        "and its largest one"
    )  # fmt: skip
    scale_by_temperature_squared: bool = _setting(
        True, "multiply the soft targets by the square of the temperature"
    )
    alpha: float = _setting(
        0.9, "weight of the teacher's loss; 1 - alpha is that of the labels"
    )
    layer_losses: Optional[list[str]] = _setting(
        None, "losses between layers of student and teacher, which then runs "
        "live", choices.LAYER_LOSSES
    )  # fmt: skip
    layer_map: str = _setting(
        "uniform", "which layer learns from which: uniform, last, first, skip, "
        "last_only, or pairs such as 1:2,2:4,3:6 (student:teacher)"
    )  # fmt: skip
    relation_heads: Optional[int] = _setting(
        None, "heads that self_attention_relations and value_relations split "
        "both models into, a divisor of both widths; default: the largest, up "
        "to the teacher's heads"
    )  # fmt: skip
    layer_weight: typing.Union[float, list[float]] = _setting(
        1.0, "weight of each loss between layers: a number for all, or one "
        "for each of them"
    )  # fmt: skip
    layer_steps: int = _setting(
        0, "steps on the losses between layers alone, before those of "
        "`steps`; arms without such losses make as many more; 0: all losses "
        "at once"
    )  # fmt: skip
    start_from: Optional[str] = _setting(
        None, "a student.keras, or a Hugging Face folder, that every student "
        "begins as, where the layers have the same names and shapes"
    )  # fmt: skip
    steps: int = _setting(1000, "optimizer steps of every student")
    batch_size: int = _setting(32, "rows a batch")
    learning_rate: float = _setting(1e-3, "peak learning rate")
    evaluate_every: int = _setting(100, "steps between two validations")
    seeds: list[int] = _setting([0], "one training of each arm for each seed")
    arms: list[str] = _setting(
        ["teacher", "alone", "distilled"],
        "what to train and to score",
        choices.ARMS,
    )

    # === Machine ===
    precision: str = _setting(
        "float32", "precision of the students' training", choices.PRECISIONS
    )
    strategy: str = _setting(
        "none",
        "replicas: none, or mirrored over all local devices",
        choices.STRATEGIES,
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
        "scale a row: int8-embedding, int4-embedding, int2-embedding (the "
        "smallest; wants --quantization-aware)",
        choices.QUANTIZATIONS,
    )  # fmt: skip
    licence: Optional[str] = _setting(
        None, "licence of the student, which its .tflite files name"
    )

    def __post_init__(self):
        for setting in dataclasses.fields(self):
            check_type(self, setting)
        check(self)

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
