"""Progress bars for whatever takes more than a few seconds."""

import contextlib
import sys
import time

import keras

# Between two lines of what is shown where there is no terminal.
LINE_SECONDS = 60


@contextlib.contextmanager
def progress_bar(description, total):
    """Yields a function that is told how many items were done.

    On a terminal there is a bar; elsewhere (a log file, a notebook's captured
    output) a line a minute.

    Args:
        description: What is being done.
        total: How many items there are.
    """
    if not sys.stderr.isatty():
        yield _Lines(description, total).update
        return
    from tqdm import tqdm

    with tqdm(desc=description, total=total, unit=" rows", leave=False) as bar:
        yield bar.update


class _Lines:
    """How far work has come, in lines for a log."""

    def __init__(self, description, total):
        self.description, self.total = description, total
        self.done = 0
        self.began = self.said = time.monotonic()

    def update(self, count=1):
        self.done += count
        now = time.monotonic()
        if now - self.said < LINE_SECONDS:
            return
        self.said = now
        left = (now - self.began) * (self.total / self.done - 1)
        print(
            f"  {self.description}: {self.done:,} of {self.total:,} rows, "
            f"{left / 60:.0f} minutes left",
            file=sys.stderr,
            flush=True,
        )


class TrainingProgress(keras.callbacks.Callback):
    """Shows the steps of a training, and each validation score.

    There is one line for each validation, which stays; on a terminal a bar
    below it moves with every step.

    Args:
        description: What is being trained.
        steps: All steps of the training.
        say: Function that prints a line.
        done: Steps that were made before.
    """

    def __init__(self, description, steps, say=print, done=0):
        super().__init__()
        self.description = description
        self.steps = steps
        self.say = say
        # Batches, of which the optimizer may leave some out.
        self.done = done

    def on_train_begin(self, logs=None):
        from tqdm import tqdm

        self._bar = tqdm(
            desc=self.description,
            total=self.steps,
            initial=self.done,
            unit=" steps",
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._done_before = self.done

    def on_train_batch_end(self, batch, logs=None):
        made = self._done_before + batch + 1
        self._bar.update(made - self.done)
        self.done = made

    def on_epoch_end(self, epoch, logs=None):
        shown = ", ".join(
            f"{name} {value:.4f}"
            for name, value in logs.items()
            if name in ("loss", "validation")
        )
        # Whatever `say` writes to, it does not write into the bar.
        with self._bar.external_write_mode():
            self.say(f"  step {self.done}/{self.steps}: {shown}")

    def on_train_end(self, logs=None):
        self._bar.close()
