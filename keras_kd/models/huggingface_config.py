"""`config.json` of a Hugging Face folder, as the settings of a Keras model."""

import keras

from keras_kd.models.bert import BertSettings
from keras_kd.models.huggingface_names import FAMILIES

_NAMES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
}
_DISTILBERT_NAMES = {
    "num_layers": "n_layers",
    "num_heads": "n_heads",
    "hidden_dim": "dim",
    "intermediate_dim": "hidden_dim",
    "activation": "activation",
    "dropout": "dropout",
}
# transformers' name -> Keras' name. Its "gelu" is the exact one, as in Keras.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "keras_hub>gelu_approximate",
    "gelu_pytorch_tanh": "keras_hub>gelu_approximate",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_HEADS = {
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "token",
    "ForMultipleChoice": None,
}


def read_family(config):
    """The `Family` of names that a config asks for.

    Args:
        config: dict, the contents of `config.json`.

    Raises:
        ValueError: if the architecture is not one of the supported ones.
    """
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise ValueError(
            f"Received a checkpoint of model_type={model_type!r}. Expected "
            f"one of {', '.join(repr(name) for name in FAMILIES)}. Any other "
            "PyTorch model can still be a teacher through its cached outputs."
        )
    expected = {
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "quantization_config": (None,),
    }
    for key, allowed in expected.items():
        if config.get(key, allowed[0]) not in (None, *allowed):
            raise ValueError(
                f"Received a {model_type} checkpoint with {key}="
                f"{config[key]!r} in its config.json. Expected "
                f"{allowed[0]!r}: other variants are not supported."
            )
    return FAMILIES[model_type]


def read_settings(config, dropout=None):
    """The `BertSettings` that a config describes.

    Args:
        config: dict, the contents of `config.json`.
        dropout: float or None, a rate to put in place of all rates.

    Raises:
        ValueError: if a size is missing or impossible.
    """
    read_family(config)
    distilbert = config["model_type"] == "distilbert"
    hidden_dim = _size(config, "hidden_dim")
    num_heads = _size(config, "num_heads")
    if hidden_dim % num_heads:
        raise ValueError(
            f"Received hidden size {hidden_dim} with {num_heads} attention "
            "heads in config.json. Expected a multiple of the heads."
        )
    activation = _activation(config)
    rate = dropout
    if dropout is None:
        rate = _number(_value(config, "dropout"), 0.1)
    return BertSettings(
        name=config["model_type"].replace("-", "_"),
        vocabulary_size=_size(config, "vocabulary_size"),
        num_layers=_size(config, "num_layers"),
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=_size(config, "intermediate_dim"),
        max_length=_size(config, "max_positions") - position_offset(config),
        num_segments=num_segments(config),
        activation=activation,
        head_activation="relu" if distilbert else "tanh",
        # RoBERTa's masked-LM head has gelu whatever the encoder has.
        masked_lm_activation=(
            "gelu" if "roberta" in config["model_type"] else activation
        ),
        layer_norm_epsilon=(
            1e-12
            if distilbert
            else _number(config.get("layer_norm_eps"), 1e-12)
        ),
        dropout=float(rate),
        head_dropouts=_head_dropouts(config, dropout, rate),
        initializer_range=_number(config.get("initializer_range"), 0.02),
    )


def num_segments(config):
    """The number of token types, 0 for an architecture that has none."""
    if config["model_type"] == "distilbert":
        return 0
    default = 2 if config["model_type"] == "bert" else 1
    return int(_number(config.get("type_vocab_size"), default))


def position_offset(config):
    """Rows of the position table that stand before the first position.

    RoBERTa counts its positions from `pad_token_id + 1`.
    """
    if "roberta" not in config["model_type"]:
        return 0
    pad = config.get("pad_token_id")
    return (1 if pad is None else int(pad)) + 1


def read_head(config):
    """The head that a classifier of this config is, where it says so.

    Returns:
        `"sequence"`, `"token"`, None (a classifier of another kind), or
        `"unknown"`.
    """
    architectures = config.get("architectures") or [""]
    for ending, head in _HEADS.items():
        if architectures[0].endswith(ending):
            return head
    return "unknown"


def _value(config, name, default=None):
    names = dict(_NAMES)
    if config["model_type"] == "distilbert":
        names.update(_DISTILBERT_NAMES)
    return config.get(names[name], default)


def _number(value, default):
    """A number of a config, where null is what is left out."""
    return float(default if value is None else value)


def _size(config, name):
    value = _value(config, name)
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f"Received {value!r} for the {name.replace('_', ' ')} in "
            f"config.json of a {config['model_type']} checkpoint. Expected a "
            "positive integer. Fetch or write the file once more."
        )
    return value


def _activation(config):
    name = _value(config, "activation", "gelu")
    if name not in ACTIVATIONS:
        raise ValueError(
            f"Received the activation {name!r} in config.json. Expected one "
            f"of {', '.join(ACTIVATIONS)}."
        )
    if ">" not in ACTIVATIONS[name]:
        return ACTIVATIONS[name]
    import keras_hub  # noqa: F401  registers the function by its name

    return keras.saving.get_registered_object(ACTIVATIONS[name])


def _head_dropouts(config, dropout, rate):
    """As transformers has them: a span head of BERT has no dropout."""
    if dropout is not None:
        return dict.fromkeys(("sequence", "token", "span"), float(dropout))
    if config["model_type"] == "distilbert":
        return {
            "sequence": _number(config.get("seq_classif_dropout"), 0.2),
            "token": float(rate),
            "span": _number(config.get("qa_dropout"), 0.1),
        }
    own = _number(config.get("classifier_dropout"), rate)
    return {"sequence": own, "token": own, "span": 0.0}
