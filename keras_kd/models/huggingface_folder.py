"""Where a Hugging Face model folder is, and what its JSON files say."""

import json
import re
from pathlib import Path

# Vocabularies are .json and .txt, those of SentencePiece .model.
_HUB_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model")


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
        if (path / "units").is_dir():
            raise FileNotFoundError(
                f"Received the run {str(folder)!r}. Expected a Hugging Face "
                "model folder: of a language model's run RUN/model, of an "
                "exported one RUN/huggingface. As a teacher in Keras give "
                "RUN/teacher, or the run when it is finished; to start from "
                "its student, RUN/student.keras."
            )
        if not (path / "config.json").is_file():
            raise FileNotFoundError(
                f"Received the folder {str(folder)!r}, which has no "
                "config.json. Expected a Hugging Face model folder, as "
                "`save_pretrained` of transformers writes it. Found: "
                f"{listing(path)}."
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
    return read_json(Path(folder) / "config.json")


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
    config = read_json(path)
    mode = config.get("pooling_mode")
    if mode is None:
        modes = {"mean": "mean_tokens", "cls": "cls_token"}
        on = [m for m, k in modes.items() if config.get(f"pooling_mode_{k}")]
        mode = on[0] if len(on) == 1 else None
    return mode if mode in ("mean", "cls") else None


def read_json(path):
    """The JSON object in a file; a `ValueError` that names the file if none."""
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


def listing(folder):
    """The names in a folder, for an error message."""
    return ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
