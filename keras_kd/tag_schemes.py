"""How tags of words mark entities: IOB1, IOB2 and BIOES, and what they mean."""

import collections

OUTSIDE = "O"
SCHEMES = ("iob1", "iob2", "bioes")
# BILOU is BIOES under other letters.
_LETTERS = {"B": "B", "I": "I", "E": "E", "L": "E", "S": "S", "U": "S"}


def split_tag(tag):
    """`"B-PER"` as `("B", "PER")`, and `"O"` as `("O", None)`.

    Raises:
        ValueError: The tag is of none of the schemes.
    """
    letter, dash, kind = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, None
    if letter not in _LETTERS or not dash or not kind:
        raise ValueError(
            f"the tag {tag!r} is none: expected 'O', or one of "
            f"{'-, '.join(_LETTERS)}- before the type, such as 'B-PER'"
        )
    return _LETTERS[letter], kind


def find_scheme(sentences):
    """Tells in which scheme sentences are tagged.

    In BIOES some tag ends an entity or stands alone. In IOB2 every entity
    begins with B-; in IOB1 one begins with I-, unless it follows another one
    of its type. Files have mistakes: what most entities do decides.

    Args:
        sentences: Iterable of lists of tags.

    Returns:
        One of `SCHEMES`.

    Example:

    >>> find_scheme([["I-PER", "I-PER", "O", "I-LOC"]])
    'iob1'
    """
    begun = collections.Counter()
    for tags in sentences:
        before = (OUTSIDE, None)
        for letter, kind in map(split_tag, tags):
            if letter in "ES":
                return "bioes"
            if letter == "I" and kind != before[1]:
                begun["I"] += 1
            elif letter == "B" and kind != before[1]:
                begun["B"] += 1
            before = letter, kind
    return "iob1" if begun["I"] > begun["B"] else "iob2"


def to_iob2(tags, scheme):
    """Tags of another scheme as IOB2, and how many had to be repaired.

    An `I-` (or `E-`) that continues nothing begins an entity: that is a repair
    in IOB2 and BIOES, and how IOB1 is meant. An entity of BIOES that nothing
    ends is one, and a repair, too.

    Args:
        tags: List of tags of one sentence.
        scheme: One of `SCHEMES`.

    Returns:
        `(tags, repairs)`.

    Raises:
        ValueError: A tag of no scheme.

    Example:

    >>> to_iob2(["S-PER", "O", "B-LOC", "E-LOC"], "bioes")
    (['B-PER', 'O', 'B-LOC', 'I-LOC'], 0)
    >>> to_iob2(["O", "I-PER"], "iob2")
    (['O', 'B-PER'], 1)
    """
    result, repairs = [], 0
    open_kind = None  # Of the entity that the next tag may continue.
    for tag in [*tags, OUTSIDE]:
        letter, kind = split_tag(tag)
        continues = letter in "IE" and kind == open_kind
        if scheme == "bioes" and open_kind is not None and not continues:
            repairs += 1
        if letter in "IE" and not continues and scheme != "iob1":
            repairs += 1
        result.append(tag if kind is None else f"{'BI'[continues]}-{kind}")
        open_kind = None if letter in "ES" else kind
    return result[:-1], repairs


def entities(tags):
    """The entities of IOB2 tags: `(type, first word, one after the last)`.

    As conlleval and seqeval read tags that are not quite IOB2: an `I-` after
    another type, or after `O`, begins an entity.

    Args:
        tags: List of tags of one sentence.

    Example:

    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4)]
    """
    found, start, open_kind = [], 0, None
    for position, tag in enumerate([*tags, OUTSIDE]):
        letter, kind = split_tag(tag)
        if letter == "I" and kind == open_kind:
            continue
        if open_kind is not None:
            found.append((open_kind, start, position))
        start, open_kind = position, kind
    return found


def allowed_transitions(tags):
    """Which tag may follow which, in IOB2: `[1 + tags][tags]` of booleans.

    Args:
        tags: List of all tags.

    Returns:
        A list of lists. The first says what a sentence may begin with, the
        one after it what may follow `tags[0]`, and so on.
    """

    def may_follow(before, tag):
        letter, kind = split_tag(tag)
        return letter != "I" or split_tag(before)[1] == kind

    return [[may_follow(before, tag) for tag in tags] for before in
            [OUTSIDE, *tags]]  # fmt: skip
