"""Rows from files and TensorFlow Datasets, one at a time."""

import itertools
import math
import re
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from keras_kd.configuration.choices import DELIMITERS
from keras_kd.data.delimited_files import read_delimited
from keras_kd.data.errors import WITHOUT_LABELS
from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.json_files import read_json_rows
from keras_kd.data.parquet_files import read_parquet
from keras_kd.data.prepared_datasets import PREFIX
from keras_kd.data.prepared_datasets import read_prepared
from keras_kd.data.text_files import read_lines

SUFFIXES = (*DELIMITERS, ".jsonl", ".json", ".parquet", ".txt")


def read_examples(
    source: str | Path,
    text: str | int = "text",
    text_pair: str | int | None = None,
    label: str | int | None = "label",
    id_column: str | int | None = None,
    delimiter: str | None = None,
    split: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[Example]:
    """Reads examples from a file, or from a data set that TFDS prepared.

    Memory stays flat: rows are read as they are asked for. (A `.json` file
    that is one array is the exception, and is parsed as a whole.) The header
    and the first row are read at once, so that a wrong column fails here.

    | source | how it is read |
    |---|---|
    | `.csv` | comma, RFC 4180 quotes, a field may hold line ends |
    | `.tsv` | tab, quotes are plain characters (as GLUE writes them) |
    | `.jsonl` | one object a line |
    | `.json` | the same, or one array of objects |
    | `.parquet` | read in batches |
    | `.txt` | one text a line, no labels |
    | `tfds:name/config` | a data set that TFDS has prepared on this machine |

    All but `.parquet` may end in `.gz` as well. Rows whose text is empty are
    yielded too: the run counts them. An empty label cell (or null,
    or -1 for a class of TFDS) makes an unlabelled row.

    Args:
        source: Path, or a TFDS name such as `"tfds:imdb_reviews/plain_text"`.
        text: Name of the column with the text. In a `.csv` or `.tsv` without
            a header, the index of the column, counted from 0; all columns
            are then given by index.
        text_pair: Column of the second text, if rows are pairs.
        label: Column of the label, or `None` to read without labels.
        id_column: Column of the example ids. By default the id is
            `"<file name>:<line number>"` (the row number in `.parquet`, in a
            JSON array and in TFDS).
        delimiter: What separates the columns of a `.csv` or `.tsv`, if not
            what the suffix says. Other sources are read without it.
        split: The split of a TFDS source, such as `"train"`; for it alone.
        encoding: Of text files. A byte order mark of UTF-8 is dropped.

    Returns:
        An iterator of `Example`.

    Raises:
        DataError: The source is missing, empty or damaged, a column is not
            there, or a row does not fit. The message names file, row and
            column. Rows after the first one raise when they are reached.
    """
    names = {
        "text": text,
        "text_pair": text_pair,
        "label": label,
        "id_column": id_column,
    }
    wanted = {role: name for role, name in names.items() if name is not None}
    if "text" not in wanted:
        raise DataError(
            "Expected the name of the text column. Received: text=None."
        )
    if str(source).startswith(PREFIX):
        _refuse_indices(source, names)
        place = f"{source}/{split}"
        rows = read_prepared(str(source), split, wanted)
    else:
        path = Path(source)
        place = path.name
        if split is not None:
            raise DataError(
                f"split={split!r} was given with the file {path}. Splits are "
                f"for '{PREFIX}' sources; give the file of that split."
            )
        wanted, rows = _open_file(path, wanted, delimiter, encoding)
    examples = _make_examples(rows, list(wanted), place, source)
    first = next(examples, None)
    if first is None:
        raise DataError(
            f"{source} has no rows. Expected at least one after the header, "
            "if it has one. Check that the file was written to its end."
        )
    return itertools.chain([first], examples)


def resolve_labels(labels: Iterable[str | None]) -> list[str]:
    """Gives the distinct labels in a natural order.

    Numbers are sorted as numbers, other labels so that `class2` stands before
    `class10`. The position in this list is the class index.

    Args:
        labels: The labels of examples; `None` (unlabelled) is skipped.

    Raises:
        DataError: There is no label at all, a row has a list of them, or two
            labels are the same number in two spellings (`1` and `1.0`).
    """
    distinct = {label for label in labels if label is not None}
    if not distinct:
        raise DataError(
            "No row has a label. Expected at least one. Check the label "
            "column, or give the list of labels yourself."
        )
    lists = [list(label) for label in distinct if isinstance(label, tuple)]
    if lists:
        raise DataError(
            f"Some labels are lists, such as {min(lists)}. Expected one class "
            "a row: a string or a number. Where a row may have several labels, "
            "choose the task 'multi_label'."
        )
    numbers = {label: _as_number(label) for label in distinct}
    if None in numbers.values():
        return sorted(distinct, key=_natural_key)
    ordered = sorted(distinct, key=lambda label: (numbers[label], label))
    for one, other in itertools.pairwise(ordered):
        if numbers[one] == numbers[other]:
            raise DataError(
                f"The labels '{one}' and '{other}' are the same number in two "
                "spellings. Expected one spelling a class. A column that "
                "went through a float (1 -> 1.0) is the usual reason."
            )
    return ordered


def _open_file(path, wanted, delimiter, encoding):
    """Checks the file's kind; gives the roles to read and the rows."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    kind = "".join(suffixes[-2:-1] if gzipped else suffixes[-1:])
    if kind not in SUFFIXES or (gzipped and kind == ".parquet"):
        raise DataError(
            f"{path} is of no kind that can be read. Expected a file name "
            f"that ends in one of {', '.join(SUFFIXES)}, each but .parquet "
            f"also with .gz, or '{PREFIX}<name>'."
        )
    if not path.is_file():
        raise DataError(
            f"{path} is "
            f"{'a folder' if path.is_dir() else 'not there'}. Expected a "
            f"file. Received: source={str(path)!r}, looked for from "
            f"{Path.cwd()}."
        )
    if not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes). Expected rows of text.")
    if kind in DELIMITERS:
        if delimiter == r"\t":  # As it is typed in a shell.
            delimiter = "\t"
        if delimiter is not None and len(delimiter) != 1:
            raise DataError(
                f"Expected one character as delimiter. Received: "
                f"{delimiter!r}. For a tab write '\\t'."
            )
        delimiter = delimiter or DELIMITERS[kind]
        quotes = kind == ".csv"
        rows = read_delimited(path, wanted, delimiter, quotes, encoding)
        return wanted, rows
    if kind == ".txt":
        # The default column names are no request for these columns.
        label_wanted = wanted.get("label", "label") != "label"
        if label_wanted or set(wanted) - {"text", "label"}:
            raise DataError(
                f"{path} holds one text a line and no other columns. "
                f"Received: {wanted}. Give another format."
                + (f" {WITHOUT_LABELS}" if label_wanted else "")
            )
        rows = ((n, (line,)) for n, line in read_lines(path, encoding))
        return {"text": "text"}, rows
    _refuse_indices(path, wanted)
    if kind == ".parquet":
        return wanted, read_parquet(path, wanted)
    return wanted, read_json_rows(path, wanted, encoding, kind == ".json")


def _refuse_indices(source, names):
    """Refuses columns by index, which only .csv and .tsv have."""
    indices = [
        f"{role}={name}"
        for role, name in names.items()
        if isinstance(name, int)
    ]
    if indices:
        raise DataError(
            f"{source}: columns by index are for .csv and .tsv. Received: "
            f"{', '.join(indices)}. Name the columns."
        )


def _make_examples(rows, roles, place, source):
    """Turns `(number, values)` into examples, checking every value."""
    text_roles = [role for role in roles if role.startswith("text")]
    texts = [(role, roles.index(role)) for role in text_roles]
    label_at = roles.index("label") if "label" in roles else None
    id_at = roles.index("id_column") if "id_column" in roles else None
    for number, values in rows:
        fields = tuple(
            _text_of(values[index], role, number, source)
            for role, index in texts
        )
        label = None
        if label_at is not None:
            label = _label_of(values[label_at], number, source)
        example_id = f"{place}:{number}"
        if id_at is not None:
            example_id = _id_of(values[id_at], number, source)
        yield Example(example_id, fields, label)


def _text_of(value, role, number, source):
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(
            f"{source}, row {number}: the {role} column holds {value!r} "
            f"({type(value).__name__}). Expected a string."
        )
    _check_unicode(value, role, number, source)
    return value


def _check_unicode(value, role, number, source):
    """Refuses half of a surrogate pair, which no file of ours can hold."""
    if value.isascii():
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{source}, row {number}: the {role} column holds half of a "
            f"surrogate pair at character {error.start}, which is no Unicode "
            "text. The file was cut inside an escaped character; write it "
            "again with whole characters."
        ) from None


def _label_of(value, number, source):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        for name in value:
            _check_unicode(name, "label", number, source)
        return tuple(value)
    if isinstance(value, (int, float, str)):
        label = str(value).strip()
        _check_unicode(label, "label", number, source)
        if label and not math.isfinite(_as_number(label) or 0):
            raise DataError(
                f"{source}, row {number}: the label is {label}, not a finite "
                "value. Expected a class, a number, or an empty cell (null) "
                "for an unlabelled row."
            )
        return label or None
    raise DataError(
        f"{source}, row {number}: the label column holds {value!r} "
        f"({type(value).__name__}). Expected a string, a number, or a list of "
        "strings where a row may have several labels."
    )


def _id_of(value, number, source):
    example_id = "" if value is None else str(value).strip()
    if not example_id:
        raise DataError(
            f"{source}, row {number}: the id is empty. Expected an id in "
            "every row; leave id_column out to number the rows."
        )
    return example_id


def _as_number(label):
    # float() alone would take "1_000", and the digits of every script.
    if not re.fullmatch(
        r"[+-]?[0-9.]+(e[+-]?[0-9]+)?|[+-]?[a-z]+", label, re.I
    ):
        return None
    try:
        return float(label)
    except ValueError:
        return None


def _natural_key(label):
    pieces = re.split("([0-9]+)", label)
    # The odd pieces are digits. The label itself decides between 1 and 01.
    keys = [
        (int(piece), "") if index % 2 else (0, piece)
        for index, piece in enumerate(pieces)
    ]
    return keys, label
