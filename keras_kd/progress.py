"""Progress bars for whatever takes more than a few seconds."""

import contextlib
import sys


@contextlib.contextmanager
def progress_bar(description, total):
    """Yields a function that is told how many items were done.

    On a terminal there is a bar; elsewhere (a log file, a notebook's captured
    output) nothing is printed but a line at the end of long work.

    Args:
        description: What is being done.
        total: How many items there are.
    """
    from tqdm import tqdm

    with tqdm(
        desc=description,
        total=total,
        unit=" rows",
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:
        yield bar.update
