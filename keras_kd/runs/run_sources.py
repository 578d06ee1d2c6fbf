"""What a run's sources hold, and what its task is."""

from keras_kd.data.question_files import Questions
from keras_kd.data.sources import read_examples
from keras_kd.data.sources import resolve_labels
from keras_kd.data.tagged_files import read_tagged_sentences
from keras_kd.tasks.multi_label_classification import split_labels
from keras_kd.tasks.named_tasks import build_task
from keras_kd.tasks.tag_labels import labels_of_tags


def read_part(configuration, part):
    """The examples of one source of a run: `train`, `test` and so on."""
    source = getattr(configuration, part)
    split = None
    if str(source).startswith("tfds:"):
        split = getattr(configuration, f"{part}_split")
    encoding, labelled = configuration.encoding, part != "unlabelled"
    if configuration.task == "token_tagging":
        words, tags = (
            None if name == default else name
            for name, default in (
                (configuration.text, "text"),
                (configuration.label, "label"),
            )
        )
        return read_tagged_sentences(
            source, words, tags, split, encoding, labelled
        )
    if configuration.task == "question_answering":
        return Questions(source, split, encoding, labelled)
    return read_examples(
        source,
        text=configuration.text,
        text_pair=configuration.text_pair,
        label=configuration.label if labelled else None,
        delimiter=configuration.delimiter,
        split=split,
        encoding=encoding,
    )


def find_task(configuration, teacher_labels):
    """The run's task, with the class names in the order of the logits.

    The teacher's own order holds when it knows the names in the data.
    """
    settings, labels = {}, None
    if configuration.task == "multi_label":
        settings["separator"] = configuration.label_separator
    if configuration.task == "token_tagging":
        settings["chain"] = configuration.chain
        settings["stride"] = configuration.stride
        examples = read_part(configuration, "train")
        found, settings["scheme"] = labels_of_tags(
            example.label for example in examples
        )
        labels = configuration.labels or _in_order(found, teacher_labels)
    elif configuration.task == "question_answering":
        settings |= {
            "scoring": configuration.answer_scoring,
            "stride": configuration.stride,
            "longest_answer": configuration.longest_answer,
            "threshold": configuration.no_answer_threshold,
            "no_answer": any(
                example.label == ()
                for part in ("train", "validation", "test")
                if getattr(configuration, part) is not None
                for example in read_part(configuration, part)
            ),
        }
    elif configuration.task != "regression":
        labels = _find_labels(configuration, teacher_labels)
    return build_task(
        configuration.task, labels, configuration.metric, **settings
    )


def _find_labels(configuration, teacher_labels):
    if configuration.labels:
        return configuration.labels
    given = (
        example.label
        for example in read_part(configuration, "train")
        if example.label is not None
    )
    if configuration.task == "multi_label":
        separator = configuration.label_separator
        given = (
            name for label in given for name in split_labels(label, separator)
        )
    return _in_order(resolve_labels(given), teacher_labels)


def _in_order(found, teacher_labels):
    """Names in the teacher's order, if it knows them all."""
    if teacher_labels and set(found) <= set(teacher_labels):
        return teacher_labels
    return found
