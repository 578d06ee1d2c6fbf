"""What a model gives on rows, and how it scores there."""

from keras_kd.inference import predict_rows
from keras_kd.progress import progress_bar


def score(runtime, task, rows):
    """The task's primary metric of a model on rows, and the mean loss."""
    logits = predict(task, runtime, rows, "validating")
    scores = task.scores(logits, task.references(rows))
    return scores[task.primary_metric], scores[task.loss_of_scores]


def predict(task, runtime, rows, what):
    """The logits of all rows that a task scores, with a progress bar."""
    with progress_bar(what, len(rows)) as advance:
        logits = predict_rows(
            runtime, rows, progress=advance, per_token=task.per_token
        )
    return task.select_outputs(logits, rows)
