"""Lines of text files, gzipped or not, decoded strictly."""

import codecs
import contextlib
import gzip
import io
import zlib

from keras_kd.data.errors import DataError

MARKS = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_lines(path, encoding="utf-8"):
    """Yields `(line number, line)` without the line's end.

    Only a line feed ends a line (a carriage return before it belongs to the
    end), so U+2028, U+0085 and the like stay inside the text.

    Args:
        path: A `pathlib.Path`; one that ends in `.gz` is uncompressed.
        encoding: The encoding of the text.

    Raises:
        DataError: The encoding is unknown, bytes cannot be decoded, or the
            gzip stream is damaged.
    """
    with contextlib.closing(raw_lines(path, encoding)) as lines:
        for number, line in enumerate(lines, 1):
            line = line.removesuffix("\n")
            yield number, line.removesuffix("\r")


def raw_lines(path, encoding="utf-8"):
    """Yields lines with their ends. See `read_lines`."""
    try:
        encoding = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(
            f"Unknown encoding for {path}: {encoding!r}. Expected a name that "
            "Python knows, such as 'utf-8', 'latin-1' or 'gb18030'."
        ) from None
    try:
        with open(path, "rb") as file:
            if path.suffix.lower() == ".gz":
                file = io.BufferedReader(gzip.GzipFile(fileobj=file), 2**18)
            if encoding.startswith(("utf-16", "utf-32")):
                yield from _decode_as_stream(file, path, encoding)
            else:
                yield from _decode_by_line(file, path, encoding)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is no whole gzip file: {error}. Expected one, by its "
            "name. Copy it again, or drop .gz from the name if it is not "
            "compressed."
        ) from error


def _decode_by_line(file, path, encoding):
    """For encodings in which the byte 10 is always a line feed."""
    offset = 0
    for number, raw in enumerate(file, 1):
        if number == 1 and encoding == "utf-8":
            _refuse_utf16(raw, path)
            stripped = raw.removeprefix(codecs.BOM_UTF8)
            offset += len(raw) - len(stripped)
            raw = stripped
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            at = error.start
            raise DataError(
                f"{path}, line {number}: byte {offset + at} "
                f"(0x{raw[at]:02x}) is not {encoding}: {error.reason}. Save "
                "the file as UTF-8, or give its encoding, such as "
                "encoding='latin-1' or 'gb18030'."
            ) from None
        offset += len(raw)
        yield line


def _decode_as_stream(file, path, encoding):
    number = 0
    try:
        with io.TextIOWrapper(file, encoding, newline="\n") as lines:
            for line in lines:
                number += 1
                yield line
    except UnicodeError as error:
        raise DataError(
            f"{path} is not {encoding} after line {number}: {error}. Give "
            "the encoding that it was saved with."
        ) from None


def _refuse_utf16(raw, path):
    encoding = MARKS.get(raw[:2])
    if encoding:
        raise DataError(
            f"{path} begins at byte 0 with the mark of {encoding}. Expected "
            f"UTF-8. Give encoding='{encoding}'."
        )
