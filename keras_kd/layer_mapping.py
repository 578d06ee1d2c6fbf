"""Which layer of a teacher each layer of a student learns from.

Layers are counted as in `keras_kd.models.layer_outputs`: 0 is the embeddings,
1 the first layer. A map is a list of pairs `(student layer, teacher layer)`,
which is what the losses on layers take.
"""


def uniform(student_layers, teacher_layers):
    """Spreads the student's layers evenly over the teacher's.

    $$g(m) = \\mathrm{round}(m N / M)$$

    The last learns from the last. With $N$ a multiple of $M$ it is the map of
    TinyBERT, and the one of PKD-skip.

    Args:
        student_layers: Number of layers of the student, $M$.
        teacher_layers: Number of layers of the teacher, $N$.

    Returns:
        List of pairs `(student layer, teacher layer)`.

    Raises:
        ValueError: There are no layers, or more in the student than in the
            teacher.

    Example:

    >>> uniform(4, 12)
    [(1, 3), (2, 6), (3, 9), (4, 12)]
    >>> uniform(4, 6)
    [(1, 2), (2, 3), (3, 5), (4, 6)]

    Source: Jiao et al. 2020, "TinyBERT", section 3.1; Sun et al. 2019,
    "Patient Knowledge Distillation for BERT Model Compression".
    """
    _check(student_layers, teacher_layers)
    # Halves are rounded up, as people do, and not to even numbers.
    return [
        (
            layer,
            (2 * layer * teacher_layers + student_layers)
            // (2 * student_layers),
        )
        for layer in range(1, student_layers + 1)
    ]


def last(student_layers, teacher_layers):
    """The student's layers learn from the teacher's last ones.

    >>> last(3, 6)
    [(1, 4), (2, 5), (3, 6)]
    """
    _check(student_layers, teacher_layers)
    skipped = teacher_layers - student_layers
    return [(layer, layer + skipped) for layer in range(1, student_layers + 1)]


def first(student_layers, teacher_layers):
    """The student's layers learn from the teacher's first ones.

    >>> first(3, 6)
    [(1, 1), (2, 2), (3, 3)]
    """
    _check(student_layers, teacher_layers)
    return [(layer, layer) for layer in range(1, student_layers + 1)]


def skip(student_layers, teacher_layers):
    """The student's layers learn from every n-th, counted from the first.

    >>> skip(3, 6)
    [(1, 1), (2, 3), (3, 5)]
    """
    _check(student_layers, teacher_layers)
    step = teacher_layers // student_layers
    return [
        (layer, 1 + (layer - 1) * step)
        for layer in range(1, student_layers + 1)
    ]


def last_only(student_layers, teacher_layers):
    """The last layer alone, as MiniLM has it.

    >>> last_only(3, 6)
    [(3, 6)]
    """
    _check(student_layers, teacher_layers)
    return [(student_layers, teacher_layers)]


def check_pairs(pairs):
    """Refuses what is not a list of pairs of layers; gives it as a list.

    Raises:
        ValueError: There are no pairs, or one is not two whole numbers of 0
            or more.
    """
    right = isinstance(pairs, (list, tuple)) and len(pairs) > 0
    right = right and all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(isinstance(n, int) and n >= 0 for n in pair)
        for pair in pairs
    )
    if not right:
        raise ValueError(
            "`layers` must be a list of pairs (student layer, teacher layer), "
            f"0 being the embeddings. Received: {pairs!r}. See "
            "keras_kd.layer_mapping, such as `uniform(4, 12)`."
        )
    return [tuple(pair) for pair in pairs]


def _check(student_layers, teacher_layers):
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(
            "A map needs a student of one layer or more, and not more than the "
            f"teacher has. Received: {student_layers} of the student, "
            f"{teacher_layers} of the teacher. Give explicit pairs."
        )
