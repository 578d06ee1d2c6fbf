"""What a Hugging Face model folder holds: config, labels, pooling, tensors.

Nothing here knows an architecture. The names of the tensors are read by
`keras_kd.models.huggingface_names`, the model is built by
`keras_kd.models.pretrained`.
"""

import json
import re
from pathlib import Path

import numpy as np

_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_HUB_PATTERNS = ("*.json", "*.safetensors", "*.txt")


def resolve_folder(folder, allow_pickle=False):
    """The local folder of a model: as given, or fetched from the hub.

    Args:
        folder: str or path, a folder with a `config.json`, or the name of a
            model on the Hugging Face hub (`"name"` or `"owner/name"`).
        allow_pickle: bool, whether `pytorch_model.bin` files may be fetched
            where the hub has no safetensors file.

    Returns:
        A `pathlib.Path`.

    Raises:
        FileNotFoundError: if there is neither such a folder nor a way to
            fetch it.
    """
    path = Path(folder)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise FileNotFoundError(
                f"Received the folder {str(folder)!r}, which has no "
                "config.json. Expected a Hugging Face model folder, as "
                "`save_pretrained` of transformers writes it. Found: "
                f"{_listing(path)}."
            )
        return path
    if path.is_file():
        raise FileNotFoundError(
            f"Received the file {str(folder)!r}. Expected the folder that "
            "holds config.json and model.safetensors."
        )
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(folder)) or str(
        folder
    ).startswith("."):
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}. Expected a Hugging Face "
            "model folder or the name of a model on the hub (`owner/name`)."
        )
    return _download(str(folder), allow_pickle)


def _download(name, allow_pickle):
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise FileNotFoundError(
            f"There is no folder {name!r}, and huggingface_hub, which would "
            "look it up on the hub, is not installed. Give the path of a "
            "local folder, or `pip install huggingface_hub`."
        ) from error
    try:
        path = Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS))
        if allow_pickle and not list(path.glob("*.safetensors")):
            patterns = (*_HUB_PATTERNS, "pytorch_model*.bin")
            path = Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # its classes differ from release to release
        raise FileNotFoundError(
            f"There is no folder {name!r}, and the Hugging Face hub gave no "
            f"model of that name ({type(error).__name__}: {error}). Give the "
            "path of a local folder; or, on a machine with a network, run "
            f"`hf download {name} --local-dir FOLDER` and give that folder."
        ) from error
    return path


def read_config(folder):
    """The contents of `config.json` as a dict.

    Args:
        folder: path of a Hugging Face model folder.

    Raises:
        ValueError: if the file is not a JSON object.
    """
    return _read_json(Path(folder) / "config.json")


def read_labels(folder):
    """The class names of a checkpoint, in the order of its logits.

    Args:
        folder: str or path, a Hugging Face model folder or a hub name.

    Returns:
        A list of str; `None` where the checkpoint names no classes, or has
        the placeholders that transformers writes (`LABEL_0`, ...).

    Raises:
        ValueError: if the ids of `id2label` are not 0, 1, 2, ...
    """
    names = read_config(resolve_folder(folder)).get("id2label")
    if not names:
        return None
    by_id = {int(key): str(name) for key, name in names.items()}
    if sorted(by_id) != list(range(len(by_id))):
        raise ValueError(
            f"Received id2label with the ids {sorted(by_id)} in the "
            f"config.json of {str(folder)!r}. Expected 0 to "
            f"{len(by_id) - 1} without a gap. Mend the file."
        )
    if all(name == f"LABEL_{i}" for i, name in by_id.items()):
        return None
    return [by_id[i] for i in range(len(by_id))]


def read_pooling(folder):
    """The pooling that sentence-transformers noted beside a model.

    Args:
        folder: path of a Hugging Face model folder.

    Returns:
        `"mean"`, `"cls"`, or `None` where there is no note, or another mode.
    """
    path = Path(folder) / "1_Pooling" / "config.json"
    if not path.is_file():
        return None
    config = _read_json(path)
    mode = config.get("pooling_mode")
    if mode is None:
        modes = {"mean": "mean_tokens", "cls": "cls_token"}
        on = [m for m, k in modes.items() if config.get(f"pooling_mode_{k}")]
        mode = on[0] if len(on) == 1 else None
    return mode if mode in ("mean", "cls") else None


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
                f" Found: {_listing(self.folder)}. Save the model once more "
                "with `save_pretrained` of transformers."
            )
        if not allow_pickle:
            raise ValueError(
                f"The folder {str(folder)!r} has only {_PICKLE}, a pickle, "
                f"which can run code when it is opened. Expected "
                f"{_SAFETENSORS}. If you trust where it comes from, pass "
                "`allow_pickle=True` (needs torch), or save the model once "
                "more with `save_pretrained` of transformers."
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
        names = sorted(set(_read_json(index).get("weight_map", {}).values()))
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


def _read_json(path):
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"Cannot read {str(path)!r} as JSON ({error}). Fetch or write "
            "the file once more."
        ) from error
    if not isinstance(contents, dict):
        raise ValueError(
            f"Received a {type(contents).__name__} in {str(path)!r}. "
            "Expected a JSON object."
        )
    return contents


def _listing(folder):
    return ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
