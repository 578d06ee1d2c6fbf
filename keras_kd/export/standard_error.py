"""What libraries in C++ print on standard error, past all of Python's means."""

import contextlib
import os
import tempfile


@contextlib.contextmanager
def held_back(keep=lambda line: False):
    """Keeps back what is printed on standard error inside the block.

    TensorFlow and LiteRT write to the descriptor itself, where neither
    `sys.stderr` nor a log level reaches them. If the block fails, all that was
    printed is shown after all.

    Args:
        keep: Function that says of a line (bytes) whether it is shown also
            where the block succeeds.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # A service that has closed it.
        yield
        return
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            printed.seek(0)
            for line in printed:
                if failed or keep(line):
                    os.write(2, line)


def is_no_note(line):
    """Whether a line says more than what LiteRT notes of itself."""
    return not line.startswith(b"INFO:")
