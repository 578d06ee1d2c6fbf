"""A run's student as a folder that Hugging Face's transformers reads."""

import keras
import numpy as np

from keras_kd import batch
from keras_kd.atomic_files import read_json
from keras_kd.data.batches import gather_inputs
from keras_kd.evaluation.report import METRICS
from keras_kd.export.errors import ExportError
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.huggingface_export import write_folder
from keras_kd.models.pretrained import load_pretrained
from keras_kd.runs.deployment import VALIDATION_ROWS
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.run_folder import RunFolder

FOLDER = "huggingface"
TOLERANCE = 1e-4
ROWS = 64


def export_huggingface(folder):
    """Writes `RUN/huggingface`, read again before to compare the logits.

    Args:
        folder: Folder of a finished run whose student is a BERT
            (`--student bert`).

    Returns:
        Dictionary: `format`, `file`, `architecture`, `bytes`, `rows` and
        `max_difference` of the logits.

    Raises:
        ConfigurationError: The run has no student, or no rows.
        ValueError: transformers has no architecture for it.
        ExportError: transformers would read or answer in another way, or the
            folder gives other logits.
    """
    run = RunFolder.open(folder)
    student = TrainedStudent(run)
    model, task = student.model, student.task
    refuse_what_transformers_lacks(task, student.tokenizer)
    head = task.task_head
    labels = task.labels if head in ("sequence", "token") else None
    config = config_of(
        model, head, student.tokenizer.pad_id, labels or None, task.name
    )
    rows = student.kept_rows(VALIDATION_ROWS)
    rows = rows.select(np.arange(min(ROWS, len(rows))))
    inputs = gather_inputs(rows, names=batch.input_names(model))
    target = run.folder / FOLDER
    difference = write_folder(
        target,
        model,
        config,
        head,
        student.tokenizer,
        card_of(run, config),
        lambda path: check_logits(
            model, load_pretrained(path, head), inputs, target
        ),
    )
    return report_of(target, config, len(rows), difference)


def report_of(target, config, rows, difference):
    """What `keras-kd export` prints of a folder.

    Args:
        target: The folder.
        config: Its `config.json`.
        rows: How many rows were compared.
        difference: The largest one of their logits.
    """
    return {
        "format": FOLDER,
        "file": FOLDER,
        "architecture": config["architectures"][0],
        "bytes": sum(file.stat().st_size for file in target.iterdir()),
        "rows": rows,
        "max_difference": difference,
    }


def refuse_what_transformers_lacks(task, tokenizer):
    """Refuses students of which a folder would be only a part.

    Args:
        task: The student's task.
        tokenizer: Its `Tokenizer`.

    Raises:
        ExportError: Tags that depend on one another, or words that are cut
            before the tokenizer.
    """
    if getattr(task, "chain", False):
        raise ExportError(
            "transformers' classifiers of tokens give one logit for each tag. "
            f"Received: a student trained with --chain, which gives "
            f"{task.student_outputs} for {task.num_outputs} tags, and finds "
            "the best chain of them. Train one without --chain, or export it "
            "as a SavedModel or .tflite."
        )
    if tokenizer.segmenter is not None:
        raise ExportError(
            "transformers' tokenizers take text as it is. Received: a student "
            f"whose words are cut by {tokenizer.segmenter} before (--tokens "
            f"{tokenizer.segmenter}): it would read other tokens there. Train "
            "one with --tokens character or teacher, or export it as a "
            "SavedModel or .tflite."
        )


def check_logits(model, other, inputs, target):
    """The largest difference of a student and of what was written of it.

    Args:
        model: The student.
        other: What was written, and read again.
        inputs: Dictionary of what both read.
        target: The name of the folder.

    Raises:
        ExportError: It is too large.
    """
    difference = largest_difference(model, other, inputs)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The logits of what would be '{target}' differ from the student's "
            f"by {difference:.2g}, above {TOLERANCE:g}: it was not written. "
            "Please report this with the settings of the run."
        )
    return difference


def largest_difference(model, other, inputs):
    """The largest difference of two models' outputs, over real tokens.

    Args:
        model, other: Models of the same outputs.
        inputs: Dictionary of what they read.
    """
    mask = inputs[batch.PADDING_MASK] == 1
    pairs = zip(
        *(
            keras.tree.flatten(one(batch.select_inputs(one, inputs)))
            for one in (model, other)
        ),
        strict=True,
    )
    largest = 0.0
    for one, two in pairs:
        distance = np.abs(
            keras.ops.convert_to_numpy(one) - keras.ops.convert_to_numpy(two)
        )
        if distance.shape[:2] == mask.shape:
            distance = distance[mask]
        largest = max(largest, float(distance.max()))
    return largest


def card_of(run, config):
    """The model card of a run's student: what it is, and how good.

    Args:
        run: `RunFolder`.
        config: Its `config.json`.
    """
    settings = run.configuration
    made, of = "distilled", f"from `{', '.join(settings.teachers)}` "
    if kept_arm(settings.arms) == "alone":
        made, of = "trained", "on labels alone "
    lines = ["---", "library_name: transformers"]
    if settings.licence:
        lines.append(f"license: {settings.licence}")
    lines += [
        "---",
        "",
        f"# A student {made} with keras_kd",
        "",
        f"`{config['architectures'][0]}`, {made} {of}for {settings.task} of "
        f"texts up to {settings.max_length} tokens.",
        "",
    ]
    if (run.folder / METRICS).exists():
        result = read_json(run.folder / METRICS)
        metric = result["primary_metric"]
        lines += [f"| | {metric} on test |", "|---|---:|"]
        for arm, values in result["arms"].items():
            scores = [seed["scores"][metric] for seed in values["seeds"]]
            lines.append(f"| {arm} | {np.mean(scores):.4f} |")
        if "comparison" in result:
            lines += ["", f"Verdict: {result['comparison']['verdict']}."]
    return "\n".join(lines) + "\n"
