"""What a student begins as: layers of its teacher, or vectors of its words."""

from pathlib import Path

from keras_kd.batch import input_names
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.errors import DataError
from keras_kd.models.embeddings import project
from keras_kd.models.embeddings import read_word_vectors
from keras_kd.models.embeddings import teacher_table
from keras_kd.models.embeddings import token_embedding
from keras_kd.models.narrowing import narrow_from_teacher

# What a narrower copy of a teacher is fitted on.
SAMPLE_ROWS = 256


def student_of_teacher(configuration, teacher, rows):
    """A student that begins as some of its teacher's layers.

    Args:
        configuration: `Configuration` with `teacher_layers`.
        teacher: `Teacher`; of several the first.
        rows: `Rows` that a narrower copy is fitted on.
    """
    model = _first(teacher).model
    return narrow_from_teacher(
        model,
        configuration.teacher_layers,
        configuration.width,
        configuration.heads,
        configuration.intermediate,
        dropout=configuration.dropout,
        sample=gather_inputs(
            rows, range(min(len(rows), SAMPLE_ROWS)), input_names(model)
        ),
    )


def _first(teacher):
    """The first of several teachers, or the only one."""
    return getattr(teacher, "teachers", [teacher])[0]


def check_embeddings(name):
    """Refuses a file of word vectors that is not there.

    Args:
        name: `"random"`, `"teacher"`, or the path of a file.

    Raises:
        DataError: There is no such file.
    """
    if name not in ("random", "teacher") and not Path(name).is_file():
        raise DataError(
            f"There is no file '{name}'. Expected with `embeddings`: random, "
            "teacher, or a file of word vectors, GloVe's or word2vec's."
        )


def start_of_embeddings(name, teacher, tokenizer, width, say=print):
    """The table that a student's embeddings start from.

    Args:
        name: `"teacher"`, or the path of a file of word vectors.
        teacher: `Teacher`.
        tokenizer: The student's `Tokenizer`.
        width: Width of the student's table. Vectors of another width are
            projected to it by PCA.
        say: Function that prints a line.

    Returns:
        `[vocabulary, width]` float32.

    Raises:
        ConfigurationError: The vectors are narrower than the table.
    """
    if name == "teacher":
        model = _first(teacher).model
        _check_width(width, token_embedding(model).embeddings, "the teacher")
        own = tokenizer.fingerprint != teacher.tokenizer.fingerprint
        tokens = tokenizer.vocabulary if own else None
        return teacher_table(model, width, tokens, teacher.tokenizer)
    table, found = read_word_vectors(
        name, tokenizer.vocabulary, tokenizer.lowercase
    )
    _check_width(width, table, f"'{name}'")
    say(f"{found:.1%} of the student's words have a vector in '{name}'.")
    if table.shape[1] != width:
        table = project(table, width)
    return table


def _check_width(width, table, source):
    if width > table.shape[1]:
        raise ConfigurationError(
            f"`embedding_dim` must be at most {table.shape[1]}, the width of "
            f"the word vectors of {source}. Received: {width}. Vectors can be "
            "made narrower, not wider."
        )
