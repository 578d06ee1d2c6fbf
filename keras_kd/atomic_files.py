"""Files that are either whole or not there at all.

Everything that keras_kd stores is written beside its final name, flushed to
the disk and renamed. A full disk, a crash or Ctrl-C in the middle therefore
never leaves half a file that a later run would take for a whole one.
"""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def write_aside(path):
    """Yields a temporary path; renames it to `path` if the block succeeds.

    Args:
        path: The final name. Its folder is made when it does not exist. The
            temporary name keeps the suffix, since writers such as
            `keras.Model.save` choose their format by it.

    Example:

    >>> with write_aside("run/labels.txt") as temporary:
    ...     _ = temporary.write_text("negative\\npositive\\n")
    >>> Path("run/labels.txt").read_text().split()
    ['negative', 'positive']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{os.getpid()}.partial.{path.name}"
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_aside(path, marker=None):
    """Yields a temporary folder; renames it to `path` if the block succeeds.

    A folder that stands at `path` already is replaced, after the new one is
    complete.

    Args:
        path: The final name of the folder.
        marker: Name of a file that every folder of this kind has. A folder at
            `path` that lacks it holds something else, and is not replaced.

    Raises:
        NotADirectoryError: A file stands at `path`.
        FileExistsError: A folder with other things in it stands at `path`.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(
            f"Expected a folder, or nothing. Received: '{path}', which is a "
            "file. Give another name, or move the file."
        )
    if marker and path.exists() and not (path / marker).exists():
        others = sorted(file.name for file in path.iterdir())
        if others:
            raise FileExistsError(
                f"'{path}' holds other things: {others[:3]}. It would be "
                f"replaced only if it were empty or had a '{marker}'. Give "
                "another folder."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(
        tempfile.mkdtemp(prefix=f".partial.{path.name}.", dir=path.parent)
    )
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
        temporary.chmod(0o755)
        if path.exists():
            replaced = temporary.with_name(f"{temporary.name}.replaced")
            os.replace(path, replaced)
            os.replace(temporary, path)
            shutil.rmtree(replaced)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path, value):
    """Writes `value` as indented JSON, aside and renamed."""
    with write_aside(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def read_json(path):
    """Reads a JSON file.

    Raises:
        ValueError: It does not parse; names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"Cannot read '{path}' as JSON: {error}. Write the file once more."
        ) from error
