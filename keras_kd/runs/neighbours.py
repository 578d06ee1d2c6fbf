"""The words that a model's word table has beside a word: `keras-kd neighbours`.

What a student thinks a word means shows in which words stand nearest to it,
and whether those are still the teacher's.
"""

from pathlib import Path

import keras
import numpy as np

from keras_kd.atomic_files import read_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.evaluation.report import METRICS
from keras_kd.evaluation.tables import text_table
from keras_kd.models.embeddings import token_embedding
from keras_kd.models.embeddings import whole_words
from keras_kd.models.huggingface_checkpoint import Checkpoint
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.runs.deployment import check_student
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.run_folder import RunFolder
from keras_kd.teachers.teacher import is_saved_teacher
from keras_kd.teachers.teacher import saved_files

# Of word tables, in all architectures of transformers that were looked at.
TABLES = (
    "word_embeddings.weight",
    "word_embedding.weight",
    "wte.weight",
    "embed_tokens.weight",
    "shared.weight",
)


def nearest_words(word, table, tokenizer, count=5):
    """The nearest words of a vocabulary, by the cosine of their vectors.

    Of a word that is several tokens it is the mean of their vectors. Pieces of
    words and special tokens are no neighbours.

    Args:
        word: The word.
        table: `[vocabulary, width]`.
        tokenizer: `Tokenizer` of the table.
        count: How many.

    Returns:
        List of `(word, cosine)`, the nearest first; empty where the tokenizer
        knows nothing of the word.
    """
    # A space before it: where a mark begins words, "word" would be a piece.
    (ids,) = tokenizer.encode_plain([f" {word}"])
    ids = [index for index in ids if index not in tokenizer.special_ids]
    if not ids:
        return []
    words = whole_words(tokenizer.vocabulary[: len(table)])
    known = [
        index
        for index, own in enumerate(words)
        if own is not None and own.lower() != word.lower()
    ]
    vector = table[ids].astype("float64").mean(axis=0)
    others = table[known].astype("float64")
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(vector)
    cosines = others @ vector / np.maximum(lengths, 1e-12)
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(words[known[i]], float(cosines[i])) for i in best]


def word_tables(folder):
    """The word tables of a run, or of a model's folder, by their part.

    Args:
        folder: A run of `keras-kd distill` or of `recipes.masked_lm`, a
            teacher that was saved, or a Hugging Face folder.

    Yields:
        `(part, table, Tokenizer)`: of a run the student, which cells of a
        study do not keep, the teacher, and the base model that the teacher was
        fine-tuned from in that run.

    Raises:
        ConfigurationError: It is none of these, or a run whose student is not
            trained yet.
    """
    folder = Path(folder)
    if (folder / "units").is_dir():
        yield from _tables_of_run(folder)
    elif is_saved_teacher(folder):
        yield "model", *_table_of_model(folder)
    elif (folder / "config.json").is_file():
        # A run that was stopped before it trained has no units.
        if "seeds" in read_json(folder / "config.json"):
            yield from _tables_of_run(folder)
        else:
            yield "model", *_table_of_model(folder)
    else:
        raise ConfigurationError(
            f"'{folder}' is no run, and no folder of a model. Give what "
            "`keras-kd distill --run` wrote, or a Hugging Face folder."
        )


def _tables_of_run(folder):
    if (folder / "settings.json").is_file():  # Of a language model.
        model = folder / "model"
        if (model / "student.keras").is_file():  # Of a causal one.
            table = _table_of_keras(model / "student.keras")
            yield "student", table, Tokenizer.from_folder(model)
        elif (model / "config.json").is_file():
            yield "student", *_table_of_model(model)
        settings = read_json(folder / "settings.json")
        allow_pickle = settings.get("allow_pickle", False)
        yield "teacher", *_table_of_model(settings["teacher"], allow_pickle)
        return
    run = RunFolder.open(folder)
    configuration = run.configuration
    # Cells of a study are finished without one.
    if kept_arm(configuration.arms) and not (folder / METRICS).is_file():
        check_student(run)
    if is_saved_teacher(folder):
        yield "student", *_table_of_model(folder)
    given, allow_pickle = configuration.teachers, configuration.allow_pickle
    if is_saved_teacher(folder / "teacher"):
        yield "teacher", *_table_of_model(folder / "teacher")
        yield "base model", *_table_of_model(given[0], allow_pickle)
    else:
        for name in given:
            part = "teacher" if len(given) == 1 else f"teacher {name}"
            yield part, *_table_of_model(name, allow_pickle)


def _table_of_model(folder, allow_pickle=False):
    """The table and the tokenizer of a saved teacher, or of Hugging Face.

    A pickle is read where the run that the model belongs to was allowed to.
    """
    if is_saved_teacher(folder):
        model, _, tokenizer = saved_files(folder)
        return _table_of_keras(model), Tokenizer.from_folder(tokenizer)
    folder = resolve_folder(folder, allow_pickle)
    checkpoint = Checkpoint(folder, allow_pickle)
    for name in checkpoint.names:
        if name.endswith(TABLES):
            return checkpoint.read(name), Tokenizer.from_folder(folder)
    raise ConfigurationError(
        f"'{folder}' has no word table: none of its tensors ends in one of "
        f"{list(TABLES)}. Received: {checkpoint.names[:3]} and others."
    )


def _table_of_keras(path):
    import keras_hub  # noqa: F401  Its layers are looked up by name.

    model = keras.saving.load_model(path, compile=False)
    return keras.ops.convert_to_numpy(token_embedding(model).embeddings)


def neighbours_table(words, folders, count=5):
    """The lines of one table for some words and runs.

    Args:
        words: List of words.
        folders: List of folders, as in `word_tables`.
        count: How many neighbours of each.
    """
    found = [
        (part if len(folders) == 1 else f"{part} of {folder}", *rest)
        for folder in folders
        for part, *rest in word_tables(folder)
    ]
    columns = {"word": [], "model": []}
    columns |= {str(rank): [] for rank in range(1, count + 1)}
    for word in words:
        for part, table, tokenizer in found:
            nearest = nearest_words(word, table, tokenizer, count)
            cells = [f"{own} {cosine:.2f}" for own, cosine in nearest]
            if not cells:
                cells = ["(unknown)"]
            columns["word"].append(word)
            columns["model"].append(part)
            cells += [""] * (count - len(cells))
            for rank, cell in enumerate(cells, 1):
                columns[str(rank)].append(cell)
    return text_table(columns)
