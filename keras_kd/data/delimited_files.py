"""Rows of .csv and .tsv files, read strictly."""

import contextlib
import csv
import difflib

from keras_kd.data.errors import WITHOUT_LABELS
from keras_kd.data.errors import DataError
from keras_kd.data.errors import missing_column_remedy
from keras_kd.data.text_files import raw_lines
from keras_kd.data.text_files import read_lines

OTHER_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
LONGEST_FIELD = 2**26


def read_delimited(path, columns, delimiter, quotes, encoding):
    """Yields `(line number, values)`, the values in the order of `columns`.

    Args:
        path: A `pathlib.Path`.
        columns: Dictionary from what each is for to its name, or to its index
            counted from 0 if there is no header.
        delimiter: The character between columns.
        quotes: Whether fields may be quoted as in RFC 4180. Otherwise a quote
            is a character like any other.
        encoding: The encoding of the file.

    Raises:
        DataError: A column is not there, a row has more or fewer columns than
            the first one, or quotes do not match.
    """
    by_index = [isinstance(column, int) for column in columns.values()]
    if any(by_index) and not all(by_index):
        label_by_name = isinstance(columns.get("label"), str)
        raise DataError(
            f"{path}: columns were given by name and by index: "
            f"{list(columns.values())}. Give names if the file has a header, "
            "and indices if not."
            + (f" {WITHOUT_LABELS}" if label_by_name else "")
        )
    records = _quoted_records if quotes else _plain_records
    with contextlib.closing(records(path, delimiter, encoding)) as rows:
        first = next(rows, None)
        if first is None:
            raise DataError(f"{path} is empty. Expected rows of text.")
        first_number, header = first
        if all(by_index):
            indices = _check_indices(path, columns, header, delimiter)
            yield first_number, [header[index] for index in indices]
        else:
            indices = _find_names(path, columns, header, delimiter)
        width = len(header)
        for number, row in rows:
            if len(row) != width:
                if row in ([], [""]):
                    continue  # A blank line.
                raise DataError(
                    f"{path}, line {number}: {len(row)} columns. Expected "
                    f"{width}, as in line {first_number}. Received: "
                    f"{_shorten(row)}. Quote fields that hold the delimiter "
                    f"{delimiter!r} (.csv), or take it out of the text (.tsv)."
                )
            yield number, [row[index] for index in indices]


def _plain_records(path, delimiter, encoding):
    for number, line in read_lines(path, encoding):
        yield number, line.split(delimiter)


def _quoted_records(path, delimiter, encoding):
    # The limit is one of the csv module as a whole: it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = raw_lines(path, encoding)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 1
    with contextlib.closing(lines):
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                with contextlib.closing(read_lines(path, encoding)) as again:
                    _, first = next(again)
                hint = _delimiter_hint(first.split(delimiter), delimiter) or (
                    " A quote inside a quoted field is written twice; a file "
                    "without quoting is named .tsv."
                )
                raise DataError(
                    f"{path}: the row that begins in line {number} cannot be "
                    f"read (at line {reader.line_num}): {error}.{hint}"
                ) from None
            # A blank line is [] to the csv module, and one empty column here.
            yield number, row or [""]
            number = reader.line_num + 1


def _check_indices(path, columns, row, delimiter):
    for column in columns.values():
        if not 0 <= column < len(row):
            raise DataError(
                f"{path} has no column {column}: its first line has "
                f"{len(row)}, counted from 0: {_shorten(row)}."
                f"{_delimiter_hint(row, delimiter)}"
            )
    return columns.values()


def _find_names(path, columns, header, delimiter):
    for role, column in columns.items():
        count = header.count(column)
        if count == 1:
            continue
        if count:
            raise DataError(
                f"{path}: {count} columns are called '{column}': {header}. "
                "Expected one. Rename the others."
            )
        alike = {name.strip().lower(): name for name in reversed(header)}
        close = difflib.get_close_matches(column.strip().lower(), alike, 1, 0.8)
        hint = _delimiter_hint(header, delimiter) or (
            f" Did you mean '{alike[close[0]]}'?"
            if close
            else f"{missing_column_remedy(role)} A file without a header is "
            "read with columns by index (text=0)."
        )
        raise DataError(
            f"{path} has no column '{column}'. Its columns, delimited by "
            f"{delimiter!r}: {_shorten(header)}.{hint}"
        )
    return [header.index(column) for column in columns.values()]


def _delimiter_hint(row, delimiter):
    """Says which delimiter would split a line that this one does not."""
    if len(row) > 1:
        return ""
    for other, name in OTHER_DELIMITERS.items():
        if other != delimiter and other in row[0]:
            return (
                f" The delimiter seems wrong: {name} ({other!r}) splits the "
                f"line into {row[0].count(other) + 1} columns. Give "
                f"delimiter={other!r}."
            )
    return ""


def _shorten(row):
    shown = [cell if len(cell) <= 40 else f"{cell[:40]}..." for cell in row]
    return str(shown[:12] + (["..."] if len(shown) > 12 else []))
