"""What Keras' own callback for TensorBoard does not show of a distillation."""

import keras
import numpy as np

from keras_kd import batch
from keras_kd.data.batches import gather_inputs
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.evaluation.tables import markdown_table
from keras_kd.schedules import value_at

EXAMPLES = 8


class DistillationLog(keras.callbacks.Callback):
    """Writes weights, temperatures and answers for TensorBoard.

    `keras.callbacks.TensorBoard` has each loss, each metric and the learning
    rate. This one stands beside it, in a folder of its own, with what is
    needed to understand them:

    | tag | at the end of each epoch |
    |---|---|
    | `weight/LOSS` | what the loss was multiplied by in the last step |
    | `temperature/LOSS` | its temperature in the last step; where each example has one of its own, that of an average one |
    | `predictions` | what the student says of a few texts, always the same |

    The x axis counts steps of the optimizer.

    Args:
        folder: Folder of the events.
        rows: `Rows` of which the first few examples are shown; `None` for no
            predictions.
        task: The task, which says what logits mean.

    Example:

    ```python
    distiller.fit(
        batches,
        callbacks=[
            keras.callbacks.TensorBoard("logs"),
            DistillationLog("logs/distillation", validation_rows, task),
        ],
    )
    ```
    """  # noqa: E501

    def __init__(self, folder, rows=None, task=None):
        super().__init__()
        self.folder = folder
        self.rows = rows
        self.task = task

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        step = self.model.steps_made
        with self._writer.as_default(step=step):
            # The values that the step began with: it has been counted since.
            for name, value in self._settings(max(step - 1, 0)).items():
                tf.summary.scalar(name, value)
            if self.rows is not None:
                tf.summary.text("predictions", self._predictions())
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()

    def _settings(self, step):
        """Weights and temperatures at a step, by tag."""
        losses = self.model.losses_by_name
        values = {"weight/hard_labels": self.model.hard_label_weight}
        for name, loss in losses.items():
            values[f"weight/{name}"] = loss.weight
            temperature = getattr(loss, "temperature", None)
            # Where each example has one of its own: that of an average one.
            temperature = getattr(temperature, "temperature", temperature)
            if temperature is not None:
                values[f"temperature/{name}"] = temperature
        return {
            name: float(value_at(value, step)) for name, value in values.items()
        }

    def _predictions(self):
        """A Markdown table of the student's answers."""
        starts = np.ones(len(self.rows), bool)
        if "window" in self.rows.columns:  # Several rows may be one example.
            starts = self.rows.column("window") == 0
        shown = np.cumsum(starts) <= EXAMPLES
        rows, firsts = self.rows.select(shown), np.flatnonzero(starts[shown])
        student = self.model.student
        inputs = gather_inputs(rows, names=batch.input_names(student))
        outputs = batch.named_outputs(student(inputs, training=False))
        logits = keras.ops.convert_to_numpy(outputs[batch.LOGITS])
        logits = logits.astype("float32")
        if self.task.per_token:
            lengths = rows.lengths(batch.TOKEN_IDS)
            logits = TokenOutputs.join(
                [row[:length] for row, length in zip(logits, lengths)]
            )
        answers = self.task.answers(
            self.task.select_outputs(logits, rows), rows
        )
        return "\n".join(
            markdown_table(
                {
                    "text": [_text(rows, position) for position in firsts],
                    "answer": [
                        str(self.task.show(answer)) for answer, _ in answers
                    ],
                    "probability": [
                        "" if probability is None else f"{probability:.3f}"
                        for _, probability in answers
                    ],
                }
            )
        )


def _text(rows, position):
    names = ("text", "text_pair", "words", "question", "context")
    return " / ".join(
        rows.text(name, position) for name in names if name in rows.columns
    )
