"""Answers from the logits of where they start and end."""

import dataclasses

import numpy as np

# Of starts and of ends, how many are combined.
CANDIDATES = 20


@dataclasses.dataclass(frozen=True)
class AnswerRows:
    """What the logits of questions about texts are read and scored by.

    Attributes:
        lengths: Tokens of each row.
        owners: The number of its question, of each row.
        token_masks: `[tokens of all rows]`, 1 where an answer may stand.
        starts, ends: `[tokens of all rows]`, places in the context, in
            characters.
        labels: `[tokens of all rows]`; see `keras_kd.data.question_rows`.
        labelled: `[rows]`, 1 where a row is learned from.
        contexts: The text of each question.
        answers: The true answers of each question; none where there is none.
    """

    lengths: np.ndarray
    owners: np.ndarray
    token_masks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    labelled: np.ndarray
    contexts: list
    answers: list


def best_answers(logits, rows, longest=30, count=1):
    """The best answers to each question, over all windows of its context.

    Args:
        logits: `[tokens of all rows, 2]`, of starts and ends.
        rows: `AnswerRows`.
        longest: The most tokens of an answer.
        count: How many answers are given.

    Returns:
        `(answers, no_answer)`: for each question a list of dictionaries, the
        best first: `text`, `start` and `end` in characters, and `score`, the
        sum of the two logits; and `[questions]` scores of there being none,
        the least certain window's.

    Source: Devlin et al. 2019, section 4.2 and 4.3.
    """
    found = [[] for _ in rows.contexts]
    no_answer = np.full(len(rows.contexts), np.inf)
    places = np.cumsum([0, *rows.lengths])
    for row, question in enumerate(rows.owners):
        tokens = slice(places[row], places[row + 1])
        scores = np.asarray(logits[tokens], "float64")
        none = scores[0].sum()
        no_answer[question] = min(no_answer[question], none)
        (allowed,) = np.nonzero(rows.token_masks[tokens])
        allowed = allowed[1:]  # The first token stands for no answer.
        found[question] += [
            (score, rows.starts[tokens][first], rows.ends[tokens][last])
            for score, first, last in _best_spans(
                scores, allowed, longest, count
            )
        ]
    answers = []
    for context, candidates in zip(rows.contexts, found):
        # A place that two windows have counts once.
        best = {}
        for score, start, end in sorted(candidates, reverse=True):
            best.setdefault((int(start), int(end)), float(score))
        answers.append(
            [
                {"text": context[i:j], "start": i, "end": j, "score": score}
                for (i, j), score in list(best.items())[:count]
            ]
        )
    return answers, no_answer


def _best_spans(scores, allowed, longest, count):
    """`(score, first, last)` of the best spans of a row."""
    if not len(allowed):
        return []
    first, last = (
        allowed[np.argsort(-scores[allowed, side], kind="stable")[:CANDIDATES]]
        for side in (0, 1)
    )
    sums = scores[first, 0][:, np.newaxis] + scores[last, 1]
    tokens = last - first[:, np.newaxis] + 1
    sums = np.where((tokens > 0) & (tokens <= longest), sums, -np.inf)
    order = np.argsort(-sums, axis=None, kind="stable")[:count]
    return [
        (sums.flat[i], first[i // len(last)], last[i % len(last)])
        for i in order
        if np.isfinite(sums.flat[i])
    ]


def span_nll(logits, rows):
    """Mean cross-entropy of starts and ends on the rows with a label."""
    places, losses = np.cumsum([0, *rows.lengths]), []
    for row in np.flatnonzero(rows.labelled):
        tokens = slice(places[row], places[row + 1])
        allowed = rows.token_masks[tokens] == 1
        scores = np.asarray(logits[tokens], "float64")[allowed]
        labels = rows.labels[tokens][allowed]
        log_probability = scores - np.logaddexp.reduce(scores, axis=0)
        losses.append(
            -log_probability[labels % 2 == 1, 0].sum() / 2
            - log_probability[labels // 2 == 1, 1].sum() / 2
        )
    return float(np.mean(losses)) if losses else float("nan")


def best_threshold(scores_if_answered, scores_if_none, margins):
    """Above which margin of "no answer" it is best to give none.

    Args:
        scores_if_answered: `[questions]`, of the answer given.
        scores_if_none: `[questions]`, of giving none.
        margins: `[questions]`, how much better "no answer" scores than the
            answer.

    Returns:
        `(threshold, score)`: none is given where the margin is above it.
    """
    order = np.argsort(-margins, kind="stable")
    margins = margins[order]
    # The first k of them give none; those of one margin do so together.
    gains = (scores_if_none - scores_if_answered)[order]
    totals = scores_if_answered.sum() + np.concatenate([[0], np.cumsum(gains)])
    totals[1:-1][margins[1:] == margins[:-1]] = -np.inf
    best = int(totals.argmax())
    # Between the last that gives none and the first that does not.
    edges = [*margins, np.nextafter(margins[-1], -np.inf)]
    # Without any place for an answer a margin is infinite, as no JSON is.
    threshold = np.nan_to_num(edges[best])
    return float(threshold), float(totals[best] / len(order))
