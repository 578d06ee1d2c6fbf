"""A whole run: from files and a teacher to a verified student and report."""

import shutil
from pathlib import Path

import keras

from keras_kd.atomic_files import read_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import copy_rows
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.report import METRICS
from keras_kd.evaluation.report import console_table
from keras_kd.evaluation.report import write_report
from keras_kd.evaluation.result import arm_title
from keras_kd.export.errors import ExportError
from keras_kd.export.text_runner import FORMAT as TEXT
from keras_kd.memory import keep_freed_memory
from keras_kd.runs.compare import Comparison
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation_log import DistillationLog
from keras_kd.runs.exported_student import ExportedStudent
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.run_times import run_times
from keras_kd.runs.student_files import MEDIAPIPE
from keras_kd.runs.student_files import StudentFiles
from keras_kd.runs.teacher_checks import verdict_noted
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.teachers.target_shards import file_hash

TEST_ROWS = "test_rows"


def distill(configuration, folder, command="", say=print):
    """Trains and compares the arms, exports the student, writes the report.

    Run again with the same settings, it goes on where it was stopped, and
    does nothing twice.

    Args:
        configuration: `Configuration`.
        folder: The run folder.
        command: The command line, for the report.
        say: Function that is told what happens.

    Returns:
        The result dictionary of the report.

    Raises:
        ConfigurationError: Another run stands in the folder.
        DataError: The data can't be used.
        TeacherRefused: The teacher would teach nonsense.
        ExportError: An exported file failed its verification. All else is
            done, and in the report.
    """
    keep_freed_memory()
    run = RunFolder.start(folder, configuration, say=say)
    comparison = Comparison(configuration, run, say=say)
    comparison.callbacks = tensorboard(comparison)
    with verdict_noted(run):
        result = comparison.execute()
    result["command"] = command
    result["machine"] = machine_description()
    result["exports"], failures = [], []
    if kept_arm(configuration.arms) is not None:
        before = _student_hash(run)
        earlier, licence = _earlier_exports(run)
        student = TrainedStudent.keep(comparison)
        test = comparison.student_rows.test
        copy_rows(run.folder / TEST_ROWS, test)
        done = earlier
        if _student_hash(run) != before:
            # Files of another student would be taken for this one's.
            for report in earlier.values():
                _remove(run.folder / report["file"])
            done = {}
        if licence != configuration.licence:
            # Each file but the SavedModel names it.
            done = {n: one for n, one in done.items() if n == "saved_model"}
        wanted = dict.fromkeys(["saved_model", *configuration.export, *earlier])
        missing = [name for name in wanted if name not in done]
        if missing:
            say("Writing and verifying the SavedModel and the .tflite ...")
        # Also a length, say, that its rows are too long for.
        errors = (ExportError, ValueError)
        written, failures = _write_files(student, missing, errors)
        result["exports"] = list({**done, **written}.values())
        result["warnings"] += failures
        metric = result["primary_metric"]
        _score_files(student, result["exports"], metric, test, say)
        result["run_times"] = _run_times(student, comparison, result["exports"])
    write_report(run.folder, result)
    say("\n" + console_table(result))
    say(f"\nRun folder: {run.folder}\nReport:     {run.folder / 'report.md'}")
    if failures:
        raise ExportError(
            f"{' '.join(failures)} All else is done, and stands in "
            f"{run.folder / 'report.md'}. Leave the file out of --export, or "
            "try it again with `keras-kd export`."
        )
    return result


def export_again(folder, formats, say=lambda text: None):
    """Exports a finished run's student once more, and renews its report.

    The files are scored on the run's test rows, as `distill` does it; those
    that are not written again keep their scores.

    Args:
        folder: The run folder.
        formats: List of names: see `StudentFiles.write`.
        say: Function that is told what happens.

    Returns:
        The reports of the exported files.

    Raises:
        ConfigurationError: The run has no student or no rows, or is not
            finished.
        ExportError: An exported file failed its verification. The others are
            written.
    """
    run = RunFolder.open(folder)
    student = TrainedStudent(run)
    result = read_result(run)
    test = student.kept_rows(TEST_ROWS)
    written, failures = _write_files(student, formats, ExportError)
    reports = list(written.values())
    _score_files(student, reports, result["primary_metric"], test, say)
    new = {report["file"]: report for report in reports}
    old = {report["file"]: report for report in result["exports"]}
    result["exports"] = list({**old, **new}.values())
    # One that could not be written before may be there now.
    outdated = tuple(_failure(name) for name in written)
    result["warnings"] = [
        warning
        for warning in result["warnings"]
        if not warning.startswith(outdated)
    ]
    if reports:
        write_report(run.folder, result)
    if failures:
        raise ExportError(" ".join(failures))
    return reports


