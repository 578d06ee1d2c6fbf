"""The exception of everything that reads data."""

# Said where a column is missing, to a person at a shell or in Python.
WITHOUT_LABELS = (
    "A file without labels is for --unlabelled (in Python: None as the label)."
)


class DataError(ValueError):
    """Data that cannot be read as asked: says where, why and what to do."""
