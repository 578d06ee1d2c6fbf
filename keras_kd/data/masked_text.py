"""Texts with masked words as columns of rows, and back.

Such a text is the tuple of what stands before, between and after its masks: a
literal "[MASK]" is text to a `Tokenizer`, and to a student with a vocabulary
of its own. A row has the text without masks, and the places where they are.
"""

import itertools


def text_columns(name, field):
    """The columns of one text of a row.

    Args:
        name: `"text"` or `"text_pair"`.
        field: A string, or the tuple of a text with masks.

    Example:

    >>> text_columns("text", ("a ", " film"))
    {'text': 'a  film', 'text_masks': [2]}
    """
    if isinstance(field, str):
        return {name: field}
    places = list(itertools.accumulate(map(len, field[:-1])))
    return {name: "".join(field), f"{name}_masks": places}


def read_text(rows, name, position):
    """The text of a row, as `text_columns` was given it.

    Args:
        rows: `keras_kd.data.rows.Rows`.
        name: `"text"` or `"text_pair"`.
        position: Number of the row.
    """
    text = rows.text(name, position)
    if f"{name}_masks" not in rows.columns:
        return text
    places = [0, *rows.row(f"{name}_masks", position), len(text)]
    return tuple(text[i:j] for i, j in itertools.pairwise(places))
