"""Tagged sentences and questions so small that a whole run takes seconds.

What a word is, is known by the word: the first five good words begin the name
of a person, the others go on with it, and so do the bad words with places. An
answer is such a name of two words.
"""

import json
from pathlib import Path

import keras
import numpy as np

from keras_kd.data.tokenization import Tokenizer
from keras_kd.teachers.teacher import Teacher
from tests import tiny

TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
FIRST = {"PER": tiny.GOOD[:5], "LOC": tiny.BAD[:5]}
LATER = {"PER": tiny.GOOD[5:], "LOC": tiny.BAD[5:]}


def make_sentences(count, seed=0, longest=3):
    """`(words, tags)` of different sentences."""
    generator = np.random.default_rng(seed)
    sentences = {}
    while len(sentences) < count:
        words, tags = [], []
        for _ in range(generator.integers(1, longest + 1)):
            for word in generator.choice(tiny.NEUTRAL, generator.integers(3)):
                words.append(str(word))
                tags.append("O")
            kind = str(generator.choice(["PER", "LOC"]))
            words.append(str(generator.choice(FIRST[kind])))
            tags.append(f"B-{kind}")
            for word in generator.choice(LATER[kind], generator.integers(3)):
                words.append(str(word))
                tags.append(f"I-{kind}")
        sentences[tuple(words)] = tags
    return [(list(words), tags) for words, tags in sentences.items()]


def write_conll(path, sentences):
    """Writes a CoNLL file, and gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for words, tags in sentences:
        lines += [f"{word} X {tag}" for word, tag in zip(words, tags)] + [""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def write_tagged(folder, train=60, validation=30, test=40):
    """Writes `train.txt` and so on; the settings that read them."""
    sizes = {"train": train, "validation": validation, "test": test}
    sentences, settings = make_sentences(sum(sizes.values())), {}
    for name, size in sizes.items():
        path = Path(folder) / f"{name}.txt"
        settings[name] = write_conll(path, sentences[:size])
        sentences = sentences[size:]
    return {**settings, "task": "token_tagging"}


def make_paragraphs(count, seed=0, without_answer=0):
    """Paragraphs of SQuAD's form, with a question each."""
    generator = np.random.default_rng(seed)
    paragraphs = []
    for number in range(count):
        before, after = (
            generator.choice(tiny.NEUTRAL, generator.integers(1, 5)).tolist()
            for _ in range(2)
        )
        name = [
            str(generator.choice(FIRST["PER"])),
            str(generator.choice(LATER["PER"])),
        ]
        answers = [
            {"text": " ".join(name), "answer_start": len(" ".join(before)) + 1}
        ]
        if number < without_answer:
            name, answers = [], []
        paragraphs.append(
            {
                "context": " ".join([*before, *name, *after]),
                "qas": [
                    {
                        "id": f"{seed}-{number}",
                        "question": "was it the film",
                        "answers": answers,
                        "is_impossible": not answers,
                    }
                ],
            }
        )
    return paragraphs


def write_squad(path, paragraphs):
    """Writes SQuAD's JSON, and gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return str(path)


def write_questions(folder, train=60, validation=20, test=30, **options):
    """Writes `train.json` and so on; the settings that read them."""
    sizes = {"train": train, "validation": validation, "test": test}
    settings = {"task": "question_answering"}
    for seed, (name, size) in enumerate(sizes.items()):
        settings[name] = write_squad(
            Path(folder) / f"{name}.json",
            make_paragraphs(size, seed, **options),
        )
    return settings


def make_teacher(folder, task="token_tagging", labels=None):
    """A teacher that knows every word. It needs no training."""
    classes = np.zeros((len(tiny.WORDS), 5), "float32")
    for number, word in enumerate(tiny.WORDS):
        kinds = [
            TAGS.index(f"{letter}-{kind}")
            for letter, names in (("B", FIRST), ("I", LATER))
            for kind, words in names.items()
            if word in words
        ]
        classes[number, kinds[0] if kinds else 0] = 6.0
    outputs = len(TAGS)
    if task == "question_answering":
        # Where a person's name begins, where it goes on.
        classes, outputs = classes[:, [3, 4]], 2
        if labels is None:
            classes[tiny.WORDS.index("[CLS]")] = 2.0
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    x = keras.layers.Embedding(
        len(tiny.WORDS), outputs, name="token_embedding"
    )(inputs["token_ids"])
    x = keras.layers.Dense(outputs, name="logits")(x)
    model = keras.Model(inputs, x, name="tiny_teacher")
    model.get_layer("token_embedding").set_weights([classes])
    model.get_layer("logits").set_weights(
        [np.eye(outputs, dtype="float32"), np.zeros(outputs, "float32")]
    )
    tiny.write_tokenizer(folder)
    if task == "token_tagging":
        labels = labels or TAGS
    return Teacher(model, Tokenizer.from_folder(folder), labels)


def write_teacher(folder, task="token_tagging"):
    """Writes that teacher, and gives its folder."""
    make_teacher(Path(folder) / "tokenizer", task).save(
        Path(folder) / "teacher"
    )
    return str(Path(folder) / "teacher")
