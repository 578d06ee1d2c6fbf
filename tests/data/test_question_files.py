"""Questions about texts: forms of files, and answers that stand elsewhere."""

import gzip
import json

import pytest
import tensorflow as tf

from keras_kd.data.errors import DataError
from keras_kd.data.question_files import NO_PLACE
from keras_kd.data.question_files import Questions
from keras_kd.data.question_files import find_answer

CONTEXT = "Paris lies on the Seine. Lyon lies on the Rhône."


def squad(*questions, context=CONTEXT):
    return {
        "version": "1.1",
        "data": [
            {"title": "t", "paragraphs": [{"context": context,
                                           "qas": list(questions)}]}
        ],
    }  # fmt: skip


def question(identity, text, start, **more):
    answers = [{"text": text, "answer_start": start}]
    return {"id": identity, "question": "Q?", "answers": answers, **more}


@pytest.fixture
def write(tmp_path):
    def write(document, name="dev.json"):
        path = tmp_path / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


def test_squad(write):
    two = question("b", "Seine", 18)
    two["answers"].append({"text": "the Seine", "answer_start": 14})
    examples = list(Questions(write(squad(question("a", "Paris", 0), two))))
    assert [example.example_id for example in examples] == ["a", "b"]
    assert examples[0].fields == ("Q?", CONTEXT)
    assert examples[1].label == (("Seine", 18), ("the Seine", 14))


def test_without_an_answer_and_without_answers(write):
    impossible = question("a", "plausible", 3, is_impossible=True)
    unlabelled = {"id": "b", "question": "Q?"}
    path = write(squad(impossible, unlabelled))
    assert [e.label for e in Questions(path)] == [(), None]
    assert [e.label for e in Questions(path, labelled=False)] == [None, None]


def test_rows_with_lists_of_answers(tmp_path):
    row = {
        "id": 7, "question": "Q?", "context": CONTEXT,
        "answers": {"text": ["Lyon"], "answer_start": [25]},
    }  # fmt: skip
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (example,) = Questions(path)
    assert (example.example_id, example.label) == ("7", (("Lyon", 25),))


def test_compressed(tmp_path):
    path = tmp_path / "dev.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump(squad(question("a", "Paris", 0)), file)
    assert len(list(Questions(path))) == 1


def test_of_tfds():
    tfds = pytest.importorskip("tensorflow_datasets")
    row = {
        "id": ["7"],
        "title": ["t"],
        "context": [CONTEXT],
        "question": ["Q?"],
        "answers": {"text": [["Lyon"]], "answer_start": [[25]]},
    }

    def rows_of(*args, **kwargs):
        return tf.data.Dataset.from_tensor_slices(row)

    with tfds.testing.mock_data(as_dataset_fn=rows_of):
        (example,) = Questions("tfds:squad/v1.1", split="train")
    assert (example.example_id, example.fields) == ("7", ("Q?", CONTEXT))
    assert example.label == (("Lyon", 25),)


@pytest.mark.parametrize(
    "text, start, place",
    [
        ("Seine", 18, 18),
        ("Seine", 15, 18),  # Near by, and once.
        ("Seine", -1, 18),
        ("lies on the", 3, NO_PLACE),  # Near by, and twice.
        ("Rhône", 0, NO_PLACE),  # Too far away.
        ("Berlin", 4, NO_PLACE),
        ("", 0, NO_PLACE),
    ],
)
def test_where_an_answer_stands(text, start, place):
    assert find_answer(CONTEXT, text, start) == place


def test_repairs_are_counted_by_the_id(write):
    document = squad(
        question("right", "Paris", 0),
        question("moved", "Paris", 2),
        question("lost", "Berlin", 2),
    )
    document["data"][0]["paragraphs"].append({"context": "x", "qas": []})
    questions = Questions(write(document))
    for _ in range(2):  # Reading once more counts anew.
        assert [e.label for e in questions] == [
            (("Paris", 0),), (("Paris", 0),), (("Berlin", NO_PLACE),)
        ]  # fmt: skip
    assert (questions.repaired, questions.without_place) == (
        ["moved"],
        ["lost"],
    )
    assert list(questions.ids.values()) == [["moved"], ["lost"]]
    assert questions.counts == {
        "answers_whose_offset_was_repaired": 1,
        "answers_that_the_context_does_not_hold": 1,
        "contexts_without_questions": 1,
    }


@pytest.mark.parametrize(
    "document, message",
    [
        ({"rows": []}, "not of SQuAD's form: KeyError: 'data'"),
        ({"data": []}, "has no question"),
        ({"data": [{"title": "t"}]}, "article 1: no 'paragraphs'"),
        (squad({"id": "a", "answers": []}), "question 'a': no 'question'"),
        (squad(question("a", "Paris", 0), question("a", "Lyon", 25)),
         "the id 'a' stands there twice"),
        (squad({"id": "a", "question": "Q?",
                "answers": {"text": ["x"], "answer_start": []}}),
         "1 answers and 0 offsets"),
        (squad({"id": "a", "question": "Q?", "answers": [{"text": "x"}]}),
         "question 'a': no 'answer_start'"),
        ({"data": None}, "'data' is 'None' (NoneType). Expected a list."),
        ({"data": [{"paragraphs": None}]}, "'paragraphs' is 'None'"),
        (squad({"id": "a", "question": None}),
         "question 'a': 'question' is 'None' (NoneType). Expected a string."),
        (squad({"id": "a", "question": "Q?", "answers": [
            {"text": ["x"], "answer_start": 0}]}),
         "question 'a': 'text' is"),
        (squad({"id": "a", "question": "Q?", "answers": [
            {"text": "x", "answer_start": "0"}]}),
         "'answer_start' is '0' (str). Expected an integer."),
        (squad({"id": "a", "question": "Q?", "answers": {
            "text": "c", "answer_start": 0}}),
         "question 'a': 'text' is 'c' (str). Expected a list."),
    ],
)  # fmt: skip
def test_files_that_are_none(write, document, message):
    with pytest.raises(DataError) as error:
        list(Questions(write(document)))
    assert message in str(error.value)


def test_rows_of_other_kinds(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = {"id": 1, "question": "Q?", "context": None, "answers": None}
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match="row 1: 'context' is 'None'"):
        list(Questions(path))


def test_places_that_overlap_are_two():
    assert find_answer("ababa", "aba", 1) == NO_PLACE


def test_a_damaged_file(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text('{"data": [')
    with pytest.raises(DataError, match="not of SQuAD's form: JSONDecodeError"):
        list(Questions(path))
    with pytest.raises(DataError, match="is not there"):
        list(Questions(tmp_path / "none.json"))
