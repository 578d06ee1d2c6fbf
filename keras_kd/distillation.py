"""A whole run: from files and a teacher to a verified student and report."""

import keras

from keras_kd.atomic_files import read_json
from keras_kd.compare import Comparison
from keras_kd.deployment import TrainedStudent
from keras_kd.evaluation.machine import machine_description
from keras_kd.evaluation.report import METRICS
from keras_kd.evaluation.report import console_table
from keras_kd.evaluation.report import write_report
from keras_kd.memory import keep_freed_memory
from keras_kd.run_folder import RunFolder
from keras_kd.teachers.cache import file_hash
from keras_kd.training import STUDENT_FILE


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
        ExportError: An exported file failed its verification.
    """
    keep_freed_memory()
    run = RunFolder.start(folder, configuration)
    comparison = Comparison(configuration, run, callbacks=tensorboard, say=say)
    result = comparison.execute()
    result["command"] = command
    result["machine"] = machine_description()
    result["exports"] = []
    if "distilled" in configuration.arms:
        before = _student_hash(run)
        student = TrainedStudent.keep(comparison)
        done = _earlier_exports(run) if _student_hash(run) == before else {}
        formats = ["saved_model", *configuration.export]
        missing = [name for name in formats if name not in done]
        if missing:
            say("Writing and verifying the SavedModel and the .tflite ...")
        done.update({name: _export(student, name) for name in missing})
        result["exports"] = list(done.values())
        _score_files(student, result, comparison.rows.test, say)
    write_report(run.folder, result)
    say("\n" + console_table(result))
    say(f"\nRun folder: {run.folder}\nReport:     {run.folder / 'report.md'}")
    return result


def export_again(folder, formats):
    """Exports a finished run's student once more, and renews its report.

    Args:
        folder: The run folder.
        formats: List of `"saved_model"`, `"float32"`, `"float16"`,
            `"dynamic"`.

    Returns:
        The reports of the exported files.
    """
    run = RunFolder.open(folder)
    student = TrainedStudent(run)
    reports = [_export(student, name) for name in formats]
    result = read_json(run.folder / METRICS)
    files = {report["file"] for report in reports}
    result["exports"] = [
        *(old for old in result["exports"] if old["file"] not in files),
        *reports,
    ]
    write_report(run.folder, result)
    return reports


def _export(student, name):
    if name == "saved_model":
        return student.export_saved_model()
    return student.export_litert(name)


def _score_files(student, result, test, say):
    """Scores each `.tflite` on the test rows, beside the Keras student."""
    metric = result["primary_metric"]
    keras_score = student.score_rows(test)[metric]
    for report in result["exports"]:
        if report["format"] != "litert":
            continue
        if "scores" not in report:
            file = student.folder / report["file"]
            report["scores"] = student.score_rows(test, file)
        say(
            f"  {report['file']}: {metric} {report['scores'][metric]:.4f} on "
            f"{len(test)} test rows (Keras: {keras_score:.4f})"
        )


def _student_hash(run):
    """The hash of the student that stands in the run folder, if one does."""
    file = run.folder / STUDENT_FILE
    return file_hash(file) if file.exists() else None


def _earlier_exports(run):
    """The reports of the run's exported files by format, if they are there."""
    if not (run.folder / METRICS).exists():
        return {}
    return {
        report.get("quantization", "saved_model"): report
        for report in read_json(run.folder / METRICS)["exports"]
        if (run.folder / report["file"]).exists()
    }


def tensorboard(arm, seed, folder):
    """Scalars of every loss and of the validation, for TensorBoard."""
    return [keras.callbacks.TensorBoard(folder / "tensorboard")]
