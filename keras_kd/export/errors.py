"""The error of an export that was not finished."""

import contextlib
import errno
import os


class ExportError(RuntimeError):
    """A model could not be converted, or its file did not pass its check.

    Nothing stands under the file's final name when this is raised. The message
    says what was measured, what was expected, and what can be done.
    """


@contextlib.contextmanager
def full_disk_explained(path):
    """Turns a full disk into an `ExportError` that says what to do.

    Python, TensorFlow and a child process each report it in their own way; the
    system's words are in all of them.
    """
    try:
        yield
    except Exception as error:
        full = getattr(error, "errno", None) == errno.ENOSPC
        if not full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise ExportError(
            f"The disk is full: {path} could not be written, and nothing is "
            "left of it. An export needs about four times the size of the "
            "Keras model while it runs. Free some space and run it again."
        ) from error
