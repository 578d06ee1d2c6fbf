"""The exception of everything that reads data."""


class DataError(ValueError):
    """Data that cannot be read as asked: says where, why and what to do."""
