"""Entities as answers: in words, in the text, and on a line."""

import re

from keras_kd.data.words import word_places


def place_entities(answer, text):
    """The entities as the text has them, with `start` and `end`.

    A list of words has no such places, and its entities stay as they are.
    """
    if not isinstance(text, str):
        return answer
    places = word_places(text)
    if not places:
        return []
    for one in answer:
        first, end = one["words"]
        one["start"], one["end"] = places[first][0], places[end - 1][1]
        one["text"] = text[one["start"] : one["end"]]
    return answer


def show_entities(answer):
    """Entities as a line: `Angela Merkel [PER], Berlin [LOC]`."""
    named = [
        f"{' '.join(one['text'].split())} [{one['type']}]" for one in answer
    ]
    return ", ".join(named) or "-"


def join_words(words):
    """Words as a text: with spaces, but not between Chinese characters."""
    text = " ".join(words)
    return re.sub(r"(?<=[一-鿿]) (?=[一-鿿])", "", text)
