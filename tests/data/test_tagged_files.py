"""Tagged sentences from CoNLL files, JSON and TFDS; and what is no such."""

import gzip
import json

import pytest
import tensorflow as tf

from keras_kd.data.errors import DataError
from keras_kd.data.tagged_files import read_tagged_sentences

CONLL = """\
-DOCSTART- -X- -X- O

EU NNP I-NP B-ORG
rejects VBZ I-VP O


Peter NNP I-NP B-PER
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="train.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(path, **options):
    return [
        (example.fields, example.label)
        for example in read_tagged_sentences(path, **options)
    ]


def test_conll(write):
    path = write(CONLL)
    examples = list(read_tagged_sentences(path))
    assert [(e.fields, e.label) for e in examples] == [
        (("EU", "rejects"), ("B-ORG", "O")),
        (("Peter",), ("B-PER",)),
    ]
    # The line of the first word.
    assert [e.example_id for e in examples] == ["train.txt:3", "train.txt:7"]


def test_columns_by_number_and_without_labels(write):
    path = write("1\tEU\tB-ORG\tx\n2\tNew York\tB-LOC\ty\n")
    assert read(path, words=1, tags=2) == [
        (("EU", "New York"), ("B-ORG", "B-LOC"))
    ]
    assert read(path, words=1, labelled=False) == [(("EU", "New York"), None)]


def test_texts_without_tags_are_split(write):
    path = write(
        '{"tokens": "EU rejects it."}\n{"tokens": ["a b"]}\n', ".jsonl"
    )
    assert read(path, labelled=False) == [
        (("EU", "rejects", "it", "."), None),
        (("a b",), None),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("EU\tB-ORG \nrejects \t O\n", "train.txt"),
        ('{"tokens": ["EU", "rejects "], "tags": ["B-ORG ", " O"]}', ".jsonl"),
    ],
)
def test_spaces_around_a_tag_are_no_part_of_it(write, text, name):
    assert read(write(text, name)) == [(("EU", "rejects "), ("B-ORG", "O"))]


def test_comments_are_no_words_and_a_hash_is(write):
    path = write("# id = 7 of many\nA X O\n# Y O\n")
    assert read(path) == [(("A", "#"), ("O", "O"))]


@pytest.mark.parametrize(
    "text",
    [
        "#\thttp://a.b [2004]\n1\tA\tO\n2\t#\tO\n",
        "1 -DOCSTART- O\n\n1 A O\n2 # O\n",
    ],
)
def test_comments_and_documents_of_numbered_lines(write, text):
    assert read(write(text), words=1) == [(("A", "#"), ("O", "O"))]


def test_a_hash_may_be_the_first_word(write):
    assert read(write("# NN O\nA X O\n")) == [(("#", "A"), ("O", "O"))]
    assert read(write("# O\n")) == [(("#",), ("O",))]


def test_a_word_may_hold_another_space(write):
    path = write("1\u00a0000 O\nA  B-X\n")
    assert read(path) == [(("1\u00a0000", "A"), ("O", "B-X"))]


def test_rows_without_tags(write):
    rows = [{"tokens": ["A"], "tags": ["O"]}, {"tokens": ["B"], "tags": None}]
    path = write("\n".join(map(json.dumps, rows)), "train.jsonl")
    assert read(path) == [(("A",), ("O",)), (("B",), None)]


def test_compressed_and_without_a_last_line_end(tmp_path):
    path = tmp_path / "train.conll.gz"
    with gzip.open(path, "wt") as file:
        file.write("A O\nB B-X")
    assert read(path) == [(("A", "B"), ("O", "B-X"))]


def test_lists_of_json(write):
    rows = [
        {"words": ["A b", "c"], "ner": ["O", "B-X"], "more": 1},
        {"words": ["d"], "ner": ["O"], "more": 2},
    ]
    path = write("\n".join(map(json.dumps, rows)), "train.jsonl")
    expected = [(("A b", "c"), ("O", "B-X")), (("d",), ("O",))]
    assert read(path, words="words", tags="ner") == expected
    path = write(json.dumps(rows), "train.json")
    assert read(path, words="words", tags="ner") == expected


def test_of_tfds():
    tfds = pytest.importorskip("tensorflow_datasets")
    row = {"tokens": [["EU", "rejects"]], "ner": [[3, 0]]}

    def rows_of(*args, **kwargs):
        return tf.data.Dataset.from_tensor_slices(row)

    with tfds.testing.mock_data(as_dataset_fn=rows_of):
        found = read("tfds:conll2003", words="tokens", tags="ner",
                     split="train")  # fmt: skip
    assert found == [(("EU", "rejects"), ("B-ORG", "O"))]


@pytest.mark.parametrize(
    "text, message",
    [
        ("A O\nB B-X extra\n", "line 2: 3 columns ('B B-X extra'). The first"),
        ("A O\nB\n", "line 2: 1 columns ('B'). The first line has 2"),
        ("word\nalone\n", "line 1: one column alone ('word')"),
        ("\n\n", "has no sentence"),
        ("-DOCSTART- O\n\n", "has no sentence"),
    ],
)
def test_files_that_are_none(write, text, message):
    with pytest.raises(DataError) as error:
        read(write(text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "row, message",
    [
        ({"tokens": ["A", "B"], "tags": ["O"]}, "2 words and 1 tags"),
        ({"tokens": ["A"], "tags": [3]}, "tags by their names"),
        ({"tokens": "A B", "tags": ["O"]}, "Expected a list of strings"),
        ({"tokens": [], "tags": []}, "a sentence without words"),
        ({"tokens": ["A"]}, "no column 'tags'"),
    ],
)
def test_rows_that_do_not_fit(write, row, message):
    with pytest.raises(DataError) as error:
        read(write(json.dumps(row), "train.jsonl"))
    assert message in str(error.value)
    assert "train.jsonl" in str(error.value)


def test_columns_that_are_not_there(write, tmp_path):
    path = write("A O\n")
    with pytest.raises(DataError, match="2 columns .* and no column 5"):
        read(path, words=5)
    with pytest.raises(DataError, match="are numbers, from 0. Received: 'w'"):
        read(path, words="w")
    with pytest.raises(DataError, match="is not there"):
        read(tmp_path / "none.txt")
