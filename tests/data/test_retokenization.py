"""The student's own tokens over the teacher's rows."""

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import processors

from keras_kd.data.example import Example
from keras_kd.data.retokenization import retokenize
from keras_kd.data.retokenization import texts_of
from keras_kd.data.rows import Rows
from keras_kd.data.rows import copy_rows
from keras_kd.data.rows import write_rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.tasks.text_classification import TextClassification


@pytest.fixture
def letters():
    """A tokenizer that makes every character a token."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"w0123456789"]
    backend = Backend(
        models.WordLevel({t: i for i, t in enumerate(tokens)}, "[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split("", "isolated"),
        ]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return Tokenizer(backend)


@pytest.fixture
def make(tmp_path, word_tokenizer):
    task = TextClassification(["a", "b"])

    def make(name, *fields):
        examples = [
            Example(f"{name}:{number}", texts, "ab"[number % 2])
            for number, texts in enumerate(fields)
        ]
        return write_rows(
            tmp_path / name, task.featurize(examples, word_tokenizer, 8), {}
        )

    return make


def ids(rows):
    return [rows.row("token_ids", i).tolist() for i in range(len(rows))]


def test_tokens_are_new_and_all_else_is_kept(make, letters, tmp_path):
    rows = make("rows", ("w4 w5",), ("w6",), ("w7 w8 w9",))
    own = retokenize(rows, letters, tmp_path / "own", 6)
    assert ids(own) == [
        [2, 4, 9, 4, 10, 3], [2, 4, 11, 3], [2, 4, 12, 4, 13, 3],
    ]  # fmt: skip
    assert ids(rows) == [[2, 4, 5, 3], [2, 6, 3], [2, 7, 8, 9, 3]]
    assert own.keys().tolist() == rows.keys().tolist()
    assert own.column("label").tolist() == [0, 1, 0]
    assert own.text("text", 2) == "w7 w8 w9"
    assert own.lengths("token_ids").tolist() == [6, 4, 6]


def test_views_keep_their_order(make, letters, tmp_path):
    view = Rows.join([make("one", ("w4",), ("w5",)), make("two", ("w6",))])
    view = view.select(np.array([2, 0]))
    own = retokenize(view, letters, tmp_path / "own")
    assert ids(own) == [[2, 4, 11, 3], [2, 4, 9, 3]]
    assert own.keys().tolist() == view.keys().tolist()


def test_what_was_made_is_used_again(make, letters, tmp_path):
    rows = make("rows", ("w4",))
    retokenize(rows, letters, tmp_path / "own", 6)
    (folder,) = (tmp_path / "own").iterdir()
    before = (folder / "manifest.json").stat().st_mtime_ns
    retokenize(rows, letters, tmp_path / "own", 6)
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    retokenize(rows, letters, tmp_path / "own", 5)
    assert len(list((tmp_path / "own").iterdir())) == 2


def test_rows_that_were_written_anew_are_read_anew(make, letters, tmp_path):
    retokenize(make("rows", ("w4",)), letters, tmp_path / "own")
    rows = make("rows", ("w5",))
    own = retokenize(rows, letters, tmp_path / "own")
    assert ids(own) == [[2, 4, 10, 3]]
    # And rows that lie over others.
    own = retokenize(own, letters, tmp_path / "own", 3)
    assert ids(own) == [[2, 4, 3]]


def test_pairs(make, letters, tmp_path):
    rows = make("rows", ("w4", "w5"))
    own = retokenize(rows, letters, tmp_path / "own")
    assert ids(own) == [[2, 4, 9, 3, 4, 10, 3]]
    assert own.row("segment_ids", 0).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert list(texts_of(rows)) == ["w4", "w5"]


def test_a_copy_stands_alone(make, letters, tmp_path):
    own = retokenize(make("rows", ("w4",), ("w5",)), letters, tmp_path / "own")
    copy = copy_rows(tmp_path / "copy", own)
    assert ids(copy) == ids(own)
    assert copy.keys().tolist() == own.keys().tolist()
