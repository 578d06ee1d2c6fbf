"""Sentences whose words are tagged: CoNLL files, JSON, and TFDS."""

import re
from pathlib import Path

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.json_files import read_json_rows
from keras_kd.data.parquet_files import read_parquet
from keras_kd.data.prepared_datasets import PREFIX
from keras_kd.data.prepared_datasets import read_prepared
from keras_kd.data.text_files import read_lines
from keras_kd.data.words import split_words

DOCUMENT_START = "-DOCSTART-"
COMMENT = "#"
SPACES = re.compile(" +")
OBJECTS = (".jsonl", ".json", ".parquet")


def read_tagged_sentences(
    source, words=None, tags=None, split=None, encoding="utf-8", labelled=True
):
    """Reads sentences as examples whose fields are words.

    | source | how it is read |
    |---|---|
    | `.jsonl`, `.json`, `.parquet`, `tfds:NAME` | lists of words and of tags |
    | any other, `.gz` or not | CoNLL: a word a line, its columns between \
tabs or spaces, an empty line behind each sentence |

    Lines of `-DOCSTART-` are left out, and so are comments, lines that begin
    with `#` and have another number of columns. Sentences of no word can't
    be told from further empty lines in CoNLL; elsewhere they are refused.
    Where a row's tags are null it has none, and without tags a text may stand
    for its list of words, and is split.

    Args:
        source: Path, or TFDS name.
        words: Column of the words: a name, or in CoNLL a number from 0; by
            default `"tokens"`, or the first one.
        tags: Column of the tags; by default `"tags"`, or the last one.
        split: Split of a TFDS source.
        encoding: Of text files.
        labelled: Whether tags are read at all.

    Yields:
        `Example`; its `fields` are the words, its `label` the tags.

    Raises:
        DataError: A source that can't be read, a line with more or fewer
            columns than the first, or as many tags as no words.
    """
    path = Path(source)
    name = path.name.lower().removesuffix(".gz")
    prepared = str(source).startswith(PREFIX)
    if prepared or name.endswith(OBJECTS):
        columns = {"text": words or "tokens"}
        if labelled:
            columns["label"] = tags or "tags"
        if prepared:
            place, rows = source, read_prepared(str(source), split, columns)
        elif name.endswith(".parquet"):
            place, rows = path.name, read_parquet(path, columns)
        else:
            check_file(path)
            array = name.endswith(".json")
            place = path.name
            rows = read_json_rows(path, columns, encoding, array)
        yield from _of_lists(rows, place)
    else:
        check_file(path)
        tag_column = (-1 if tags is None else tags) if labelled else None
        yield from _of_lines(path, words or 0, tag_column, encoding)


def check_file(path):
    """Refuses a path that is no file.

    Raises:
        DataError: It is missing, or a folder.
    """
    if not Path(path).is_file():
        kind = "a folder" if Path(path).is_dir() else "not there"
        raise DataError(
            f"{path} is {kind}. Expected a file, looked for from {Path.cwd()}."
        )


def _of_lists(rows, place):
    for number, values in rows:
        where = f"{place}:{number}"
        if values[1:] == [None]:
            values = values[:1]
        if len(values) == 1 and isinstance(values[0], str):
            values = [split_words(values[0])]
        for value in values:
            if not isinstance(value, (list, tuple)) or not all(
                isinstance(one, str) for one in value
            ):
                raise DataError(
                    f"{where}: {str(value)[:60]!r}. Expected a list of strings "
                    "in the columns of words and tags; tags by their names, "
                    "such as 'B-PER', not by numbers."
                )
        words = tuple(values[0])
        if not words:
            raise DataError(f"{where}: a sentence without words. Leave it out.")
        tags = None
        if len(values) > 1:
            tags = tuple(tag.strip() for tag in values[1])
        if tags is not None and len(tags) != len(words):
            raise DataError(
                f"{where}: {len(words)} words and {len(tags)} tags. Expected "
                "a tag for each word."
            )
        yield Example(where, words, tags)


def _of_lines(path, word_column, tag_column, encoding):
    for column in (word_column, tag_column):
        if isinstance(column, str):
            raise DataError(
                f"{path.name}: columns of a CoNLL file are numbers, from 0. "
                f"Received: {column!r}."
            )
    count = _count_columns(path, word_column, tag_column, encoding)
    words, tags, start = [], [], None
    for number, line in read_lines(path, encoding):
        columns = _columns(line)
        if not columns or DOCUMENT_START in columns:
            if words:
                yield _sentence(path, start, words, tags, tag_column)
            words, tags = [], []
            continue
        if len(columns) != count:
            if line.startswith(COMMENT):
                continue
            raise DataError(
                f"{path}, line {number}: {len(columns)} columns ({line!r:.60})."
                f" The first line has {count}. Expected as many in each."
            )
        start = start if words else number
        words.append(columns[word_column])
        if tag_column is not None:
            # Else a space behind a tag would make a type of its own.
            tags.append(columns[tag_column].strip())
    if words:
        yield _sentence(path, start, words, tags, tag_column)


def _columns(line):
    """The columns of a line; a word may hold a space that is no ` `."""
    if not line.strip():
        return []
    return line.split("\t") if "\t" in line else SPACES.split(line.strip(" "))


def _count_columns(path, word_column, tag_column, encoding):
    """How many columns the lines have: the first one that is no comment.

    If all begin as comments do, none is one.
    """
    found = None
    for number, line in read_lines(path, encoding):
        columns = _columns(line)
        if columns and DOCUMENT_START not in columns:
            if found is None or not line.startswith(COMMENT):
                found = number, line, len(columns)
            if not line.startswith(COMMENT):
                break
    if found is None:
        raise DataError(f"{path} has no sentence. Expected a word a line.")
    _check_columns(path, *found, word_column, tag_column)
    return found[-1]


def _sentence(path, number, words, tags, tag_column):
    label = None if tag_column is None else tuple(tags)
    return Example(f"{path.name}:{number}", tuple(words), label)


def _check_columns(path, number, line, count, word_column, tag_column):
    for column in (word_column, tag_column):
        if column is not None and not -count <= column < count:
            raise DataError(
                f"{path}, line {number}: {count} columns ({line!r:.60}), and "
                f"no column {column}. Columns are counted from 0."
            )
    if tag_column is not None and word_column == tag_column % count:
        raise DataError(
            f"{path}, line {number}: one column alone ({line!r:.60}), where "
            "words and tags were expected, with tabs or spaces between."
        )
