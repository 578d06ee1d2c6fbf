"""The student's own tokens: its tokenizer, and a run's rows read with it."""

import dataclasses
from pathlib import Path

from keras_kd.atomic_files import folder_aside
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.data.retokenization import retokenize
from keras_kd.data.retokenization import texts_of
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.runs.preparation import PARTS


def student_tokenizer(configuration, prepared, teacher_tokenizer, folder):
    """The student's tokenizer: the teacher's, or one built from training text.

    With the tokens `mediapipe` it has the teacher's vocabulary, and reads it as
    MediaPipe's clients do.

    Args:
        configuration: `Configuration`.
        prepared: `PreparedRows`; only its training rows are read.
        teacher_tokenizer: `Tokenizer`.
        folder: Where a tokenizer that was built is kept.

    Returns:
        `Tokenizer`.
    """
    if configuration.tokens == "teacher":
        return teacher_tokenizer
    if configuration.tokens == "mediapipe":
        return read_as_mediapipe(teacher_tokenizer)
    folder = Path(folder)
    if not (folder / "tokenizer.json").exists():
        tokenizer = build_tokenizer(
            configuration.tokens,
            texts_of(prepared.training),
            configuration.vocabulary_size,
            lowercase=configuration.lowercase,
        )
        with folder_aside(folder) as temporary:
            tokenizer.save(temporary)
    return Tokenizer.from_folder(folder)


def rows_of_student(prepared, tokenizer, folder, max_length):
    """The same rows as `prepared`, read with the student's tokenizer.

    Returns:
        `PreparedRows`.
    """
    own = {
        part: retokenize(getattr(prepared, part), tokenizer, folder, max_length)
        for part in PARTS
    }
    return dataclasses.replace(prepared, **own)
