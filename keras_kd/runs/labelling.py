"""The cache of a run's teacher targets, filled before the run."""

from keras_kd.atomic_files import one_at_a_time
from keras_kd.configuration import TASKS_OF_TOKENS
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import Rows
from keras_kd.memory import keep_freed_memory
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.runs import teaching
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.taught_run import TaughtRun
from keras_kd.runs.teacher_checks import verdict_noted
from keras_kd.teachers.beam_labelling import label_with_beam
from keras_kd.teachers.teacher import is_saved_teacher

LOCK = "preparing.lock"


def label(configuration, folder, share=None, beam=None, say=print):
    """Has the teacher label what a run needs, and trains no student.

    A run with the same settings, or any other with the same data, teacher and
    `cache`, then asks the teacher for nothing. What is labelled is not
    labelled again; a process that was killed loses a shard at the most.

    Args:
        configuration: `Configuration`.
        folder: The run folder.
        share: `(i, n)`: only the i-th of n shares, which n processes label at
            the same time, into one cache. The teacher is then examined by the
            run that trains. `None` labels all that is missing.
        beam: List of options of Apache Beam, such as
            `["--runner=FlinkRunner"]`, whose workers then label all but the
            validation rows; `None` labels here.
        say: Function that is told what happens.

    Returns:
        The `TaughtRun`, with its `targets` and `teacher_calls`.

    Raises:
        ConfigurationError: Another run stands in the folder, the teacher of
            shares is not trained yet, or Beam is to run several teachers or
            one of PyTorch.
        DataError: The data can't be used.
        TeacherRefused: The teacher would teach nonsense.
    """
    keep_freed_memory()
    if beam is not None and configuration.task in TASKS_OF_TOKENS:
        raise ConfigurationError(
            "Beam labels whole texts. Received: `task` "
            f"{configuration.task}. Leave --beam out; --shard works."
        )
    if beam is not None and len(configuration.teachers) > 1:
        raise ConfigurationError(
            "Beam runs one teacher. Received: `teacher` "
            f"{configuration.teachers}. Leave --beam out."
        )
    if beam is not None and configuration.teacher_framework != "keras":
        raise ConfigurationError(
            "Beam's workers open teachers of Keras. Received: "
            f"`teacher_framework` {configuration.teacher_framework}. Leave "
            "--beam out; --shard works."
        )
    run = RunFolder.start(folder, configuration, say=say)
    taught = TaughtRun(configuration, run, say)
    say("Reading and tokenising the data ...")
    with one_at_a_time(taught.cache / LOCK):
        taught.prepare()
    if share is not None:
        taught.label_share(*share)
    else:
        with verdict_noted(run):
            taught.prepare_teacher()
        if beam is not None:
            _label_with_beam(taught, beam, say)
        taught.label()
    targets = taught.targets
    say(
        f"The teacher labelled {taught.teacher_calls} rows now. Targets: "
        f"{len(targets)} in {targets.folder}"
    )
    return taught


def _label_with_beam(taught, options, say):
    """Labels what is no validation row on the workers of Beam."""
    configuration, targets = taught.configuration, taught.targets
    teacher = taught.run.teacher_folder
    if not is_saved_teacher(teacher):
        (teacher,) = configuration.teachers
    if not is_saved_teacher(teacher):
        teacher = resolve_folder(teacher)
    taught.targets = label_with_beam(
        teacher,
        Rows.join([taught.rows.training, taught.rows.test]),
        targets.folder,
        options,
        make_runtime=_RUNTIMES[configuration.teacher_runtime],
        fingerprint=targets.fingerprint,
        say=say,
    )


def _litert_int8(teacher, folder):
    """What runs the teacher in a worker; it stands above the targets."""
    return teaching.teacher_runtime(teacher, "litert-int8", folder.parents[1])


_RUNTIMES = {"keras": None, "litert-int8": _litert_int8}
