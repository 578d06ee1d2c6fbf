"""The commands that ask a run's student: evaluate and predict."""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command_on_run
from keras_kd.commands.parsers import count
from keras_kd.configuration.errors import refuse
from keras_kd.configuration.setting_flags import DESCRIPTIONS
from keras_kd.configuration.setting_flags import add_some_settings
from keras_kd.configuration.setting_flags import typed_settings
from keras_kd.data.errors import DataError

# How a file is read: a run's settings that another file may have others of.
READING = ("text", "text_pair", "label", "delimiter", "encoding", "labels")


def add_student(commands):
    """Adds the commands."""
    command = add_command_on_run(
        commands, "evaluate", "score a run's student on a file", _evaluate
    )
    command.add_argument(
        "--data", required=True, help="labelled rows", metavar="FILE"
    )
    command.add_argument(
        "--split", help="split, where --data is a tfds:NAME", metavar="NAME"
    )
    command.add_argument(
        "--file",
        help="score this .tflite of the run instead of the student",
        metavar="FILE",
    )
    add_some_settings(
        command,
        "columns",
        READING,
        "Where --data has others than the run's files; --labels are its names\n"
        f"of the run's classes, in their order.\n{DESCRIPTIONS['data']}",
    )

    command = add_command_on_run(
        commands, "predict", "the student's answers for texts", _predict
    )
    command.add_argument(
        "texts",
        nargs="*",
        help="texts; without any, a line each from stdin. Of a run on pairs: "
        "two texts each, or on a line with a tab between; of question "
        "answering: a question and a text",
    )
    command.add_argument(
        "--answers",
        type=count,
        default=1,
        help="of question answering: print so many of the best (default: 1)",
        metavar="N",
    )


def _evaluate(options):
    student = _open_student(options.run)
    reading = typed_settings(options)
    _check_reading(reading, student)
    settings = dataclasses.replace(
        student.run.configuration, test=options.data, **reading
    )
    if options.split is not None:
        settings.test_split = options.split
    from keras_kd.runs.run_sources import read_part

    examples = read_part(settings, "test")
    if "labels" in reading:
        examples = _named_as_in_run(examples, reading["labels"], student.task)
    with tempfile.TemporaryDirectory() as folder:
        scores = student.score(examples, Path(folder) / "rows", options.file)
    print(json.dumps(scores, indent=2, ensure_ascii=False))


def _check_reading(reading, student):
    """Refuses a second text, or names of classes, that the run has not."""
    value = reading.get("text_pair")
    if value is not None and student.run.configuration.text_pair is None:
        refuse("text_pair", value, "left out for a run that is not on pairs")
    names = reading.get("labels")
    if names is None:
        return
    task = student.task
    if task.name != "classification":
        refuse("labels", names, f"left out for a run on {task.name}")
    if len(set(names)) < len(names) or len(names) != task.num_outputs:
        refuse(
            "labels", names,
            f"{task.num_outputs} different names, those that the file has for "
            f"{task.labels} in this order",
        )  # fmt: skip


def _named_as_in_run(examples, names, task):
    """Examples whose classes have the run's names instead of a file's."""
    from keras_kd.tasks.text_classification import TextClassification

    classes = TextClassification(names)
    for example in examples:
        label = example.label
        if label is not None:
            number = classes.encode_label(label, example.example_id)
            label = task.labels[number]
        yield dataclasses.replace(example, label=label)


def _predict(options):
    student = _open_student(options.run)
    if student.task.name == "question_answering":
        texts = _pairs(options.texts, "a question and a text")
    elif student.run.configuration.text_pair is not None:
        texts = _pairs(options.texts, "two texts")
    else:
        texts = options.texts or (line.rstrip("\n") for line in sys.stdin)
    for text in texts:
        ((answer, probability),) = student.predict([text])
        asked = [text] if isinstance(text, str) else text
        ranked = [(answer, probability)]
        if options.answers > 1:
            ranked += student.task.further(answer)[: options.answers - 1]
        for answer, probability in ranked:
            columns = [student.task.show(answer), *asked]
            if probability is not None:
                columns.insert(1, f"{probability:.3f}")
            print(*columns, sep="\t")


def _pairs(texts, expected):
    """The pairs of texts that were typed, or stand on standard input."""
    if not texts:
        for number, line in enumerate(sys.stdin, 1):
            pair = tuple(line.rstrip("\n").split("\t"))
            if len(pair) != 2:
                raise DataError(
                    f"Line {number} has {len(pair)} columns. Expected "
                    f"{expected} with a tab between, for each answer."
                )
            yield pair
    if len(texts) % 2:
        raise DataError(
            f"Expected {expected} for each answer. Received: {len(texts)} "
            f"{'text' if len(texts) == 1 else 'texts'}. Put each in quotes."
        )
    yield from zip(texts[::2], texts[1::2])


def _open_student(folder):
    load_keras()
    from keras_kd.runs.deployment import TrainedStudent
    from keras_kd.runs.run_folder import RunFolder

    return TrainedStudent(RunFolder.open(folder))
