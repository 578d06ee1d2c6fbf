"""The student's tokens, of the teacher's vocabulary or of its own."""

import types

from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.data.tokenization import Tokenizer
from keras_kd.runs.student_rows import student_tokenizer
from tests import tiny


def test_the_teachers_vocabulary_as_mediapipe_reads_it(tmp_path):
    tiny.write_tokenizer(tmp_path)
    teacher = Tokenizer.from_folder(tmp_path)
    configuration = types.SimpleNamespace(tokens="mediapipe")
    tokenizer = student_tokenizer(
        configuration, None, teacher, tmp_path / "not written"
    )
    assert tokenizer.fingerprint == read_as_mediapipe(teacher).fingerprint
    assert tokenizer.fingerprint != teacher.fingerprint
    assert tokenizer.vocabulary == teacher.vocabulary
    assert not (tmp_path / "not written").exists()