def _write_files(student, names, errors):
    """The reports of files by their names, and what went wrong with others.

    A file that fails its check is to cost neither the other files nor the
    report of a training that took hours.
    """
    reports, failures = {}, []
    for name in names:
        try:
            reports[name] = StudentFiles(student).write(name)
        except errors as error:
            failures.append(f"{_failure(name)} {error}")
    return reports, failures


def _failure(name):
    return f"The file '{name}' was not written:"


def read_result(run):
    """The result of a finished run, as its report has it.

    Raises:
        ConfigurationError: It was not finished.
    """
    if not (run.folder / METRICS).exists():
        raise ConfigurationError(
            f"The run in '{run.folder}' has no {METRICS}: it was not finished. "
            "Start `keras-kd distill` again with the same settings; it goes on "
            "where it stopped."
        )
    return read_json(run.folder / METRICS)


def _score_files(student, reports, metric, test, say):
    """Scores each `.tflite` on the test rows, beside the Keras student."""
    for report in reports:
        if report["format"] in (MEDIAPIPE, TEXT):
            _score_in_client(student, report, metric, test, say)
    reports = [one for one in reports if one["format"] == "litert"]
    if not reports:
        return
    keras_score = student.score_rows(test)[metric]
    for report in reports:
        if "scores" not in report:
            file = student.folder / report["file"]
            report["scores"] = student.score_rows(test, file)
        say(
            f"  {report['file']}: {metric} {report['scores'][metric]:.4f} on "
            f"{len(test)} test rows (Keras: {keras_score:.4f})"
        )


def _score_in_client(student, report, metric, test, say):
    """Scores a file on texts as it, or MediaPipe's client, reads them."""
    if "client" not in report:
        client = ExportedStudent(student, report["file"]).compare(test)
        report["client"] = client
        report["scores"] = {metric: client["score_client"]}
    client = report["client"]
    say(
        f"  {report['file']}: {metric} {client['score_client']:.4f} on "
        f"{client['rows']} test rows as the client reads them (Keras: "
        f"{client['score_keras']:.4f}); it reads other tokens in "
        f"{client['rows_with_other_tokens']} rows and decides otherwise on "
        f"{client['other_decisions']}."
    )
    for warning in report.get("warnings", ()):
        say(f"  {warning}")


def _run_times(student, comparison, reports):
    """What a text costs in the teacher, the student and its files."""
    from keras_kd.export.litert_runner import LiteRTModel

    own = comparison.student_rows.test
    models = {
        "teacher": (comparison.teacher.model, comparison.rows.test),
        arm_title(kept_arm(comparison.configuration.arms)): (
            student.model,
            own,
        ),
    }
    for report in reports:
        if report["format"] == "litert":
            file = student.folder / report["file"]
            models[report["file"]] = (LiteRTModel(file), own)
    return run_times(models)


def _student_hash(run):
    """The hash of the student that stands in the run folder, if one does."""
    file = run.folder / STUDENT_FILE
    return file_hash(file) if file.exists() else None


def _remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _earlier_exports(run):
    """The reports of the files that are there, by format; their licence."""
    if not (run.folder / METRICS).exists():
        return {}, None
    result = read_json(run.folder / METRICS)
    exports = {
        _export_name(report): report
        for report in result.get("exports", ())
        if (run.folder / report["file"]).exists()
    }
    return exports, result["configuration"]["licence"]


def _export_name(report):
    """What `StudentFiles.write` was asked for."""
    _, _, length = Path(report["file"]).stem.partition("_length_")
    name = report.get("quantization", "saved_model")
    if report["format"] in (MEDIAPIPE, TEXT):
        name = f"{report['format']}/{name}"
    return f"{name}/{length}" if length else name


def tensorboard(comparison):
    """The callbacks of each training of a comparison, for TensorBoard.

    Args:
        comparison: `Comparison`.

    Returns:
        A function for its `callbacks`.
    """

    def callbacks(arm, seed, folder):
        folder = folder / "tensorboard"
        rows, task = comparison.student_rows.validation, comparison.task
        return [
            keras.callbacks.TensorBoard(folder),
            DistillationLog(folder / "distillation", rows, task),
        ]

    return callbacks
