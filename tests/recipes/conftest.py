"""Recipes are run here as one types them, on tiny data."""

import runpy
import sys

import pytest

from keras_kd.evaluation import report
from keras_kd.runs import arm_training
from keras_kd.runs import distillation
from keras_kd.runs.student_files import StudentFiles
from keras_kd.teachers import fresh
from tests import tiny


@pytest.fixture
def run_recipe(monkeypatch, capsys):
    """Runs `python -m recipes.NAME`: `(status, output, errors)`."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        # It runs as a script: not the module that another test imported.
        monkeypatch.delitem(sys.modules, f"recipes.{name}", raising=False)
        with pytest.raises(SystemExit) as exit:
            runpy.run_module(f"recipes.{name}", run_name="__main__")
        captured = capsys.readouterr()
        return exit.value.code, captured.out, captured.err

    return run


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what takes long, and is tested with the miniature run."""
    monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
    monkeypatch.setattr(
        StudentFiles,
        "write",
        lambda files, name: {"file": name, "format": "none"},
    )
    monkeypatch.setattr(report, "write_plots", lambda folder, result: [])


@pytest.fixture
def resolved(monkeypatch):
    """The configurations that `distill` was called with, and not run."""
    calls = []
    monkeypatch.setattr(
        distillation,
        "distill",
        lambda configuration, *args, **kwargs: calls.append(configuration),
    )
    return calls


@pytest.fixture
def small_fresh_teacher(monkeypatch):
    """A teacher from scratch that is a bag of characters."""
    made = []

    def build(vocabulary_size, num_outputs, **sizes):
        made.append(sizes)
        return tiny.bag_student("", vocabulary_size, num_outputs)

    monkeypatch.setattr(fresh, "transformer_student", build)
    return made
