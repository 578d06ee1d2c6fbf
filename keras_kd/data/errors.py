"""The exception of everything that reads data."""

# Said where labels are missing, to a person at a shell or in Python.
WITHOUT_LABELS = (
    "A file without labels is for --unlabelled of a training (in Python: None "
    "as the label)."
)
# Columns that have other names in other files; questions have the same always.
NAMED = ("text", "text_pair", "label", "id_column")
LABELS = ("label", "answers")


class DataError(ValueError):
    """Data that cannot be read as asked: says where, why and what to do."""


def missing_column_remedy(role):
    """What to do about a column that is missing, with a space before.

    Args:
        role: What it is for, such as `"text"`.
    """
    remedy = f" Name another one with `{role}`." if role in NAMED else ""
    return remedy + (f" {WITHOUT_LABELS}" if role in LABELS else "")
