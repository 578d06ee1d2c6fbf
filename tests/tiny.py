"""Data and teachers so small that a whole run takes seconds.

A text is good if it has good words, and bad if it has bad ones: what a bag of
words can learn. Few labelled rows leave out some of the words, and many
unlabelled ones have them all.
"""

import csv
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np

from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.heads import masked_pool
from keras_kd.teachers.teacher import Teacher

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NEUTRAL = ["the", "film", "was", "it"]
GOOD = "fine great superb lovely warm clever bright rich fun sweet".split()
BAD = "poor awful dull weak cold silly grim thin sad bitter".split()
WORDS = SPECIAL + NEUTRAL + GOOD + BAD
LABELS = ["bad", "good"]
LENGTH = 8


def make_rows(count, seed=0):
    """Different `(text, label)` rows; half of them are good."""
    generator = np.random.default_rng(seed)
    rows = {}
    while len(rows) < count:
        label = LABELS[len(rows) % 2]
        words = [generator.choice(GOOD if label == "good" else BAD)]
        words += list(generator.choice(NEUTRAL, generator.integers(2, 6)))
        rows[" ".join(generator.permutation(words))] = label
    return list(rows.items())


def write_csv(path, rows, header=("text", "label")):
    """Writes rows of strings as a .csv, and gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_data(folder, train=32, validation=24, test=60, unlabelled=160):
    """Writes `train.csv` and so on; no text stands in two of them.

    Returns:
        The settings of a `Configuration` that reads them.
    """
    folder = Path(folder)
    sizes = {"train": train, "validation": validation, "test": test}
    rows = make_rows(sum(sizes.values()) + unlabelled)
    settings = {}
    for name, size in sizes.items():
        settings[name] = str(write_csv(folder / f"{name}.csv", rows[:size]))
        rows = rows[size:]
    text = "".join(f"{text}\n" for text, _ in rows)
    (folder / "unlabelled.txt").write_text(text, encoding="utf-8")
    return {**settings, "unlabelled": str(folder / "unlabelled.txt")}


def write_tokenizer(folder):
    """Writes the `vocab.txt` of a BERT tokenizer."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{word}\n" for word in WORDS)
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )


def flags_of(configuration):
    """The command line that a configuration comes from."""
    flags = []
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        if value is None or isinstance(value, bool):
            continue
        values = value if isinstance(value, list) else [value]
        flags += ["--" + field.name.replace("_", "-"), *map(str, values)]
    return flags


def polarity():
    """1 for a good word, -1 for a bad one, 0 for all others; by id."""
    return np.array(
        [float(word in GOOD) - float(word in BAD) for word in WORDS], "float32"
    )


def make_teacher(folder, outputs=2, scale=12.0, activation=None, labels=LABELS):
    """A teacher that knows every word. It needs no training.

    Args:
        folder: A folder for the tokenizer's files.
        outputs: Number of logits; those above 2 never win.
        scale: How sure it is; below zero it is always wrong.
        activation: Of the last layer.
        labels: The names that it has for its logits.
    """
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(len(WORDS), 4, name="token_embedding")(
        inputs["token_ids"]
    )
    x = masked_pool(x, inputs["padding_mask"], "mean")
    x = keras.layers.Dense(outputs, activation=activation, name="logits")(x)
    model = keras.Model(inputs, x, name="tiny_teacher")
    table = np.zeros((len(WORDS), 4), "float32")
    table[:, 0] = polarity()
    model.get_layer("token_embedding").set_weights([table])
    kernel = np.zeros((4, outputs), "float32")
    kernel[0, :2] = -scale, scale
    bias = np.full(outputs, -20.0, "float32")
    bias[:2] = 0.0
    model.get_layer("logits").set_weights([kernel, bias])
    write_tokenizer(folder)
    return Teacher(model, Tokenizer.from_folder(folder), labels)


