"""Rows of JSON files: one object a line, or one array of objects."""

import contextlib
import json

from keras_kd.data.errors import DataError
from keras_kd.data.errors import missing_column_remedy
from keras_kd.data.text_files import raw_lines


def read_json_rows(path, columns, encoding, may_be_array):
    """Yields `(number, values)`, the values in the order of `columns`.

    Args:
        path: A `pathlib.Path`.
        columns: Dictionary from what each is for to its key.
        encoding: The encoding of the file.
        may_be_array: Whether the file may be one array of objects instead of
            one object a line. Only such a file is parsed as a whole.

    Raises:
        DataError: A line does not parse or is no object, or a key is missing.
    """
    with contextlib.closing(_objects(path, encoding, may_be_array)) as rows:
        for number, row in rows:
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}, row {number}: {str(row)[:60]!r} "
                    f"({type(row).__name__}). Expected a JSON object with "
                    f"the keys {list(columns.values())}."
                )
            for role, column in columns.items():
                if column not in row:
                    raise DataError(
                        f"{path}, row {number}: no column '{column}'. Its "
                        f"keys: {list(row)}. Write null where there is no "
                        f"value.{missing_column_remedy(role)}"
                    )
            yield number, [row[column] for column in columns.values()]


def _objects(path, encoding, may_be_array):
    with contextlib.closing(raw_lines(path, encoding)) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if may_be_array and line.lstrip().startswith("["):
                text = line + "".join(lines)
                yield from enumerate(_parse(path, text, number), 1)
                return
            may_be_array = False
            yield number, _parse(path, line, number)


def _parse(path, text, number):
    try:
        # An error at the end of a line is not one of the next line.
        return json.loads(text.rstrip())
    except ValueError as error:
        line = number + getattr(error, "lineno", 1) - 1
        column = getattr(error, "colno", 1)
        raise DataError(
            f"{path}, line {line}, character {column}: no JSON: "
            f"{getattr(error, 'msg', error)}. Expected one object a line, or "
            "(in .json) one array of objects."
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}, line {number}: nested too deeply. Expected an object "
            "with one text a key."
        ) from None
