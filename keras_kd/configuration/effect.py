"""Which settings do nothing beside the others.

Studies and searches hold one setting over students of several kinds, so that
these are said and not refused.
"""

import dataclasses

from keras_kd.configuration import choices

STUDENTS_WITH_FEED_FORWARD = ("transformer", "bert")
STUDENTS_WITH_WORD_TABLE = ("bigru", "bilstm", "bag")


def settings_without_effect(configuration):
    """Says of each setting that is given, and does nothing, what it is for.

    Args:
        configuration: `Configuration`.

    Returns:
        List of sentences.

    Example:

    >>> from keras_kd.configuration import Configuration
    >>> settings_without_effect(Configuration(student="bag", heads=2))
    ['--heads has no effect: it is for attention, transformer, bert.']
    """
    student = configuration.student
    own_tokens = configuration.tokens in choices.OWN_VOCABULARIES
    softened = (
        configuration.loss != "logits_mse"
        and configuration.task != "regression"
    )
    between_layers = configuration.layer_losses is not None
    augmented = configuration.augment != "none"
    own_vocabulary = f"--tokens {', '.join(choices.OWN_VOCABULARIES)}"
    soft_targets = "losses on probabilities"
    purposes = {
        "heads": _of(student, choices.STUDENTS_WITH_HEADS),
        "intermediate": _of(student, STUDENTS_WITH_FEED_FORWARD),
        "embedding_dim": _of(student, STUDENTS_WITH_WORD_TABLE),
        "vocabulary_size": (own_tokens, own_vocabulary),
        "lowercase": (own_tokens, own_vocabulary),
        "temperature": (softened, soft_targets),
        "scale_by_temperature_squared": (softened, soft_targets),
        "layer_map": (between_layers, "--layer-losses"),
        "relation_heads": (between_layers, "--layer-losses"),
        "layer_weight": (between_layers, "--layer-losses"),
        "augment_copies": (augmented, "--augment"),
    }
    defaults = {
        setting.name: setting.default
        for setting in dataclasses.fields(configuration)
    }
    return [
        f"--{name.replace('_', '-')} has no effect: it is for {purpose}."
        for name, (has_effect, purpose) in purposes.items()
        if not has_effect and getattr(configuration, name) != defaults[name]
    ]


def _of(student, students):
    return student in students, ", ".join(students)
