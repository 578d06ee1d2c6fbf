"""Tasks by name, for configurations and saved runs."""

from keras_kd.tasks.multi_label_classification import MultiLabelClassification
from keras_kd.tasks.question_answering import QuestionAnswering
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.tasks.text_regression import TextRegression
from keras_kd.tasks.token_tagging import TokenTagging

TASKS = {
    task.name: task
    for task in (
        TextClassification,
        MultiLabelClassification,
        TextRegression,
        TokenTagging,
        QuestionAnswering,
    )
}


def build_task(name, labels=None, metric=None, **settings):
    """Builds a task from what `Task.to_dict` gives.

    Args:
        name: One of `TASKS`.
        labels: Class names in the order of the logits; none for regression
            and question answering.
        metric: The primary metric, or `None` for the task's default.
        **settings: Further arguments of the task.

    Raises:
        ValueError: Another name.
    """
    if name not in TASKS:
        raise ValueError(
            f"The task must be one of {sorted(TASKS)}. Received: {name!r}."
        )
    if labels is not None:
        settings["labels"] = labels
    return TASKS[name](metric=metric, **settings)
