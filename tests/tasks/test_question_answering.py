"""Reading: windows, places of answers, and what is answered."""

import collections
import json

import numpy as np
import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.question_files import Questions
from keras_kd.data.rows import write_rows
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.data.tokenization import Tokenizer
from keras_kd.losses.span_soft_targets import SpanSoftTargets
from keras_kd.runs.preparation import find_labelled
from keras_kd.tasks.named_tasks import build_task
from keras_kd.tasks.question_answering import QuestionAnswering
from tests import tiny
from tests import tiny_tokens


@pytest.fixture
def tokenizer(tmp_path):
    tiny.write_tokenizer(tmp_path / "tokenizer")
    return Tokenizer.from_folder(tmp_path / "tokenizer")


@pytest.fixture
def make_rows(tmp_path, tokenizer):
    def make(paragraphs, task=None, max_length=64, counts=None):
        number = len(list(tmp_path.iterdir()))
        path = tiny_tokens.write_squad(tmp_path / f"{number}.json", paragraphs)
        task = task or QuestionAnswering()
        made = task.featurize(Questions(path), tokenizer, max_length, counts)
        return write_rows(tmp_path / f"rows-{number}", made, {})

    return make


def paragraph(context, answers, question="was it", identity="q", **more):
    entry = {
        "id": identity,
        "question": question,
        "answers": [
            {"text": text, "answer_start": start} for text, start in answers
        ],
        **more,
    }
    return {"context": context, "qas": [entry]}


