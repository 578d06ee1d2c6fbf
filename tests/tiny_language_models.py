"""Tiny masked and causal language models, written as Hugging Face folders."""

import json
from pathlib import Path

import keras
import numpy as np

from keras_kd.models.bert import bert
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.pretrained import state_dict
from tests import tiny

SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "initializer_range": 0.2,
}
DISTILBERT_SIZES = {
    "dim": 12,
    "n_layers": 3,
    "n_heads": 3,
    "hidden_dim": 16,
    "max_position_embeddings": 40,
    "dropout": 0.0,
    "initializer_range": 0.2,
}
ARCHITECTURES = {
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "xlm-roberta": "XLMRobertaForMaskedLM",
    "distilbert": "DistilBertForMaskedLM",
}


# Of a run on the first texts of `write_texts` and a teacher of `SIZES`.
SETTINGS = {
    "student_layers": [0, 2],
    "validation_texts": 20,
    "test_texts": 20,
    "max_length": 16,
}


def write_texts(path, count=300, seed=0):
    """Different texts of one word many times, then of another one.

    What is masked stands beside it: a model of one layer can learn it.
    """
    generator = np.random.default_rng(seed)
    lines = {}
    while len(lines) < count:
        words = []
        for word in generator.choice(tiny.GOOD[:3] + tiny.BAD[:3], 2):
            words += [word] * int(generator.integers(4, 8))
        lines[" ".join(words) + "\n"] = None
    Path(path).write_text("".join(lines), encoding="utf-8")
    return str(path)


def write_masked_lm(folder, family="bert", seed=0, **sizes):
    """Writes a masked language model with random weights, and its tokenizer.

    Args:
        folder: Where to.
        family: A `model_type` of `ARCHITECTURES`.
        seed: Seed of the weights.
        **sizes: Other entries of its `config.json`.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write = {
        "bert": tiny.write_tokenizer,
        "distilbert": tiny.write_tokenizer,
        "roberta": write_byte_level_bpe,
        "xlm-roberta": write_unigram,
    }[family]
    vocabulary, pad_id = write(folder) or (len(tiny.WORDS), 0)
    config = {
        "model_type": family,
        "architectures": [ARCHITECTURES[family]],
        "vocab_size": vocabulary,
        "pad_token_id": pad_id,
        "type_vocab_size": 2 if family == "bert" else 1,
        **(DISTILBERT_SIZES if family == "distilbert" else SIZES),
        **sizes,
    }
    keras.utils.set_random_seed(seed)
    model = bert(read_settings(config), "masked_lm")
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype == "float32":
            noise = generator.normal(0, 0.1, variable.shape)
            variable.assign(variable + noise.astype("float32"))
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        state_dict(model, config, "masked_lm"),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return str(folder)


def write_byte_level_bpe(folder):
    """RoBERTa's kind of tokenizer; gives its size and the id of padding."""
    import tokenizers

    backend = tokenizers.ByteLevelBPETokenizer(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    texts = [f" {word}" for word in tiny.GOOD + tiny.BAD + tiny.NEUTRAL]
    backend.train_from_iterator(
        texts, 600, min_frequency=1, special_tokens=special,
        show_progress=False,
    )  # fmt: skip
    inner = backend._tokenizer
    inner.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", inner.token_to_id("</s>")), ("<s>", inner.token_to_id("<s>"))
    )
    return _save(inner, folder, special)


def write_unigram(folder):
    """XLM-R's kind of tokenizer (SentencePiece); gives its size and padding."""
    import tokenizers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = tiny.GOOD + tiny.BAD + tiny.NEUTRAL
    letters = sorted(set("".join(words)))
    pieces = [(token, 0.0) for token in special]
    pieces += [(f"\u2581{word}", -2.0) for word in words]
    pieces += [("\u2581", -4.0), *((letter, -6.0) for letter in letters)]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    inner.decoder = tokenizers.decoders.Metaspace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    inner.add_special_tokens(special)
    return _save(inner, folder, special)


def _save(backend, folder, special):
    backend.save(str(Path(folder) / "tokenizer.json"))
    names = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    (Path(folder) / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                **dict(zip(names, special)),
            }
        )
    )
    return backend.get_vocab_size(), backend.token_to_id("<pad>")


def write_gpt2(folder, layers=3, seed=0):
    """Writes GPT-2 with random weights, and a tokenizer without masks."""
    import tokenizers
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    backend = tokenizers.ByteLevelBPETokenizer(add_prefix_space=False)
    texts = [f"{word} {word}" for word in tiny.GOOD + tiny.BAD + tiny.NEUTRAL]
    backend.train_from_iterator(
        texts, 320, min_frequency=1, special_tokens=["<|endoftext|>"],
        show_progress=False,
    )  # fmt: skip
    backend._tokenizer.save(str(folder / "tokenizer.json"))
    width = 12
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": backend.get_vocab_size(),
        "n_layer": layers,
        "n_head": 3,
        "n_embd": width,
        "n_positions": 40,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }
    generator = np.random.default_rng(seed)
    shapes = {
        "wte.weight": (config["vocab_size"], width),
        "wpe.weight": (40, width),
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }
    for i in range(layers):
        for name, shape in {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }.items():
            shapes[f"h.{i}.{name}.weight"] = shape
            shapes[f"h.{i}.{name}.bias"] = shape[1:]
        for name in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{name}.weight"] = (width,)
            shapes[f"h.{i}.{name}.bias"] = (width,)
    tensors = {
        f"transformer.{name}": generator.normal(
            float("ln" in name and name.endswith("weight")), 0.2, shape
        ).astype("float32")
        for name, shape in shapes.items()
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)
