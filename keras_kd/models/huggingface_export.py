"""Models as folders that Hugging Face's transformers reads."""

import keras

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import write_json
from keras_kd.models.huggingface_config import ACTIVATIONS
from keras_kd.models.huggingface_config import position_offset
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.initialization import encoder_layers
from keras_kd.models.pretrained import state_dict

_CLASSES = {
    "xlm-roberta": "XLMRoberta",
    "roberta": "Roberta",
    "distilbert": "DistilBert",
    "bert": "Bert",
}
_HEADS = {
    None: "Model",
    "pooler": "Model",
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "masked_lm": "ForMaskedLM",
}
# The dropout before the head.
_LAST_DROPOUT = {
    "xlm-roberta": ["classifier_dropout"],
    "roberta": ["classifier_dropout"],
    "distilbert": ["seq_classif_dropout", "qa_dropout"],
    "bert": ["classifier_dropout"],
}
_PROBLEMS = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def write_folder(folder, model, config, head, tokenizer, card=None, check=None):
    """Writes a model with its tokenizer as a Hugging Face folder.

    Args:
        folder: Where to; written aside and renamed.
        model: A `keras.Model` of `keras_kd.load_pretrained` or
            `keras_kd.bert_student`, or a copy of some of its layers.
        config: Dictionary, the contents of its `config.json`.
        head: The head that is written, as in `load_pretrained`.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
        card: Text of the model card, `README.md`.
        check: Function of a path, called when all is written and before the
            folder gets its name: where it raises, none is left.

    Returns:
        What `check` gives.
    """
    from safetensors.numpy import save_file

    arrays = state_dict(model, config, head)
    sizes = read_settings(config)
    with folder_aside(folder, marker="model.safetensors") as temporary:
        tokenizer.save(temporary, sizes.max_length, sizes.num_segments)
        write_json(temporary / "config.json", config)
        save_file(
            arrays, temporary / "model.safetensors", metadata={"format": "pt"}
        )
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
        return None if check is None else check(temporary)


def config_of(model, head, pad_id=0, labels=None, task=None):
    """The `config.json` of a model, as its own layers have it.

    Its architecture is that of the checkpoint that its layers came from, by
    the model's name; a `bert_student` is a BERT.

    Args:
        model: A `keras.Model`, as in `write_folder`.
        head: The head that is written, as in `load_pretrained`.
        pad_id: The tokenizer's id of padding, by which RoBERTa counts its
            positions.
        labels: Names of the classes.
        task: Name of the task, which says how a `"sequence"` head is trained.

    Returns:
        A dictionary.

    Raises:
        ValueError: Hugging Face has no such architecture.
    """
    family = _family(model)
    encoder = encoder_layers(model)[0]
    names = {layer.name: layer for layer in model.layers}
    _check_head(model, family, head, names)
    sizes = {
        "num_layers": len(encoder_layers(model)),
        "num_heads": encoder.num_heads,
        "hidden": names["token_embedding"].output_dim,
        "inner": encoder.intermediate_dim,
    }
    config = {
        "architectures": [_CLASSES[family] + _HEADS[head]],
        "model_type": family,
        "vocab_size": names["token_embedding"].input_dim,
        "pad_token_id": 0 if pad_id is None else pad_id,
        "tie_word_embeddings": True,
    }
    dropout = float(encoder.dropout)
    last = {}
    if head in ("sequence", "token", "span"):
        # Other models have none, which does not say how a head of a task that
        # is put upon them is to be trained.
        layer = names.get("classifier_dropout")
        rate = 0.0 if layer is None else float(layer.rate)
        last = dict.fromkeys(_LAST_DROPOUT[family], rate)
    activation = _activation(encoder)
    if family == "distilbert":
        config.update(
            n_layers=sizes["num_layers"],
            n_heads=sizes["num_heads"],
            dim=sizes["hidden"],
            hidden_dim=sizes["inner"],
            activation=activation,
            dropout=dropout,
            attention_dropout=dropout,
            **last,
        )
    else:
        types = names.get("segment_embedding")
        config.update(
            num_hidden_layers=sizes["num_layers"],
            num_attention_heads=sizes["num_heads"],
            hidden_size=sizes["hidden"],
            intermediate_size=sizes["inner"],
            hidden_act=activation,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            **last,
            layer_norm_eps=encoder.layer_norm_epsilon,
            type_vocab_size=1 if types is None else types.input_dim,
        )
    positions = names["position_embedding"].sequence_length
    config["max_position_embeddings"] = positions + position_offset(config)
    if labels is not None:
        config["id2label"] = {str(i): name for i, name in enumerate(labels)}
        config["label2id"] = {name: i for i, name in enumerate(labels)}
    elif head in ("sequence", "token"):
        width = names["logits"].units
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(width)}
        config["label2id"] = {f"LABEL_{i}": i for i in range(width)}
    if head == "sequence" and task in _PROBLEMS:
        config["problem_type"] = _PROBLEMS[task]
    return config


def _family(model):
    name = model.name.replace("_", "-")
    for family in _CLASSES:
        if name.startswith(family):
            return family
    raise ValueError(
        f"Hugging Face's architectures are known for {sorted(_CLASSES)}. "
        f"Received: the model '{model.name}'. Give one of `load_pretrained` "
        "or `bert_student`, or layers of it: in a run, `--student bert`."
    )


def _check_head(model, family, head, names):
    """Refuses what transformers would compute in another way."""
    missing = {"token_embedding", "position_embedding"} - set(names)
    if missing:
        raise ValueError(
            f"The model '{model.name}' has no layers {sorted(missing)}, which "
            f"each {family} has. Give a model of `load_pretrained` or "
            "`bert_student`."
        )
    if head != "sequence":
        return
    if "pooled_dense" not in names:
        raise ValueError(
            f"transformers' {_CLASSES[family]}{_HEADS[head]} reads the first "
            f"position. Received: '{model.name}', which reads the mean of all. "
            "Export it as a SavedModel, or train one that reads the first: in "
            "a run, leave `--teacher-layers` out, or fine-tune a teacher whose "
            "folder has no 1_Pooling (in Python load_pretrained with "
            "pooling='cls')."
        )
    expected = "relu" if family == "distilbert" else "tanh"
    activation = names["pooled_dense"].activation
    if keras.activations.serialize(activation) != expected:
        raise ValueError(
            f"The dense layer below the logits of a {family} has {expected}. "
            f"Received: {keras.activations.serialize(activation)} in "
            f"'{model.name}'. Export it as a SavedModel."
        )


def _activation(encoder):
    """transformers' name of an encoder layer's activation."""
    own = keras.saving.get_registered_name(encoder.activation)
    for name, keras_name in ACTIVATIONS.items():
        if own == keras_name:
            return name
    raise ValueError(
        f"transformers' names are known for the activations "
        f"{sorted(set(ACTIVATIONS.values()))}. Received: {own!r}. Export the "
        "model as a SavedModel."
    )
