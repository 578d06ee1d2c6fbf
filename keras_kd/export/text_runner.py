"""Running a LiteRT file that takes text. Needs tensorflow_text."""

from pathlib import Path

import numpy as np

from keras_kd.export.attachments import read_attachments
from keras_kd.export.standard_error import held_back
from keras_kd.export.standard_error import is_no_note

FORMAT = "litert-text"


class LiteRTTextModel:
    """A `.tflite` file that takes a text, tokenizer and all.

    The tokenizer's operations are tensorflow_text's: an app links them
    (`SELECT_TFTEXT_OPS`), here the Python package brings them.

    Args:
        path: The file.
        num_threads: Threads of the interpreter.

    Attributes:
        path: The file.
        length: Number of tokens that are read of a text.
        input_details: What the interpreter says of the input, by name.
        output_details: The same of the outputs.
        labels: Names of the classes, `None` where the file holds none.
        metadata: What the exporter wrote into the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It can't be run.

    Example:

    >>> model = LiteRTTextModel("student_text_dynamic.tflite")
    >>> model.labels[model.predict(["A fine film."])[0].argmax()]
    'positive'
    """

    def __init__(self, path, num_threads=1):
        from ai_edge_litert.interpreter import InterpreterWithCustomOps

        with held_back():  # TensorFlow comes with it, and reports drivers.
            from tensorflow_text.core.pybinds import tflite_registrar

        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file {self.path}.")
        try:
            with held_back(keep=is_no_note):
                self._interpreter = InterpreterWithCustomOps(
                    model_path=str(self.path),
                    num_threads=num_threads,
                    custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS,
                )
                self._run = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{self.path} can't be run with tensorflow_text's operations: "
                f"{error}. Export it again with --format {FORMAT}."
            ) from error
        self.input_details = self._run.get_input_details()
        self.output_details = self._run.get_output_details()
        self.labels, self.metadata = read_attachments(self.path)
        self.length = self.metadata.get("max_length")

    def predict(self, texts, progress=None):
        """The logits of texts, one after the other: float32 `[texts, ...]`.

        Args:
            texts: List of strings.
            progress: Function that is told how many were done.
        """
        (name,) = self.input_details
        rows = []
        for text in texts:
            (outputs,) = self._run(**{name: np.array([text.encode()])}).values()
            rows.append(outputs)
            if progress is not None:
                progress(1)
        return np.concatenate(rows)


def takes_text(path):
    """Whether a `.tflite` of ours takes text."""
    _, metadata = read_attachments(Path(path))
    return metadata.get("format") == FORMAT
