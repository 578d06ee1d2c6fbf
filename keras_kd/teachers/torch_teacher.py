"""Any PyTorch model of Hugging Face, as a teacher that labels rows."""

import hashlib
import inspect

import keras
import numpy as np

from keras_kd import batch
from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.huggingface_folder import read_labels
from keras_kd.models.huggingface_folder import resolve_folder

_CLASSES = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
}


class TorchTeacher:
    """A teacher that PyTorch runs: XLNet, ELECTRA, DeBERTa and the like.

    Keras has no such models here, or no converter for their weights. The
    teacher is asked once and its answers are kept (`TeacherTargets`), so that
    PyTorch is needed for that alone. It can't be trained, give hidden states
    to a loss, or lend its layers to a student.

    Args:
        folder: Hugging Face folder, or a hub name.
        task_head: `"sequence"`, `"token"` or `"span"`, as in
            `keras_kd.load_pretrained`.
        allow_pickle: Whether a `pytorch_model.bin` may be read.
        device: Name of a PyTorch device; by default a GPU if there is one.

    Attributes:
        tokenizer: The `Tokenizer` of the folder.
        labels: The names of its classes, or `None`.
        model: What `keras_kd.runs.teaching` asks of a teacher's model: its
            outputs and its size.

    Raises:
        ImportError: PyTorch or transformers is not installed.
        ValueError: The checkpoint has no such head.

    Example:

    ```python
    teacher = TorchTeacher("path/of/xlnet")
    targets = TeacherTargets("rows/targets", teacher.fingerprint)
    targets.label(teacher.runtime, rows)
    ```
    """

    def __init__(
        self, folder, task_head="sequence", allow_pickle=False, device=None
    ):
        try:
            import torch
            import transformers
        except ImportError as error:
            raise ImportError(
                "A teacher with the framework torch needs PyTorch and "
                f"transformers ({error}). `pip install keras_kd[torch]`."
            ) from error
        if task_head not in _CLASSES:
            raise ValueError(
                f"`task_head` must be one of {list(_CLASSES)}. Received: "
                f"{task_head!r}."
            )
        self.folder = resolve_folder(folder, allow_pickle)
        self.task_head = task_head
        self.tokenizer = Tokenizer.from_folder(self.folder)
        self.labels = read_labels(self.folder)
        kind = getattr(transformers, _CLASSES[task_head])
        self._torch_model, info = kind.from_pretrained(
            self.folder,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
            **({} if allow_pickle else {"use_safetensors": True}),
        )
        if info["missing_keys"]:
            raise ValueError(
                f"The checkpoint '{folder}' has no weights for "
                f"{sorted(info['missing_keys'])[:3]}: they would be random. "
                "Give a checkpoint that was fine-tuned for the task."
            )
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._torch_model.to(device).eval()
        self._inputs = _Inputs(self.folder, self._torch_model, self.tokenizer)
        self.model = _ModelFace(self._torch_model, task_head, self.runtime)

    @property
    def runtime(self):
        """`(input names, predict)`, as in `keras_kd.inference`.

        Logits are `[batch, classes]`, of tokens `[batch, length, classes]`,
        and of spans `[batch, length, 2]` (start, end).
        """
        return (
            [batch.TOKEN_IDS, batch.SEGMENT_IDS, batch.PADDING_MASK],
            self.predict,
        )

    def predict(self, features):
        """The logits of some rows by name, in NumPy.

        Args:
            features: Dictionary of int32 `[batch, length]`: `token_ids`,
                `padding_mask`, `segment_ids`; padded on the right.
        """
        import torch

        inputs, moved = self._inputs.of(features)
        device = self._torch_model.device
        with torch.inference_mode():
            outputs = self._torch_model(
                **{
                    name: torch.tensor(values, device=device).long()
                    for name, values in inputs.items()
                }
            )
        if self.task_head == "span":
            logits = torch.stack(
                [outputs.start_logits, outputs.end_logits], dim=-1
            )
        else:
            logits = outputs.logits
        logits = logits.float().cpu().numpy()
        if logits.ndim == 3 and moved is not None:
            logits = np.take_along_axis(logits, moved[..., None], axis=1)
        return {batch.LOGITS: logits}

    @property
    def fingerprint(self):
        """A hash of the weights and one of the tokenizer."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(type(self._torch_model).__name__.encode())
        for name, tensor in sorted(self._torch_model.state_dict().items()):
            values = np.ascontiguousarray(tensor.cpu().numpy())
            digest.update(f"{name}{values.shape}{values.dtype}".encode())
            digest.update(values.tobytes())
        return {
            "framework": "torch",
            "weights": digest.hexdigest(),
            "tokenizer": self.tokenizer.fingerprint,
        }


class _Inputs:
    """Rows of ours as a PyTorch model reads them."""

    def __init__(self, folder, model, tokenizer):
        import transformers

        own = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
        self.left = (
            own.padding_side == "left" or model.config.model_type == "xlnet"
        )
        pad = model.config.pad_token_id
        self.pad_id = tokenizer.pad_id or 0 if pad is None else pad
        given = inspect.signature(model.forward).parameters
        types = getattr(model.config, "type_vocab_size", 2)
        self.types = "token_type_ids" in given and types > 1
        parts = tokenizer.template().parts
        places = [i for i, part in enumerate(parts) if part[0] is not None]
        # XLNet has a type of its own for what stands behind the text.
        self.after = [part[2] for part in parts[places[-1] + 1 :]]

    def of(self, features):
        """The model's inputs, and where each position has gone, if anywhere."""
        mask = np.asarray(features[batch.PADDING_MASK])
        ids = np.where(mask == 1, features[batch.TOKEN_IDS], self.pad_id)
        inputs = {"input_ids": ids, "attention_mask": mask}
        lengths = mask.sum(axis=1)
        if self.types:
            types = np.array(features[batch.SEGMENT_IDS])
            if any(self.after):
                for row, length in zip(types, lengths):
                    if not row.any():  # One text, whose types are not kept.
                        row[length - len(self.after) : length] = self.after
            inputs["token_type_ids"] = types
        if not self.left:
            return inputs, None
        # The last position is read, which has to be a token.
        width = mask.shape[1]
        back = (np.arange(width) + (width - lengths)[:, None]) % width
        there = (np.arange(width) + lengths[:, None]) % width
        return {
            name: np.take_along_axis(values, there, axis=1)
            for name, values in inputs.items()
        }, back


class _ModelFace:
    """The outputs and the size of a PyTorch model, as Keras has them."""

    framework = "PyTorch"

    def __init__(self, model, task_head, runtime):
        import torch

        width = 2 if task_head == "span" else model.config.num_labels
        shape = (None, width) if task_head == "sequence" else (
            None, None, width,
        )  # fmt: skip
        self.output = keras.KerasTensor(shape, "float32", name=batch.LOGITS)
        self.name = type(model).__name__
        self.layers = [_Positions(model.config)]
        self.num_threads = torch.get_num_threads()
        self.input_names, self.predict = runtime
        self._parameters = sum(p.numel() for p in model.parameters())

    def count_params(self):
        """The number of parameters."""
        return self._parameters


class _Positions:
    """A model's position table, whose length limits what it reads."""

    def __init__(self, config):
        self.sequence_length = None  # XLNet has none, and says -1.
        rows = getattr(config, "max_position_embeddings", -1)
        if rows > 0:
            used = 0
            if "roberta" in config.model_type:
                used = config.pad_token_id + 1
            self.sequence_length = rows - used
