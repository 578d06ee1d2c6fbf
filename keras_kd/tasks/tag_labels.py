"""The labels of tagging: the tags that a model tells apart, in IOB2."""

import collections

from keras_kd.data.errors import DataError
from keras_kd.tag_schemes import OUTSIDE
from keras_kd.tag_schemes import find_scheme
from keras_kd.tag_schemes import split_tag


def labels_of_tags(sentences):
    """The scheme and the labels of tagged sentences.

    Args:
        sentences: Iterable of lists of tags.

    Returns:
        `(labels, scheme)`.

    Raises:
        DataError: There is no tag, or one of no scheme.
    """
    sentences = [tags for tags in sentences if tags is not None]
    try:
        kinds = {split_tag(tag)[1] for tags in sentences for tag in tags}
        scheme = find_scheme(sentences)
    except ValueError as error:
        raise DataError(f"The training rows: {error}.") from None
    if not kinds:
        raise DataError(
            "No row has tags. Expected some. Check the column of the tags."
        )
    names = sorted(kinds - {None})
    labels = [f"{letter}-{name}" for name in names for letter in "BI"]
    return [OUTSIDE, *labels], scheme


def check_tags(labels):
    """The tags as strings.

    Raises:
        DataError: One of no scheme, one twice, no `O`, or an I- without B-.
    """
    labels = [str(label) for label in labels]
    counts = collections.Counter(labels)
    wrong = [label for label, count in counts.items() if count > 1]
    for label in labels:
        try:
            letter, kind = split_tag(label)
        except ValueError:
            wrong.append(label)
            continue
        if letter not in (OUTSIDE, "B", "I") or (
            letter == "I" and f"B-{kind}" not in counts
        ):
            wrong.append(label)
    if wrong or OUTSIDE not in counts:
        raise DataError(
            "The labels of tagging are 'O', and 'B-' and 'I-' of each type, "
            f"each once. Received: {labels}"
            + (f"; not so: {wrong[:3]}." if wrong else "; 'O' is missing.")
        )
    return labels