def logits_of(rows):
    """What a model would give that is right."""
    found = []
    for row in range(len(rows)):
        label = np.maximum(rows.row("label", row), 0)
        found.append(
            np.stack([6.0 * (label % 2), 6.0 * (label // 2)], -1)
            .astype("float32")
        )  # fmt: skip
    return TokenOutputs.join(found)


class TestRows:
    def test_question_and_context(self, make_rows):
        context = "the film: Fine, fun it"
        rows = make_rows([paragraph(context, [("Fine, fun", 10)])])
        assert len(rows) == 1
        tokens = [tiny.WORDS[token] for token in rows.row("token_ids", 0)]
        assert tokens == [
            "[CLS]", "was", "it", "[SEP]", "the", "film", "[UNK]", "fine",
            "[UNK]", "fun", "it", "[SEP]",
        ]  # fmt: skip
        assert rows.row("segment_ids", 0).tolist() == [0] * 4 + [1] * 8
        mask = [1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]
        assert rows.row("token_mask", 0).tolist() == mask
        label = [0, -1, -1, -1, 0, 0, 0, 1, 0, 2, 0, -1]
        assert rows.row("label", 0).tolist() == label
        starts, ends = rows.row("starts", 0), rows.row("ends", 0)
        assert [context[i:j] for i, j in zip(starts[4:11], ends[4:11])] == [
            "the", "film", ":", "Fine", ",", "fun", "it",
        ]  # fmt: skip
        assert starts[:4].tolist() == ends[:4].tolist() == [-1] * 4

    def test_windows_cover_the_context(self, make_rows):
        words = [str(w) for w in np.random.default_rng(0).choice(
            tiny.NEUTRAL, 40)]  # fmt: skip
        words[25:27] = ["fine", "fun"]
        context = " ".join(words)
        task = QuestionAnswering(stride=4)
        counts = collections.Counter()
        rows = make_rows(
            [paragraph(context, [("fine fun", context.index("fine"))])],
            task,
            max_length=16,
            counts=counts,
        )
        assert counts["contexts_cut_into_windows"] == 1
        assert rows.column("window").tolist() == list(range(len(rows)))
        assert rows.lengths("token_ids").max() == 16
        covered = set()
        with_answer = 0
        for row in range(len(rows)):
            mask = rows.row("token_mask", row) == 1
            covered |= set(rows.row("starts", row)[mask][1:].tolist())
            label = rows.row("label", row)
            if label[0] == 3:  # Not in this window.
                assert (label[1:] <= 0).all()
            else:
                assert sorted(label[label > 0]) == [1, 2]
                with_answer += 1
        assert 1 <= with_answer <= 2
        assert covered == {0} | {
            i + 1 for i, letter in enumerate(context) if letter == " "
        }
        references = task.references(rows)
        logits = task.select_outputs(logits_of(rows), rows)
        scores = task.scores(logits, references)
        assert scores["exact_match"] == scores["answer_f1"] == 1.0
        assert scores["nll"] < 0.1

    def test_an_answer_without_a_place(self, make_rows):
        counts = collections.Counter()
        rows = make_rows([paragraph("the film", [("fun", 0)])], counts=counts)
        assert rows.column("label_weight").tolist() == [0.0]
        assert counts["questions_without_a_place_to_learn_from"] == 1
        # It is scored by nevertheless.
        assert QuestionAnswering().references(rows).answers == [["fun"]]
        assert find_labelled(rows, "test").tolist() == [True]

    def test_a_question_without_known_answers(self, make_rows):
        unknown = paragraph("the film", [])
        del unknown["qas"][0]["answers"]
        rows = make_rows([unknown])
        assert rows.column("label_weight").tolist() == [0.0]
        with pytest.raises(DataError, match="None of the 1 test rows has a"):
            find_labelled(rows, "test")

    def test_rows_of_a_file(self, tokenizer, tmp_path):
        path = tiny_tokens.write_squad(
            tmp_path / "dev.json", tiny_tokens.make_paragraphs(3)
        )
        task = QuestionAnswering()
        rows = task.make_rows(path, tokenizer, tmp_path / "of_file", 16)
        assert len(task.references(rows).contexts) == 3

    def test_questions_about_a_context_stay_together(self, make_rows):
        one = paragraph("the film was fine fun", [("fine fun", 13)])
        one["qas"].append({**one["qas"][0], "id": "other", "question": "film"})
        rows = make_rows([one])
        keys = rows.column("group_key")
        assert (keys[0] == keys[1]).all()
        assert not np.array_equal(*rows.column("target_key"))

    def test_a_question_that_leaves_no_room(self, make_rows):
        long = paragraph("the film", [("film", 4)], "was " * 20)
        with pytest.raises(DataError, match="'q': a question of 20 tokens"):
            make_rows([long], max_length=30)

    def test_without_an_answer(self, make_rows):
        impossible = paragraph("the film", [], is_impossible=True)
        with pytest.raises(DataError, match="'q' has no answer in its context"):
            make_rows([impossible])
        task = QuestionAnswering(no_answer=True)
        rows = make_rows([impossible], task)
        assert rows.row("label", 0).tolist() == [3, -1, -1, -1, 0, 0, -1]
        assert rows.column("label_weight").tolist() == [1.0]


class TestAnswers:
    def test_of_all_windows_the_best(self, make_rows):
        """Two windows; the answer of the second one is surer."""
        context = "fine fun the film was it fine sweet"
        task = QuestionAnswering(stride=0)
        rows = make_rows(
            [paragraph(context, [("fine sweet", 25)])], task, max_length=10
        )
        assert len(rows) == 2
        logits = logits_of(rows)
        first = logits.values[: logits.lengths[0]]
        first[:] = 0
        first[4, 0], first[5, 1] = 5.0, 5.0
        values = task.select_outputs(logits, rows)
        ((answer, probability),) = task.answers(values, rows)
        assert (answer["text"], answer["start"], answer["end"]) == (
            "fine sweet", 25, 35,
        )  # fmt: skip
        assert answer["context"] == context
        assert 0.5 < probability < 1.0
        ((second, share), *more) = task.further(answer)
        assert task.show(second).startswith("fine fun\t[fine fun]")
        shares = [probability, share, *(one for _, one in more)]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1.0)
        best = task.read(values, task.references(rows), count=3)[0]
        assert [one["text"] for one in best[:2]] == ["fine sweet", "fine fun"]
        assert best[0]["score"] > best[1]["score"] >= best[2]["score"]

    def test_ends_before_starts_and_long_answers_are_none(self, make_rows):
        context = "the film was it fine fun"
        rows = make_rows([paragraph(context, [("fine fun", 16)])])
        values = np.zeros((rows.lengths("token_ids")[0], 2))
        values[9, 0] = values[4, 1] = 9.0  # From "fun" back to "the".
        values[1] = 50.0  # In the question.
        values[0] = 40.0  # There is no answer: but each has one.
        task = QuestionAnswering(longest_answer=2)
        text = task.read(values, task.references(rows))[0][0]["text"]
        assert text in ("fun", "the")
        values[8, 1] = values[4, 0] = 30.0  # Five tokens: too long.
        text = task.read(values, task.references(rows))[0][0]["text"]
        assert len(text.split()) <= 2

    def test_threshold_of_no_answer(self, make_rows):
        paragraphs = tiny_tokens.make_paragraphs(6, without_answer=2)
        task = QuestionAnswering(no_answer=True)
        rows = make_rows(paragraphs, task)
        references = task.references(rows)
        values = task.select_outputs(logits_of(rows), rows)
        scores = task.scores(values, references)
        assert scores["answer_f1"] == scores["best_answer_f1"] == 1.0
        assert scores["has_answer_f1"] == scores["no_answer_f1"] == 1.0
        never = QuestionAnswering(no_answer=True, threshold=100.0)
        scores = never.scores(values, references)
        assert scores["no_answer_f1"] == 0.0
        assert scores["has_answer_f1"] == 1.0
        assert scores["best_answer_f1"] == 1.0
        always = QuestionAnswering(no_answer=True, threshold=-100.0)
        scores = always.scores(values, references)
        assert (scores["no_answer_f1"], scores["has_answer_f1"]) == (1.0, 0.0)
        ((answer, probability), *_) = always.answers(values, rows)
        assert always.show(answer) == "(no answer)"
        # It has its share too where it is not given.
        ((given, share), *_) = never.answers(values, rows)
        assert given["text"] == answer["others"][0]["text"] != ""
        assert share == answer["others"][0]["probability"]

    def test_shown_with_what_stands_around(self):
        task = QuestionAnswering()
        answer = {"text": "fun", "start": 4, "end": 7, "context": "the fun it"}
        assert task.show(answer) == "fun\tthe [fun] it"
        long = {
            **answer,
            "start": 50,
            "end": 53,
            "context": "x " * 25 + "fun\n" * 20,
        }
        assert task.show(long).startswith("fun\t...x x")
        assert task.show(long).endswith("...")
        assert "\n" not in task.show(long)

    def test_floor_is_the_first_sentence_or_nothing(self, make_rows):
        task = QuestionAnswering()
        rows = make_rows([
            paragraph("fine fun. the film", [("fine fun", 0)], identity="a"),
            paragraph("the film. fine fun", [("fine fun", 10)], identity="b"),
        ])  # fmt: skip
        assert task.trivial_score(task.references(rows)) == 0.5
        exact = QuestionAnswering("exact_match")
        assert exact.trivial_score(exact.references(rows)) == 0.5

    def test_decisions_for_files(self, make_rows):
        paragraphs = tiny_tokens.make_paragraphs(5)
        rows = make_rows(paragraphs)
        task, every = QuestionAnswering(), np.arange(5)
        width = rows.lengths("token_ids").max()
        masks = rows.padded("token_mask", every, width)
        labels = task.decisions_of(rows.padded("label", every, width, -1))
        logits = logits_of(rows).padded(every, width)
        logits[:, 1] = 99.0  # In the question.
        np.testing.assert_array_equal(task.decisions(logits, masks), labels)
        assert labels.shape == (5, 2) and (labels > 0).all()
        unlabelled = np.where(masks == 1, 0, -1)
        assert (task.decisions_of(unlabelled) == -1).all()

    def test_agreement_and_divergence(self, make_rows):
        rows = make_rows(tiny_tokens.make_paragraphs(4))
        task = QuestionAnswering()
        references = task.references(rows)
        values = task.select_outputs(logits_of(rows), rows)
        assert task.agreement(values, values, references) == 1.0
        assert task.divergence(values, values, references) == pytest.approx(0.0)
        other = values.copy()
        place = np.flatnonzero(rows.row("label", 0) == 2)[0]
        other[place, 1] = -9.0
        assert task.agreement(values, other, references) == 0.75
        assert task.divergence(values, other, references) > 0.1


def test_it_is_built_again_from_what_it_says():
    task = QuestionAnswering("exact_match", "cmrc", 7, 40, True, 1.5)
    again = build_task(**json.loads(json.dumps(task.to_dict())))
    assert again.to_dict() == task.to_dict()
    assert isinstance(again.teacher_loss("soft_targets", 2.0, 1.0),
                      SpanSoftTargets)  # fmt: skip


def test_other_settings_are_refused():
    with pytest.raises(ValueError, match="`scoring` must be one of"):
        QuestionAnswering(scoring="bleu")
    with pytest.raises(ValueError, match="`metric` of the task 'question_"):
        QuestionAnswering("accuracy")
