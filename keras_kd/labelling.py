"""The cache of a run's teacher targets, filled before the run."""

from keras_kd import teaching
from keras_kd.atomic_files import one_at_a_time
from keras_kd.memory import keep_freed_memory
from keras_kd.run_folder import RunFolder
from keras_kd.taught_run import TaughtRun

LOCK = "preparing.lock"


def label(configuration, folder, share=None, say=print):
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
        say: Function that is told what happens.

    Returns:
        The `TaughtRun`, with its `targets` and `teacher_calls`.

    Raises:
        ConfigurationError: Another run stands in the folder, or the teacher
            of shares is not trained yet.
        DataError: The data can't be used.
        TeacherRefused: The teacher would teach nonsense.
    """
    keep_freed_memory()
    run = RunFolder.start(folder, configuration, say=say)
    taught = TaughtRun(configuration, run, say)
    say("Reading and tokenising the data ...")
    with one_at_a_time(taught.cache / LOCK):
        taught.prepare()
    if share is not None:
        taught.label_share(*share)
    else:
        try:
            taught.prepare_teacher()
        except teaching.TeacherRefused as error:
            run.refuse_teacher(str(error))
            raise
        run.accept_teacher()
        taught.label()
    targets = taught.targets
    say(
        f"The teacher labelled {taught.teacher_calls} rows now. Targets: "
        f"{len(targets)} in {targets.folder}"
    )
    return taught
