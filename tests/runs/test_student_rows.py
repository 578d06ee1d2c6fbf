"""The student's tokens, of the teacher's vocabulary or of its own."""

import types

import pytest

from keras_kd.data import tokenization
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


def test_a_folder_that_was_not_written_to_its_end_is_none(
    tmp_path, small_rows, monkeypatch
):
    def fail(*args):
        raise OSError("No space left on device")

    configuration = types.SimpleNamespace(
        tokens="word", vocabulary_size=20, lowercase=True
    )
    rows = small_rows([[1], [2]], text=["a fine film", "a film"])
    arguments = (
        configuration,
        types.SimpleNamespace(training=rows),
        None,
        tmp_path / "own",
    )
    with monkeypatch.context() as patch:
        # What is written last.
        patch.setattr(tokenization, "write_json", fail)
        with pytest.raises(OSError, match="No space left"):
            student_tokenizer(*arguments)
    assert not (tmp_path / "own").exists()
    student_tokenizer(*arguments)
    assert (tmp_path / "own" / "tokenizer_config.json").exists()
