"""The tensors of a Hugging Face model folder."""

from pathlib import Path

import numpy as np

from keras_kd.models.huggingface_folder import listing
from keras_kd.models.huggingface_folder import read_json

_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"


class Checkpoint:
    """The tensors of a Hugging Face folder, read one at a time by name.

    `model.safetensors`, or the files that `model.safetensors.index.json`
    names. A pickle (`pytorch_model.bin`) can run code when it is opened, so
    it is read only on request, and then with `weights_only=True`.

    Args:
        folder: path of a Hugging Face model folder.
        allow_pickle: bool, whether `pytorch_model.bin` may be read where
            there is no safetensors file. Needs torch.

    Raises:
        FileNotFoundError: if the folder holds no weights, or not all shards.
        ValueError: if it holds only a pickle and `allow_pickle` is off, or a
            file cannot be read.

    Example:

    ```python
    checkpoint = Checkpoint("path/of/folder")
    array = checkpoint.read("embeddings.word_embeddings.weight")
    ```
    """

    def __init__(self, folder, allow_pickle=False):
        self.folder = Path(folder)
        self._pickled = {}
        self._files = {}
        files = self._shards(_SAFETENSORS)
        if files:
            self._index_safetensors(files)
            return
        files = self._shards(_PICKLE)
        if not files:
            raise FileNotFoundError(
                f"The folder {str(folder)!r} has no weights that can be read. "
                f"Expected {_SAFETENSORS} (one file, or shards with an index)."
                f" Found: {listing(self.folder)}. Save the model once more "
                "with `save_pretrained` of transformers."
            )
        if not allow_pickle:
            raise ValueError(
                f"The folder {str(folder)!r} has only {_PICKLE}, a pickle, "
                f"which can run code when it is opened. Expected "
                f"{_SAFETENSORS}. If you trust where it comes from, pass "
                "`allow_pickle=True`, or --allow-pickle on the command line "
                "(needs torch), or save the model once more with "
                "`save_pretrained` of transformers."
            )
        self._load_pickles(files)

    @property
    def names(self):
        """The names of all tensors, sorted."""
        return sorted(self._files or self._pickled)

    def read(self, name):
        """The tensor `name` as a NumPy array; floats come as float32."""
        if name in self._pickled:
            return self._pickled[name]
        from safetensors import safe_open

        with safe_open(self._files[name], framework="numpy") as file:
            return _as_float32(file.get_tensor(name))

    def _shards(self, name):
        if (self.folder / name).is_file():
            return [self.folder / name]
        index = self.folder / f"{name}.index.json"
        if not index.is_file():
            return []
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        outside = [n for n in names if Path(n).name != n]
        missing = [n for n in names if not (self.folder / n).is_file()]
        if outside or missing or not names:
            raise FileNotFoundError(
                f"{str(index)!r} names the files {names}, of which "
                f"{outside or missing or 'none'} cannot be read from the "
                "folder. Expected all of them beside the index: copy or "
                "download the missing ones."
            )
        return [self.folder / n for n in names]

    def _index_safetensors(self, files):
        from safetensors import safe_open

        for path in files:
            try:
                with safe_open(path, framework="numpy") as file:
                    self._files.update({name: path for name in file.keys()})
            except Exception as error:  # SafetensorError is not an OSError
                raise ValueError(
                    f"Cannot read {str(path)!r} ({error}; "
                    f"{path.stat().st_size} bytes). Expected a whole "
                    "safetensors file: an unfinished download or a Git LFS "
                    "pointer looks like this. Fetch the file once more."
                ) from error

    def _load_pickles(self, files):
        try:
            import torch
        except ImportError as error:
            raise ImportError(
                f"Reading {_PICKLE} needs torch: `pip install torch`."
            ) from error
        for path in files:
            try:
                tensors = torch.load(
                    path, map_location="cpu", weights_only=True
                )
            except Exception as error:  # torch documents no classes
                raise ValueError(
                    f"Cannot read {str(path)!r} ({error}). Expected a whole "
                    "file of tensors: a file that holds more than tensors is "
                    "not opened, for it could run code."
                ) from error
            for name, tensor in tensors.items():
                if tensor.is_floating_point():
                    tensor = tensor.float()
                self._pickled[name] = tensor.numpy()


def _as_float32(array):
    if np.issubdtype(array.dtype, np.integer) or array.dtype == bool:
        return array
    return np.asarray(array, dtype="float32")
