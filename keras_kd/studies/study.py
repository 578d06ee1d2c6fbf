"""A whole study: its cells, trained in equal steps, in one table."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.configuration import ConfigurationError
from keras_kd.evaluation.report import METRICS
from keras_kd.evaluation.report import write_report
from keras_kd.evaluation.result import arm_mean
from keras_kd.evaluation.result import arm_values
from keras_kd.evaluation.tables import text_table
from keras_kd.memory import keep_freed_memory
from keras_kd.runs.compare import Comparison
from keras_kd.runs.distillation import tensorboard
from keras_kd.runs.hparams_view import write_hparams
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.runs.teacher_checks import verdict_noted
from keras_kd.runs.training import is_done
from keras_kd.studies.cells import make_cells
from keras_kd.studies.cells import shared_arms
from keras_kd.studies.study_report import study_columns
from keras_kd.studies.study_report import write_study
from keras_kd.teachers.teacher import is_saved_teacher

SHARED_FOLDER = "shared"
CELLS_FOLDER = "cells"


def study(kind, configuration, folder, values=None, command="", say=print):
    """Trains the cells of a study, and puts them into one table and one plot.

    All cells have the same rows, steps and seeds, and share one cache; what
    they have in common, the teacher or the student alone, is trained once. The
    same call goes on where it was stopped; more values add cells.

    | file in the folder | holds |
    |---|---|
    | `study.md`, `study.json`, `study.png` | the table and the plot |
    | `cells/` | a run folder for each cell, with its report |
    | `shared/` | the run folder of what they share |
    | `cache/` | tokenised rows and teacher targets |

    Args:
        kind: One of `keras_kd.studies.cells.KINDS`.
        configuration: `Configuration` that the cells change.
        folder: Folder of the study.
        values: See `make_cells`.
        command: The command line, for the reports.
        say: Function that is told what happens.

    Returns:
        The result that `study.json` holds.

    Raises:
        ConfigurationError: Values of another form, or a cell with other
            settings stands in the folder.
    """
    keep_freed_memory()
    folder = Path(folder)
    if "distilled" not in configuration.arms:
        raise ConfigurationError(
            "A study compares distilled students. Received: `arms` "
            f"{configuration.arms}. Add distilled."
        )
    configuration = dataclasses.replace(
        configuration,
        cache=configuration.cache or str(folder / "cache"),
        export=[],
    )
    cells = make_cells(kind, configuration, values)
    settings = [
        dataclasses.replace(configuration, **cell.changes) for cell in cells
    ]
    shared, arms = None, shared_arms(kind, configuration)
    if arms:
        say(f"What all have in common: {' and '.join(arms)}")
        shared = RunFolder(folder / SHARED_FOLDER)
        plain = dataclasses.replace(
            configuration,
            arms=arms,
            layer_losses=None,
            layer_weight=1.0,
            layer_steps=0,
            steps=settings[0].steps + settings[0].layer_steps,
        )
        _run(plain, shared.folder, command, say)
    rows, metric = [], None
    for cell, own in zip(cells, settings, strict=True):
        say(f"Cell {cell.name} ...")
        run_folder = folder / CELLS_FOLDER / cell.name
        if shared is not None:
            own = _take_shared(own, shared, run_folder, say)
        try:
            result = _run(own, run_folder, command, say)
        except TeacherRefused as error:
            rows.append(
                {"cell": cell.name, **cell.varied, "refused": str(error)}
            )
            say(f"  The teacher is refused: {error}")
            continue
        metric = result["primary_metric"]
        rows.append(_row(cell, own, result))
        write_hparams(run_folder, cell.varied, _measures(rows[-1]))
    result = {
        "kind": kind,
        "configuration": configuration.to_dict(),
        "command": command,
        "primary_metric": metric,
        "cells": rows,
    }
    path = write_study(folder, result)
    say("\n".join(["", *text_table(study_columns(result))]))
    say(f"\nThe study: {path}")
    return result


def _run(configuration, folder, command, say):
    """A cell's result, read where it is done."""
    run = RunFolder.start(folder, configuration, say=say)
    keras.backend.clear_session()  # The students before are done with.
    comparison = Comparison(configuration, run, say=say)
    comparison.callbacks = tensorboard(comparison)
    file = folder / METRICS
    if file.exists():
        result = read_json(file)
        if result["configuration"] == configuration.to_dict():
            # Of the data and the teacher that stand there now?
            comparison.prepare()
            if "distilled" in configuration.arms:
                comparison.prepare_teacher()
            return result
    with verdict_noted(run):
        result = comparison.execute()
    write_report(folder, {**result, "command": command})
    return read_json(file)


def _take_shared(configuration, shared, folder, say):
    """Gives a cell the teacher and the students that are trained already."""
    if is_saved_teacher(shared.teacher_folder):
        configuration = dataclasses.replace(
            configuration,
            teacher=str(shared.teacher_folder),
            fine_tune_teacher=None,
        )
    run = RunFolder.start(folder, configuration, say=say)
    for seed in configuration.seeds:
        unit = shared.unit(f"alone-{seed}")
        target = run.unit(unit.name)
        if is_done(unit) and not target.exists():
            with folder_aside(target) as temporary:
                shutil.copytree(unit, temporary, dirs_exist_ok=True)
    return configuration


def _row(cell, configuration, result):
    """What the table, the plot and `study.json` say of a cell."""
    metric = result["primary_metric"]
    row = {"cell": cell.name, **cell.varied}
    for arm in ("teacher", "alone", "distilled"):
        row[arm + "_scores"] = arm_values(result, arm, metric)
    steps = configuration.steps + configuration.layer_steps
    return {
        **row,
        "validation_scores": arm_values(result, "distilled", "best_score"),
        "comparison": result.get("comparison"),
        "agreement": arm_mean(result, "distilled", "agreement"),
        "parameters": arm_values(result, "distilled", "parameters")[0],
        "bytes": arm_values(result, "distilled", "bytes")[0],
        "steps": steps,
        "seconds": float(np.sum(arm_values(result, "distilled", "seconds"))),
    }


def _measures(row):
    """The numbers of a row for TensorBoard."""
    return {
        "test": float(np.mean(row["distilled_scores"])),
        "validation": float(np.mean(row["validation_scores"])),
        "parameters": row["parameters"],
        "seconds": row["seconds"],
    }
