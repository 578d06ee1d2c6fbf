"""What one sees of work that takes its time."""

import io
import sys
import time

import pytest

from keras_kd.progress import TrainingProgress
from keras_kd.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(say):
    """Two intervals of two steps, as `fit` would do it."""
    progress = TrainingProgress("alone, seed 0", 4, say)
    progress.on_train_begin()
    for interval in range(2):
        progress.on_epoch_begin(interval)
        for step in range(2):
            progress.on_train_batch_end(step)
        logs = {"loss": 0.5, "soft_targets_loss": 2.0, "validation": 0.75}
        progress.on_epoch_end(interval, logs)
    progress.on_train_end()


LINES = [
    "  step 2/4: loss 0.5000, validation 0.7500",
    "  step 4/4: loss 0.5000, validation 0.7500",
]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_every_validation_leaves_a_line(monkeypatch, stream):
    errors, said = stream(), []
    monkeypatch.setattr(sys, "stderr", errors)
    train(said.append)
    assert said == LINES
    # The bar is there on a terminal alone.
    assert ("alone, seed 0" in errors.getvalue()) == errors.isatty()


def test_lines_do_not_run_into_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    train(print)
    shown = terminal.getvalue()
    for line in LINES:
        before, _, after = shown.partition(line)
        # The bar was wiped out, and comes back on a line of its own.
        assert before.endswith(" \r")
        assert after.startswith("\n\r")


def test_bar_of_other_work(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("labelling", 10) as advance:
        advance(4)
    assert "labelling" in terminal.getvalue()


def test_lines_of_other_work_in_a_log(monkeypatch):
    log, seconds = io.StringIO(), iter([0, 30, 90, 120, 180])
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with progress_bar("labelling", 4000) as advance:
        for _ in range(4):
            advance(500)
    assert log.getvalue().splitlines() == [
        "  labelling: 1,000 of 4,000 rows, 4 minutes left",
        "  labelling: 2,000 of 4,000 rows, 3 minutes left",
    ]
