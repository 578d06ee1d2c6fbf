"""Running a LiteRT file. Needs ai-edge-litert and NumPy, not TensorFlow."""

from pathlib import Path

import numpy as np

from keras_kd.export.attachments import read_attachments
from keras_kd.export.standard_error import held_back


class LiteRTModel:
    """A `.tflite` file that takes a batch of features, as a Keras model does.

    Args:
        path: The file.
        num_threads: Threads of the interpreter.

    Attributes:
        path: The file.
        num_threads: Threads of the interpreter.
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        length: Number of tokens that the file takes, `None` for any.
        labels: Names of the classes, `None` where the file holds none.
        metadata: What the exporter wrote into the file; `{}` if nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a LiteRT file, needs operations that the runtime
            has not, or has no signature.

    Example:

    >>> model = LiteRTModel("student.tflite")
    >>> logits = model.predict({"token_ids": ids, "padding_mask": mask})
    >>> model.labels[logits[0].argmax()]
    'positive'
    """

    def __init__(self, path, num_threads=1):
        from ai_edge_litert.interpreter import Interpreter

        self.path = Path(path)
        self.num_threads = num_threads
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file {self.path}.")
        try:
            # The runtime says there which delegates it has made.
            with held_back(keep=_is_no_note):
                self._interpreter = Interpreter(
                    model_path=str(self.path), num_threads=num_threads
                )
                signatures = self._interpreter.get_signature_list()
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{self.path} can't be run by ai-edge-litert: {error}. Export "
                "it again, with built-in operations only."
            ) from error
        if not signatures:
            raise ValueError(
                f"{self.path} has no signature, so its inputs have no names. "
                "Export it with keras_kd, or convert it from a SavedModel."
            )
        runner = self._interpreter.get_signature_runner(next(iter(signatures)))
        self._inputs = runner.get_input_details()
        self._outputs = runner.get_output_details()
        self.input_names = list(self._inputs)
        self.output_names = list(self._outputs)
        shape = self._inputs[self.input_names[0]]["shape_signature"]
        self._batch_size, self.length = (
            None if size < 0 else int(size) for size in shape
        )
        self._shape = None
        self.labels, self.metadata = read_attachments(self.path)

    def predict(self, features, progress=None):
        """Runs the file on a batch of rows.

        Args:
            features: Dictionary of integer arrays `[rows, length]`, padded on
                the right with 0. Rows shorter than the file's length are
                padded here. Entries that the file has no input for are left
                out.
            progress: Function that is told how many rows were done.

        Returns:
            Float32 `[rows, ...]`; a dictionary of them by name where the file
            has several outputs.

        Raises:
            KeyError: An input of the file is missing.
            ValueError: The rows are longer than the file takes.
        """
        features = self._prepare(features)
        rows = len(next(iter(features.values())))
        step = self._batch_size or max(rows, 1)
        if rows % step:
            raise ValueError(
                f"{self.path} takes batches of {step}. Received: {rows} rows."
            )
        pieces = {name: [] for name in self.output_names}
        for start in range(0, rows, step):
            outputs = self._run(
                {name: x[start : start + step] for name, x in features.items()}
            )
            for name, value in outputs.items():
                pieces[name].append(value)
            if progress is not None:
                progress(step)
        results = {
            name: np.concatenate(values)
            if values
            else np.zeros((0, *self._outputs[name]["shape"][1:]), np.float32)
            for name, values in pieces.items()
        }
        if len(results) == 1:
            return next(iter(results.values()))
        return results

    def _prepare(self, features):
        missing = [name for name in self.input_names if name not in features]
        if missing:
            raise KeyError(
                f"{self.path} needs the inputs {self.input_names}. Received: "
                f"{sorted(features)}. Missing: {missing}."
            )
        prepared = {}
        for name in self.input_names:
            x = np.asarray(features[name], dtype=self._inputs[name]["dtype"])
            if self.length is not None:
                if x.shape[1] > self.length:
                    raise ValueError(
                        f"{self.path} takes {self.length} tokens. Received: "
                        f"rows of {x.shape[1]}. Cut the texts to that length."
                    )
                x = np.pad(x, ((0, 0), (0, self.length - x.shape[1])))
            prepared[name] = x
        return prepared

    def _run(self, inputs):
        shape = next(iter(inputs.values())).shape
        if shape != self._shape:
            for name, x in inputs.items():
                self._interpreter.resize_tensor_input(
                    self._inputs[name]["index"], x.shape
                )
            self._interpreter.allocate_tensors()
            self._shape = shape
        for name, x in inputs.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], x)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(details["index"])
            for name, details in self._outputs.items()
        }


def _is_no_note(line):
    return not line.startswith(b"INFO:")
