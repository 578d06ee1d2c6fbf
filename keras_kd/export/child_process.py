"""Work that may crash, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from keras_kd.export.errors import ExportError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
SHELL_SIGNAL_BASE = 128
LAST_LINES = 8


def run_child(arguments, what):
    """Runs Python in another process and waits for its end.

    TensorFlow's converter can take the whole process down with it. In a child
    that is an error like any other. If this process is interrupted, the child
    is ended too.

    Args:
        arguments: List of arguments of the Python interpreter.
        what: What the child does, for the message ("the conversion").

    Raises:
        ExportError: The child was ended by a signal, or exited with an error.
    """
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    code = finished.returncode
    if not code:
        return
    output = finished.stdout.decode("utf-8", "replace").strip()
    tail = "\n".join(output.splitlines()[-LAST_LINES:])
    number = -code if code < 0 else code - SHELL_SIGNAL_BASE
    if number > 0:
        raise ExportError(
            f"The process of {what} was ended by {_signal_name(number)}. "
            f"{_remedy(number)} Its last output:\n{tail}"
        )
    raise ExportError(f"The process of {what} failed:\n{tail}")


def _environment():
    environment = dict(os.environ)
    # What this process can import, the child can: also where the package was
    # put on the path by hand.
    paths = [str(PACKAGE_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # A script's own folder holds modules of this package: none of them must
    # be found under its bare name.
    environment["PYTHONSAFEPATH"] = "1"
    # A child on the same GPU would find its memory taken.
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment["KERAS_BACKEND"] = "tensorflow"
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    return environment


def _signal_name(number):
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _remedy(number):
    if number == signal.SIGKILL:
        return (
            "Most often the machine had not enough memory: close other "
            "programs, or export a smaller model."
        )
    return (
        "The converter has crashed on this model. Try another quantization, "
        "or replace its layers one by one to find the cause."
    )
