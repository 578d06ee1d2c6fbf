"""Exact match and F1, against the official algorithms written once more."""

import collections
import re
import string

import numpy as np
import pytest
from nltk.tokenize.destructive import NLTKWordTokenizer

from keras_kd.evaluation.answer_scores import answer_scores
from keras_kd.evaluation.best_answers import best_threshold


def squad_by_hand(answer, references):
    """After the evaluation script of SQuAD 2.0, for one question."""

    def bare(text):
        text = text.lower()
        text = "".join(ch for ch in text if ch not in set(string.punctuation))
        text = re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)
        return " ".join(text.split())

    exact = f1 = 0.0
    for reference in list(filter(bare, references)) or [""]:
        exact = max(exact, float(bare(reference) == bare(answer)))
        one, other = bare(reference).split(), bare(answer).split()
        if not one or not other:
            f1 = max(f1, float(one == other))
            continue
        same = sum(
            (collections.Counter(one) & collections.Counter(other)).values()
        )
        if same:
            precision, recall = same / len(other), same / len(one)
            f1 = max(f1, 2 * precision * recall / (precision + recall))
    return exact, f1


def cmrc_by_hand(answer, references, tokenize):
    """After the evaluation script of CMRC 2018, for one question."""
    marks = list("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』") + ["……"]

    def segments(text):
        found, piece = [], ""
        for character in text.lower().strip():
            if character in marks:
                continue
            if re.search(r"[\u4e00-\u9fa5]", character):
                if piece:
                    found += tokenize(piece)
                    piece = ""
                found.append(character)
            else:
                piece += character
        return found + (tokenize(piece) if piece else [])

    def bare(text):
        return "".join(c for c in text.lower().strip() if c not in marks)

    def longest(one, other):
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        for i, first in enumerate(one):
            for j, second in enumerate(other):
                if first == second:
                    table[i + 1, j + 1] = table[i, j] + 1
        return table.max()

    exact = f1 = 0.0
    for reference in references:
        exact = max(exact, float(bare(reference) == bare(answer)))
        one, other = segments(reference), segments(answer)
        same = longest(one, other)
        if same:
            precision, recall = same / len(other), same / len(one)
            f1 = max(f1, 2 * precision * recall / (precision + recall))
    return exact, f1


def make_answers(pieces, joiner, count, seed=0):
    """Answers that share something with their references, and references."""
    generator = np.random.default_rng(seed)
    answers, references = [], []
    for _ in range(count):
        own = [
            generator.choice(pieces, generator.integers(1, 7)).tolist()
            for _ in range(generator.integers(1, 4))
        ]
        first = own[0]
        start = generator.integers(len(first))
        answer = (
            first[start:]
            + generator.choice(pieces, generator.integers(0, 3)).tolist()
        )
        references.append([joiner.join(one) for one in own])
        answers.append(joiner.join(answer))
    return answers, references


def test_squad_on_1500_answers():
    pieces = (
        "the a an The car red, RED blue-green 1066 3.5% U.S. don't (old) – "
        "café Ünder theory banana".split()
    )
    answers, references = make_answers(pieces, " ", 1500)
    # Some without an answer, given and true.
    answers[::17] = [""] * len(answers[::17])
    references[::23] = [[]] * len(references[::23])
    exact, f1 = answer_scores(answers, references)
    expected = np.array(
        [squad_by_hand(*pair) for pair in zip(answers, references)]
    )
    np.testing.assert_allclose(exact, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(f1, expected[:, 1], atol=1e-12)
    assert 0.05 < exact.mean() < f1.mean() < 0.95


def test_cmrc_on_1500_answers():
    pieces = list("北京上海的是在年月日人大中国，。《》：") + [
        "1998", "NBA", "A", "-", "3", " ", "GDP ", "·", "W.", "...", "50％",
        "C♯", "±10m", ".NET", "U.S.", "don't", "(a)", "$5", "\"x\"",
    ]  # fmt: skip
    words = NLTKWordTokenizer().tokenize
    answers, references = make_answers(pieces, "", 1500)
    exact, f1 = answer_scores(answers, references, "cmrc")
    expected = np.array(
        [cmrc_by_hand(*pair, words) for pair in zip(answers, references)]
    )
    np.testing.assert_allclose(exact, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(f1, expected[:, 1], atol=1e-12)
    assert 0.05 < exact.mean() < f1.mean() < 0.95


def test_articles_alone_are_no_answers_of_squad():
    exact, f1 = answer_scores(
        ["", "", "the", "car"], [["the", "car"], ["the"], [], ["a", "car"]]
    )
    assert exact.tolist() == f1.tolist() == [0.0, 1.0, 1.0, 1.0]


def test_words_of_cmrc_are_those_of_nltk():
    exact, f1 = answer_scores(["度±10"], [["±10m"]], "cmrc")
    assert (exact.tolist(), f1.tolist()) == ([0.0], [0.0])


def test_other_rules_are_refused():
    with pytest.raises(ValueError, match=r"\['squad', 'cmrc'\]. Received"):
        answer_scores([""], [[""]], "bleu")


def test_best_threshold_is_the_best_of_all():
    generator = np.random.default_rng(0)
    answered = generator.random(200)
    none = (generator.random(200) < 0.4).astype("float64")
    answered[none == 1] = 0.0
    margins = generator.normal(size=200) + none
    threshold, score = best_threshold(answered, none, margins)

    def score_at(threshold):
        return np.where(margins > threshold, none, answered).mean()

    tried = [score_at(edge) for edge in [-np.inf, *margins]]
    assert score == pytest.approx(max(tried))
    assert score_at(threshold) == pytest.approx(score)


@pytest.mark.parametrize(
    "answered, none, margins, expected",
    [
        ([0.0, 0.0], [1.0, 1.0], [1.0, 2.0], 1.0),  # None to all.
        ([1.0, 1.0], [0.0, 0.0], [1.0, 2.0], 1.0),
        ([0.0, 1.0], [1.0, 0.0], [1.0, 1.0], 0.5),  # Not one without the other.
        ([0.0], [1.0], [np.inf], 1.0),
    ],
)
def test_best_thresholds_can_be_reached(answered, none, margins, expected):
    answered, none, margins = map(np.array, (answered, none, margins))
    threshold, score = best_threshold(answered, none, margins)
    assert np.isfinite(threshold) and score == expected
    given = np.where(margins > threshold, none, answered)
    assert given.mean() == expected
