"""Files of word vectors: GloVe, and word2vec as text and binary."""

import gzip
import zlib
from pathlib import Path

import numpy as np

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CHUNK = 2**18
LONGEST_WORD = 2**16


def read_vectors(path, wanted):
    """Yields the words of a file and their vectors, in the file's order.

    A file that ends in `.bin` is word2vec's binary one. All others are text:
    word2vec's if the first line is two whole numbers (words and dimensions),
    GloVe's if not. Each may also be `.gz`. The file is read piece by piece:
    memory stays flat.

    Args:
        path: The file.
        wanted: Function that says whether a word is of interest. The numbers
            of other words are counted, but not read.

    Yields:
        `(word, vector)`: str and float32 `[dimensions]`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or of another kind; names the line, or
            the word where there are no lines.
    """
    path = Path(path)
    compressed = path.suffix.lower() == ".gz"
    binary = path.name.lower().removesuffix(".gz").endswith(".bin")
    read = _read_binary if binary else _read_text
    try:
        with (gzip.open if compressed else open)(path, "rb") as file:
            yield from read(file, path, wanted)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is no whole gzip file: {error}. Expected one, by its "
            "name. Copy it again, or drop .gz from the name if it is not "
            "compressed."
        ) from error


def _read_text(file, path, wanted):
    total, count, dimensions = None, 0, None
    for number, line in enumerate(file, 1):
        line = line.rstrip(b" \r\n")
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
            total, dimensions = _text_header(line, path)
            if total is not None:
                continue
        if not line:
            continue
        # From the right: some of GloVe's words have spaces in them.
        word, *numbers = line.rsplit(b" ", dimensions)
        before, _, last = word.rpartition(b" ")
        if len(numbers) != dimensions or (before and _is_number(last)):
            raise ValueError(
                f"{path}, line {number}: expected a word and {dimensions} "
                "numbers with single spaces between, as line 1 says. Received "
                f"{line.count(b' ')} after {_shown(line)}. The file may be cut "
                "off, or joined from two: fetch it again."
            )
        count += 1
        text = word.decode("utf-8", "replace")
        if number == 1 or wanted(text):
            yield text, _parse(numbers, f"{path}, line {number}")
    if total is not None and count != total:
        raise ValueError(
            f"{path}: line 1 says {total} words. Received {count}. The file is "
            "not whole: fetch it again."
        )
    if not count:
        raise ValueError(f"{path} is empty. Expected words and their vectors.")


def _text_header(line, path):
    """`(number of words, dimensions)`; no number of words in GloVe's files."""
    fields = line.split(b" ")
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        total, dimensions = map(int, fields)
    else:
        total, dimensions = None, len(fields) - 1
    if dimensions < 1 or (total is None and not _is_number(fields[-1])):
        raise ValueError(
            f"{path}, line 1: expected a word and its vector, or the header of "
            "word2vec (two whole numbers: words and dimensions). Received "
            f"{_shown(line)}. Expected UTF-8 text with single spaces; binary "
            "files of word2vec must be called .bin or .bin.gz."
        )
    return total, dimensions


def _read_binary(file, path, wanted):
    header = file.readline(LONGEST_WORD)
    fields = header.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise ValueError(
            f"{path}, line 1: expected the header of a binary word2vec file "
            f"(words and dimensions). Received {_shown(header)}. Text files "
            "must not be called .bin."
        )
    total, dimensions = map(int, fields)
    if not total or not dimensions:
        raise ValueError(
            f"{path}, line 1: expected one word and one dimension or more. "
            f"Received {total} words of {dimensions} dimensions."
        )
    size = 4 * dimensions
    buffer, position = b"", 0
    for number in range(1, total + 1):
        end = buffer.find(b" ", position)
        while end < 0 or len(buffer) < end + 1 + size:
            more = file.read(max(CHUNK, size))
            endless = end < 0 and len(buffer) - position > LONGEST_WORD
            if not more or endless:
                raise ValueError(
                    f"{path}, word {number}: expected {total} words of "
                    f"{dimensions} float32 numbers, as line 1 says. The file "
                    "ends before, or is of another kind: fetch it again."
                )
            buffer, position = buffer[position:] + more, 0
            end = buffer.find(b" ")
        # Some writers end each vector with a line feed.
        word = buffer[position:end].lstrip(b"\n").decode("utf-8", "replace")
        if wanted(word):
            vector = np.frombuffer(buffer, "<f4", dimensions, end + 1)
            yield word, _finite(vector, f"{path}, word {number} ({word!r})")
        position = end + 1 + size
    rest = buffer[position:] + file.read(size)
    if rest.strip(b"\n"):
        raise ValueError(
            f"{path}: expected the end after {total} words, as line 1 says. "
            f"Received more: {_shown(rest)}. Fetch the file again."
        )


def _parse(numbers, where):
    try:
        values = [float(number) for number in numbers]
    except ValueError as error:
        raise ValueError(
            f"{where}: expected {len(numbers)} numbers after the word. "
            f"Received one that is none: {error}. Fetch the file again."
        ) from None
    with np.errstate(over="ignore"):
        return _finite(np.array(values, "float32"), where)


def _finite(vector, where):
    if not np.isfinite(vector).all():
        raise ValueError(
            f"{where}: expected finite numbers. Received "
            f"{vector[~np.isfinite(vector)][0]}. Fetch the file again, or "
            "leave that word out."
        )
    return vector.astype("float32")


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shown(line):
    text = line[:60].decode("utf-8", "replace")
    return repr(text + "..." if len(line) > 60 else text)