def bag_student(kind, vocabulary_size, num_outputs, *sizes, **options):
    """In place of `build_student`, where the student is not what is tested.

    TensorFlow takes seconds to trace a recurrent one.
    """
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(vocabulary_size, 4, name="token_embedding")(
        inputs["token_ids"]
    )
    x = masked_pool(x, inputs["padding_mask"], "mean")
    return keras.Model(inputs, keras.layers.Dense(num_outputs)(x))


def write_teacher(folder, **options):
    """Saves what `make_teacher` makes; gives the folder as a string."""
    folder = Path(folder)
    make_teacher(folder.with_name(f"{folder.name}-tokenizer"), **options).save(
        folder
    )
    return str(folder)


def change_weights(folder):
    """Puts other weights into a Hugging Face folder."""
    from safetensors.numpy import load_file
    from safetensors.numpy import save_file

    path = Path(folder) / "model.safetensors"
    tensors = {name: array + 0.1 for name, array in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def write_bert(folder, head=True, tokenizer=True, num_labels=2):
    """Writes a Hugging Face BERT of one layer, of width 4.

    Attention is the same everywhere and its values are the hidden states, so
    that the first position learns the mean polarity, and with a head the
    checkpoint is right on every row.

    Args:
        folder: Where to.
        head: Whether it has a head for classes.
        tokenizer: Whether the tokenizer is with it.
        num_labels: Classes of the head; those above 2 never win.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    width, inner, positions = 4, 8, 32
    tensors = {
        "embeddings.word_embeddings.weight": np.zeros((len(WORDS), width)),
        "embeddings.position_embeddings.weight": np.zeros((positions, width)),
        "embeddings.token_type_embeddings.weight": np.zeros((2, width)),
    }
    # Every row has mean 0 and some length, as layer normalisation has it.
    table = np.outer(polarity(), [1.0, -1.0, 0.0, 0.0])
    table += [0.0, 0.0, 0.5, -0.5]
    tensors["embeddings.word_embeddings.weight"] = table
    layer = "encoder.layer.0"
    for name, shape in {
        f"{layer}.attention.self.query": (width, width),
        f"{layer}.attention.self.key": (width, width),
        f"{layer}.attention.self.value": (width, width),
        f"{layer}.attention.output.dense": (width, width),
        f"{layer}.intermediate.dense": (inner, width),
        f"{layer}.output.dense": (width, inner),
        "pooler.dense": (width, width),
    }.items():
        tensors[f"{name}.weight"] = np.zeros(shape)
        tensors[f"{name}.bias"] = np.zeros(shape[0])
    for name in ("attention.self.value", "attention.output.dense"):
        tensors[f"{layer}.{name}.weight"] = np.eye(width)
    tensors["pooler.dense.weight"] = np.eye(width)
    for name in (
        "embeddings.LayerNorm",
        f"{layer}.attention.output.LayerNorm",
        f"{layer}.output.LayerNorm",
    ):
        tensors[f"{name}.weight"] = np.ones(width)
        tensors[f"{name}.bias"] = np.zeros(width)
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(WORDS),
        "hidden_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
    }
    if head:
        tensors = {f"bert.{name}": value for name, value in tensors.items()}
        kernel = np.zeros((num_labels, width))
        kernel[:2] = [[-4.0, 4.0, 0.0, 0.0], [4.0, -4.0, 0.0, 0.0]]
        bias = np.full(num_labels, -20.0)
        bias[:2] = 0.0
        tensors["classifier.weight"] = kernel
        tensors["classifier.bias"] = bias
        names = [*LABELS, *(f"class{i}" for i in range(2, num_labels))]
        config["architectures"] = ["BertForSequenceClassification"]
        config["id2label"] = dict(enumerate(names[:num_labels]))
    save_file(
        {
            name: np.ascontiguousarray(value, "float32")
            for name, value in tensors.items()
        },
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer:
        write_tokenizer(folder)
    return str(folder)
