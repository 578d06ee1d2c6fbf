"""How every command starts, and how it ends."""

import contextlib
import errno
import os
import sys

from keras_kd.configuration.setting_flags import with_flags
from keras_kd.export.standard_error import held_back

# What a shell gives a command that SIGPIPE has ended.
BROKEN_PIPE = 141


def guarded(action, options):
    """Runs an action; an error is one line on stderr and a status of 1.

    Args:
        action: Function of the parsed options.
        options: Parsed options. `--traceback` shows where an error arose.

    Returns:
        The exit status: 0, 1 after an error, 130 after Ctrl-C, 141 where
        nobody reads the output any more.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves it off on CPUs without instructions for int8, where a
    # step of a recurrent student then takes twice its time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # That PyTorch is not there: transformers is asked for tokenizers alone.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        status = action(options) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(
            "\nStopped. Finished parts are kept: the same command goes on.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # `| head` has seen enough. Python would say so once more at the end,
        # when it flushes what is left.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (
        ValueError, OSError, KeyError, RuntimeError, ImportError
    ) as error:  # fmt: skip
        if options.traceback:
            raise
        print(f"keras-kd: {explain(error, options)}", file=sys.stderr)
        return 1


def explain(error, options=None):
    """An error as a sentence that says what to do.

    Args:
        error: The exception.
        options: Parsed options: our own errors name their flags.
    """
    if isinstance(error, KeyError):
        # The string of a KeyError is in quotes; a lone key says nothing.
        text = str(error.args[0]) if error.args else ""
        if " " in text:
            return text
        return f"{error!r}. This is a defect: --traceback shows where."
    # HDF5 leaves the number out, and has the system's words.
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(
        errno.ENOSPC
    ) in str(error):
        return (
            f"The disk is full: {error}. Nothing half-written is left, and "
            "finished parts are kept. Free some space, and give the same "
            "command again."
        )
    if type(error).__module__.startswith("keras_kd."):
        return with_flags(str(error), options)
    return error


def load_keras():
    """Imports Keras and its backend, without what they print at that.

    TensorFlow reports missing GPU drivers before any log level counts.
    """
    with held_back():
        import keras  # noqa: F401
