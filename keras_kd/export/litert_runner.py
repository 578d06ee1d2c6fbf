"""Running a LiteRT file. Needs ai-edge-litert and NumPy, not TensorFlow."""

from pathlib import Path

import numpy as np

from keras_kd.batch import PADDING_MASK
from keras_kd.batch import named_outputs
from keras_kd.export.attachments import read_attachments
from keras_kd.export.standard_error import held_back
from keras_kd.export.standard_error import is_no_note

# Shorter rows keep some padding: a student may ask for two neighbours.
SHORTEST = 8


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
        input_details: What the interpreter says of each input, by name.
        output_details: The same of the outputs.
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
            with held_back(keep=is_no_note):
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
        self.input_details = runner.get_input_details()
        self.output_details = runner.get_output_details()
        self.input_names = list(self.input_details)
        self.output_names = list(self.output_details)
        shape = self.input_details[self.input_names[0]]["shape_signature"]
        self._batch_size, self.length = (
            None if size < 0 else int(size) for size in shape
        )
        # An output for each token is given as long as the rows.
        self._trims = (
            self._batch_size == 1
            and self.length is None
            and all(
                (output["shape_signature"][1:] > 0).all()
                for output in self.output_details.values()
            )
        )
        self._shape = None
        self.labels, self.metadata = read_attachments(self.path)

    def predict(self, features, progress=None):
        """Runs the file on a batch of rows.

        Args:
            features: Dictionary of integer arrays `[rows, length]`, padded on
                the right with 0. Rows shorter than the file's length are
                padded here; a file that takes one row of any length is given
                each without its padding. Entries that the file has no input
                for are left out.
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
            rows_of_step = slice(start, start + step)
            outputs = self._run(
                self._trim({n: x[rows_of_step] for n, x in features.items()})
            )
            for name, value in outputs.items():
                pieces[name].append(value)
            if progress is not None:
                progress(step)
        results = {
            name: np.concatenate(values)
            if values
            else np.zeros(
                (0, *self.output_details[name]["shape"][1:]), np.float32
            )
            for name, values in pieces.items()
        }
        if len(results) == 1:
            return next(iter(results.values()))
        return results

    def predict_named(self, features):
        """As `predict`, but a lone output is named `logits`, too."""
        return named_outputs(self.predict(features))

    def _prepare(self, features):
        missing = [name for name in self.input_names if name not in features]
        if missing:
            raise KeyError(
                f"{self.path} needs the inputs {self.input_names}. Received: "
                f"{sorted(features)}. Missing: {missing}."
            )
        prepared = {}
        for name in self.input_names:
            x = np.asarray(
                features[name], dtype=self.input_details[name]["dtype"]
            )
            if self.length is not None:
                if x.shape[1] > self.length:
                    raise ValueError(
                        f"{self.path} takes {self.length} tokens. Received: "
                        f"rows of {x.shape[1]}. Cut the texts to that length."
                    )
                x = np.pad(x, ((0, 0), (0, self.length - x.shape[1])))
            prepared[name] = x
        return prepared

    def _trim(self, inputs):
        """The inputs of one row without its padding, but for a few tokens."""
        if not self._trims or PADDING_MASK not in inputs:
            return inputs
        length = max(int(inputs[PADDING_MASK].sum()), SHORTEST)
        return {name: x[:, :length] for name, x in inputs.items()}

    def _run(self, inputs):
        shape = next(iter(inputs.values())).shape
        if shape != self._shape:
            for name, x in inputs.items():
                self._interpreter.resize_tensor_input(
                    self.input_details[name]["index"], x.shape
                )
            self._interpreter.allocate_tensors()
            self._shape = shape
        for name, x in inputs.items():
            self._interpreter.set_tensor(self.input_details[name]["index"], x)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(details["index"])
            for name, details in self.output_details.items()
        }
