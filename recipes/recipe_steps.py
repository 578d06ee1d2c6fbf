"""What a recipe does before and after its run."""

import dataclasses
import json
import tempfile
from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json

PARTS = ("train", "validation", "test", "unlabelled")


def write_parts(chosen, settings, folder):
    """Writes the chosen examples of a run's parts, and all of the others.

    They are written anew each time: nothing of another choice is ever read.

    Args:
        chosen: Dictionary from parts to iterables of `Example`.
        settings: `Configuration` that reads the other parts.
        folder: Where to.

    Returns:
        The settings that read what was written.
    """
    from keras_kd.runs.run_sources import read_part

    if not chosen:
        return {}
    names = ["text", "text_pair"]
    changed = {"text": "text", "label": "label", "text_pair": None}
    changed |= {"delimiter": None, "encoding": "utf-8"}
    if settings.text_pair is not None:
        changed["text_pair"] = "text_pair"
    for part in PARTS:
        if part not in chosen and getattr(settings, part) is None:
            continue
        examples = chosen[part] if part in chosen else read_part(settings, part)
        path = Path(folder) / f"{part}.jsonl"
        with write_aside(path) as temporary:
            with open(temporary, "w", encoding="utf-8") as file:
                for example in examples:
                    row = dict(zip(names, example.fields), label=example.label)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        changed[part] = str(path)
    return changed


def make_teacher(settings, tokens, folder):
    """Saves an untrained teacher with a vocabulary of the training rows.

    One that was made of the same things before is left as it is.

    Returns:
        The teacher's folder.
    """
    import keras

    from keras_kd.runs.run_sources import find_task
    from keras_kd.runs.run_sources import read_part
    from keras_kd.runs.taught_run import short_hash
    from keras_kd.teachers.fresh import fresh_teacher
    from keras_kd.teachers.target_shards import file_hash
    from keras_kd.teachers.teacher import is_saved_teacher

    task = find_task(settings, None)
    seed = settings.seeds[0]
    made_of = [settings.train, settings.train_split, task.to_dict(), tokens]
    made_of += [settings.vocabulary_size, settings.max_length, seed]
    # The vocabulary is of the words that are read, not of the path.
    made_of += [settings.text, settings.text_pair, settings.label]
    made_of += [settings.encoding, settings.delimiter]
    if Path(settings.train).is_file():
        made_of.append(file_hash(settings.train))
    path = Path(folder) / f"teacher-{short_hash(made_of)}"
    if not is_saved_teacher(path):
        keras.utils.set_random_seed(seed)
        print(
            "Making a teacher from scratch ...\n  It will know nothing but its "
            "training rows: a comparison says something only\n  where it is "
            "clearly better than the student alone."
        )
        fresh_teacher(
            (
                text
                for example in read_part(settings, "train")
                for text in example.fields
            ),
            task.num_outputs,
            tokens,
            settings.vocabulary_size,
            max_length=settings.max_length,
            labels=task.labels,
            per_token=task.per_token,
        ).save(path)
    return str(path)


def prepare_alone(settings, folder):
    """Reads, tokenises and counts the data of a run, and trains nothing."""
    from keras_kd.evaluation.report_sections import data_section
    from keras_kd.runs.compare import Comparison
    from keras_kd.runs.run_folder import RunFolder

    comparison = Comparison(settings, RunFolder.start(folder, settings))
    comparison.prepare()
    rows, labels = comparison.rows, comparison.task.labels
    print(*data_section({"data": rows.counts, "labels": labels}), sep="\n")
    for warning in rows.warnings:
        print(f"Warning: {warning}")
    print(
        f"Nothing was trained. The rows are in {comparison.cache}; the same "
        "command without `--mode prepare` goes on from there."
    )


def score_further(folder, further):
    """Prints, and keeps, the student's scores on further test sets."""
    from keras_kd.runs.deployment import TrainedStudent
    from keras_kd.runs.run_folder import RunFolder
    from keras_kd.runs.run_sources import read_part

    if not further:
        return
    student = TrainedStudent(RunFolder.open(folder))
    metric = student.task.primary_metric
    for name, changed in further.items():
        settings = dataclasses.replace(student.run.configuration, **changed)
        with tempfile.TemporaryDirectory() as rows:
            scores = student.score(
                read_part(settings, "test"), Path(rows) / "rows"
            )
        path = Path(folder) / f"scores_{name}.json"
        write_json(path, scores)
        print(
            f"The student, {name}: {metric} {scores[metric]:.4f} on "
            f"{scores['rows']} rows ({path})"
        )
