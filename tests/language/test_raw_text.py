"""Texts of a file, as parts of windows of tokens."""

from keras_kd.data.tokenization import Tokenizer
from keras_kd.language.raw_text import read_windows
from keras_kd.runs.run_folder import RunFolder
from tests import tiny


def test_texts_of_a_part_before_are_left_out(tmp_path):
    """A text that judges is not trained on because it stands there twice."""
    tiny.write_tokenizer(tmp_path / "bert")
    tokenizer = Tokenizer.from_folder(tmp_path / "bert")
    words = [*tiny.GOOD[:3], tiny.GOOD[0], tiny.BAD[0], tiny.GOOD[1]]
    words += [tiny.BAD[1], tiny.BAD[1]]
    texts = [" ".join([word] * 9) + "\n" for word in words]
    (tmp_path / "texts.txt").write_text("".join(texts))
    rows, notes = read_windows(
        RunFolder(tmp_path / "run"),
        tmp_path / "texts.txt",
        {"validation": 2, "test": 2, "train": None},
        tokenizer,
        16,
    )
    found = {
        part: [
            tiny.WORDS[windows.row("token_ids", number)[1]]
            for number in range(len(windows))
        ]
        for part, windows in rows.items()
    }
    assert found == {
        "validation": [words[0], words[1]],
        "test": [words[2]],
        # One that stands twice in the training text itself stays.
        "train": [tiny.BAD[0], tiny.BAD[1], tiny.BAD[1]],
    }
    assert [notes[part]["texts"] for part in notes] == [2, 1, 3]
