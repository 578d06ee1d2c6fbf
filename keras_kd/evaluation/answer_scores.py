"""Exact match and F1 of answers, counted as SQuAD and CMRC count them."""

import collections
import functools
import re
import string

import numpy as np

RULES = ("squad", "cmrc")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Those of the official script, which leaves a single "…" in.
_CMRC_PUNCTUATION = str.maketrans(
    "", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
)
# A Han character, or what stands between them.
_CMRC_PARTS = re.compile(r"[一-龥]|[^一-龥]+")


def answer_scores(answers, gold, rules="squad"):
    """Exact match and F1 of each answer; the best of several gold answers.

    | rules | compares |
    |---|---|
    | `"squad"` | words, without case, punctuation and articles |
    | `"cmrc"` | Chinese characters and words of other letters, without \
punctuation; F1 by the longest run that both have |

    Args:
        answers: List of strings; `""` where there is no answer.
        gold: List of lists of strings, empty where there is no answer.
        rules: One of `RULES`.

    Returns:
        `(exact_match, f1)`, arrays `[questions]`.

    Raises:
        ValueError: Other rules.

    Example:

    >>> exact, f1 = answer_scores(["The red car"], [["a red car", "blue"]])
    >>> float(exact[0]), float(f1[0])
    (1.0, 1.0)

    Source: Rajpurkar et al. 2016 and 2018; Cui et al. 2019, "A Span-Extraction
    Dataset for Chinese Machine Reading Comprehension".
    """
    if rules not in RULES:
        raise ValueError(
            f"`rules` must be one of {list(RULES)}. Received: {rules!r}."
        )
    score = _squad_scores if rules == "squad" else _cmrc_scores
    if rules == "squad":
        # As the script of version 2.0, which leaves out what is only an
        # article or a sign.
        gold = [list(filter(normalize_answer, one)) for one in gold]
    pairs = [
        # Without an answer it is right to give none.
        np.max([score(answer, one) for one in (references or [""])], axis=0)
        for answer, references in zip(answers, gold, strict=True)
    ]
    exact, f1 = np.array(pairs, "float64").reshape(-1, 2).T
    return exact, f1


def normalize_answer(text):
    """An English answer without case, punctuation and articles."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _squad_scores(answer, gold):
    answer, gold = normalize_answer(answer), normalize_answer(gold)
    words, true_words = answer.split(), gold.split()
    exact = float(answer == gold)
    if not words or not true_words:
        return exact, float(words == true_words)
    shared = collections.Counter(words) & collections.Counter(true_words)
    return exact, _f1(shared.total(), len(words), len(true_words))


def _cmrc_scores(answer, gold):
    exact = float(_bare(answer) == _bare(gold))
    pieces, true_pieces = _cmrc_pieces(answer), _cmrc_pieces(gold)
    if not pieces or not true_pieces:
        # As there; but where there is no answer, none is right.
        return exact, float(not answer and not gold)
    shared = _longest_run(pieces, true_pieces)
    return exact, _f1(shared, len(pieces), len(true_pieces))


def _cmrc_pieces(text):
    """Each Han character, and nltk's words of all others.

    The official script has nltk cut sentences before, with a model that has to
    be downloaded. In answers it tells only whether a point ends a sentence.
    """
    parts = _CMRC_PARTS.findall(_bare(text))
    return [
        piece
        for part in parts
        for piece in (
            [part] if "一" <= part <= "龥" else _word_tokenizer().tokenize(part)
        )
    ]


@functools.cache
def _word_tokenizer():
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def _f1(shared, found, there):
    return 2 * shared / (found + there)


def _bare(text):
    """Small letters without punctuation."""
    return text.lower().strip().translate(_CMRC_PUNCTUATION)


def _longest_run(one, other):
    """Items of the longest run that stands in both."""
    longest = 0
    before = [0] * (len(other) + 1)
    for item in one:
        now = [0] * (len(other) + 1)
        for position, another in enumerate(other):
            if item == another:
                now[position + 1] = before[position] + 1
        longest = max(longest, *now)
        before = now
    return longest
