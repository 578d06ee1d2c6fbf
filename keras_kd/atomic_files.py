"""Files that are either whole or not there at all.

Everything that keras_kd stores is written beside its final name, flushed to
the disk and renamed. A full disk, a crash or Ctrl-C in the middle therefore
never leaves half a file that a later run would take for a whole one. What a
killed process left in a folder is removed when anything is written there.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

REPLACED = ".replaced"


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
    remove_leftovers(path.parent)
    temporary = path.parent / f"{_prefix(os.getpid())}{path.name}"
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
    with scratch_folder(path) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
        temporary.chmod(0o755)
        _put(temporary, path)


@contextlib.contextmanager
def scratch_folder(path):
    """Yields a temporary folder beside `path`; it is removed at the end.

    Args:
        path: What the folder is for; says where it is made, and its name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = Path(
        tempfile.mkdtemp(
            prefix=f"{_prefix(os.getpid())}{path.name}.", dir=path.parent
        )
    )
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time(path):
    """Lets one process after the other into the block.

    Args:
        path: A file that all of them name; it is made, and stays.
    """
    import fcntl

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # Closing the file ends it.
        yield


def remove_leftovers(folder):
    """Removes what killed processes left in a folder; writers do it first.

    A folder that was being replaced is put back. The temporaries of living
    processes stay, and those of other machines: nobody here knows whether one
    of them still writes.

    Args:
        folder: A folder that is there.
    """
    pattern = re.compile(rf"\.{_machine()}-(\d+)\.partial\.(.+)")
    for name in os.listdir(folder):
        found = pattern.fullmatch(name)
        if not found or _lives(int(found[1])):
            continue
        leftover = folder / name
        replaced = re.fullmatch(rf"(.+)\.\w+{re.escape(REPLACED)}", found[2])
        if replaced and not (folder / replaced[1]).exists():
            # Killed between the two renames: this is all that there is.
            with contextlib.suppress(OSError):
                os.replace(leftover, folder / replaced[1])
        elif leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                leftover.unlink()


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


def _prefix(pid):
    """How the temporary names of a process begin: it says whose they are."""
    return f".{_machine()}-{pid}.partial."


@functools.cache
def _machine():
    """A short name for where process numbers mean something.

    Machines, and containers on one machine, may share a disk; each numbers
    its processes by itself.
    """
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    name = f"{socket.gethostname()} {namespace}".encode()
    return hashlib.blake2b(name, digest_size=4).hexdigest()


def _put(folder, path):
    """Renames a folder; one that stands at `path` makes room for it.

    Whenever it is killed, a whole folder is left: at `path`, or beside it, from
    where `remove_leftovers` puts it back.
    """
    replaced = folder.with_name(folder.name + REPLACED)
    while True:
        try:
            os.replace(folder, path)
            break
        except OSError:
            # Another process may have put its own there just now.
            if not path.is_dir():
                raise
        shutil.rmtree(replaced, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, replaced)
    shutil.rmtree(replaced, ignore_errors=True)


def _lives(pid):
    if os.name != "posix":
        return True  # Elsewhere signal 0 would end the process.
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # It belongs to somebody else.
    return True
