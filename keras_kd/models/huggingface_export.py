"""Models as folders that Hugging Face's transformers reads."""

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import write_json
from keras_kd.models.pretrained import state_dict


def write_folder(folder, model, config, head, tokenizer):
    """Writes a model with its tokenizer as a Hugging Face folder.

    Args:
        folder: Where to; written aside and renamed.
        model: A `keras.Model` from `keras_kd.load_pretrained`.
        config: Dictionary, the contents of its `config.json`.
        head: The head that is written, as in `load_pretrained`.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
    """
    from safetensors.numpy import save_file

    arrays = state_dict(model, config, head)
    with folder_aside(folder, marker="model.safetensors") as temporary:
        tokenizer.save(temporary)
        write_json(temporary / "config.json", config)
        save_file(
            arrays, temporary / "model.safetensors", metadata={"format": "pt"}
        )
