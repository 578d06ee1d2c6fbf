"""Rows of Parquet files."""

from keras_kd.data.errors import DataError
from keras_kd.data.errors import missing_column_remedy

ROWS_AT_ONCE = 1024


def read_parquet(path, columns):
    """Yields `(row number, values)`, the values in the order of `columns`.

    Args:
        path: A `pathlib.Path`.
        columns: Dictionary from what each is for to its name. Only these are
            read from the file.

    Raises:
        DataError: The file is damaged, or a column is not there.
        ImportError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs pyarrow: pip install pyarrow."
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for role, column in columns.items():
                if column not in names:
                    raise DataError(
                        f"{path} has no column '{column}'. Its columns: "
                        f"{names}.{missing_column_remedy(role)}"
                    )
            columns = columns.values()
            batches = file.iter_batches(
                ROWS_AT_ONCE, columns=list(dict.fromkeys(columns))
            )
            for batch in batches:
                lists = [batch.column(name).to_pylist() for name in columns]
                for values in zip(*lists):
                    number += 1
                    yield number, values
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet after row {number}: {error}. "
            "Expected a whole Parquet file. Copy it again."
        ) from error
