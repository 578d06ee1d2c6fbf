"""Reading: the answer to a question is a part of a text."""

import json

import numpy as np

from keras_kd.batch import ENDS
from keras_kd.batch import NO_TOKEN
from keras_kd.batch import STARTS
from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.question_files import Questions
from keras_kd.data.question_rows import question_rows
from keras_kd.evaluation.answer_scores import RULES
from keras_kd.evaluation.answer_scores import answer_scores
from keras_kd.evaluation.best_answers import AnswerRows
from keras_kd.evaluation.best_answers import best_answers
from keras_kd.evaluation.best_answers import best_threshold
from keras_kd.evaluation.best_answers import span_nll
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.span_cross_entropy import span_cross_entropy
from keras_kd.losses.span_soft_targets import SpanSoftTargets
from keras_kd.tasks.task import EXAMPLES_AT_ONCE
from keras_kd.tasks.task import Task
from keras_kd.tasks.task import groups

# How many answers share in a probability.
BEST = 20
# Where the first sentence of a text ends.
SENTENCE_ENDS = ".!?。！？"


class QuestionAnswering(Task):
    """Finds the part of a text that answers a question about it.

    A model gives two logits for each token: that the answer starts there, and
    that it ends there. A context that is longer than a model reads is cut into
    windows that overlap, and the best answer of all windows is given.

    Args:
        metric: `"answer_f1"` (the default) or `"exact_match"`.
        scoring: By whose rules answers are compared: `"squad"` or `"cmrc"`.
        stride: Tokens of the context that two windows share; by default a
            third of `max_length`.
        longest_answer: The most tokens of an answer.
        no_answer: Whether a context need not hold the answer, as in SQuAD 2.0.
        threshold: How much better "no answer" has to score than the best
            answer, to be given. Scores say which threshold would be best.

    Raises:
        ValueError: Another metric or other rules.

    Example:

    >>> QuestionAnswering().num_outputs
    2
    """

    name = "question_answering"
    metrics_of_choice = ("answer_f1", "exact_match")
    per_token = True
    task_head = "span"
    num_outputs = 2
    bootstrap_metric = None
    read_source = Questions

    def __init__(
        self,
        metric=None,
        scoring="squad",
        stride=None,
        longest_answer=30,
        no_answer=False,
        threshold=0.0,
    ):
        super().__init__(metric)
        if scoring not in RULES:
            raise ValueError(
                f"`scoring` must be one of {list(RULES)}. Received: {scoring!r}"
            )
        self.scoring = scoring
        self.stride = stride
        self.longest_answer = longest_answer
        self.no_answer = no_answer
        self.threshold = threshold

    def to_dict(self):
        return {
            **super().to_dict(),
            "scoring": self.scoring,
            "stride": self.stride,
            "longest_answer": self.longest_answer,
            "no_answer": self.no_answer,
            "threshold": self.threshold,
        }

    # === Rows ===

    def featurize(self, examples, tokenizer, max_length, counts=None):
        """As `Task.featurize`; the fields are question and context."""
        stride = max_length // 3 if self.stride is None else self.stride
        for group in groups(examples, EXAMPLES_AT_ONCE):
            for example, rows in zip(
                group, question_rows(group, tokenizer, max_length, stride)
            ):
                if example.label == () and not self.no_answer:
                    raise DataError(
                        f"'{example.example_id}' has no answer in its context, "
                        "and no question of the run's own files is so. Leave "
                        "it out, or train with such questions, as those of "
                        "SQuAD 2.0."
                    )
                if counts is not None:
                    counts["contexts_cut_into_windows"] += len(rows) > 1
                    counts["questions_without_a_place_to_learn_from"] += (
                        bool(example.label) and not rows[0]["label_weight"]
                    )
                yield from rows

    def example_of(self, text, example_id):
        """A pair of question and context as an example."""
        return Example(example_id, tuple(text))

    # === Learning ===

    def hard_label_loss(self):
        """The loss on the places of answers, for `Distiller.compile`."""
        return span_cross_entropy

    def metrics(self):
        """None: whether the text is right shows on validation."""
        return []

    def teacher_loss(
        self, name, temperature, weight, squared=True, shifted=False
    ):
        """The loss on the teacher's logits."""
        if name == "logits_mse":
            return LogitsMSE(weight=weight)
        return SpanSoftTargets(temperature, weight, squared)

    # === Scores ===

    def select_outputs(self, logits, rows):
        """All of them, row after row, `[tokens, 2]`."""
        return logits.values

    def references(self, rows):
        """The contexts and true answers: `AnswerRows`."""
        every = range(len(rows))
        first = rows.column("window") == 0
        firsts = np.flatnonzero(first)

        def tokens(name):
            return np.concatenate([rows.row(name, row) for row in every])

        return AnswerRows(
            lengths=rows.lengths("token_ids"),
            owners=np.cumsum(first) - 1,
            token_masks=tokens("token_mask"),
            starts=tokens("starts"),
            ends=tokens("ends"),
            labels=tokens("label"),
            labelled=rows.column("label_weight"),
            contexts=[rows.text("context", row) for row in firsts],
            answers=[
                json.loads(rows.text("answers", row)) or [] for row in firsts
            ],
        )

    def read(self, logits, references, count=1):
        """The answers that are given, the best first, for each question.

        Args:
            logits: As `select_outputs` gives them.
            references: As `references` gives them.
            count: How many answers.

        Returns:
            A list for each question, as `best_answers` gives it; where none
            is the best answer, `text` is empty.
        """
        answers, margins = self._answers(logits, references, count)
        return [
            self._ranked(found, margin)[0][:count]
            for found, margin in zip(answers, margins)
        ]

    def _ranked(self, found, margin):
        """Answers with "no answer" where it belongs; those not given.

        It is the best of them, or it is not given.
        """
        score = found[0]["score"] + margin if found else 0.0
        none = {"text": "", "start": 0, "end": 0, "score": score}
        if not found or (self.no_answer and margin > self.threshold):
            return [none, *found], []
        return found, [none] if self.no_answer else []

    def _answers(self, logits, references, count=1):
        """Answers, and how much better "no answer" scores than the best."""
        answers, none = best_answers(
            logits, references, self.longest_answer, count
        )
        best = [one[0]["score"] if one else -np.inf for one in answers]
        return answers, none - np.array(best)

    def _texts(self, logits, references):
        answers = self.read(logits, references)
        return [one[0]["text"] for one in answers]

    def scores(self, logits, references):
        """`exact_match`, `answer_f1`, `nll`, and of what has no answer."""
        exact, f1 = answer_scores(
            self._texts(logits, references), references.answers, self.scoring
        )
        scores = {
            "exact_match": float(exact.mean()),
            "answer_f1": float(f1.mean()),
            "nll": span_nll(logits, references),
        }
        if self.no_answer:
            scores |= self._scores_of_no_answer(logits, references, exact, f1)
        return scores

    def _scores_of_no_answer(self, logits, references, exact, f1):
        """The two kinds of questions by themselves, and the best threshold."""
        has = np.array([bool(one) for one in references.answers])
        answers, margins = self._answers(logits, references)
        texts = [one[0]["text"] if one else "" for one in answers]
        _, answered = answer_scores(texts, references.answers, self.scoring)
        threshold, best = best_threshold(
            answered, (~has).astype("float64"), margins
        )
        scores = {"best_threshold": threshold, "best_answer_f1": best}
        for name, chosen in (("has_answer", has), ("no_answer", ~has)):
            if chosen.any():
                scores[f"{name}_exact_match"] = float(exact[chosen].mean())
                scores[f"{name}_f1"] = float(f1[chosen].mean())
        return scores

    def comparable(self, logits, references):
        """The primary metric of each question."""
        exact, f1 = answer_scores(
            self._texts(logits, references), references.answers, self.scoring
        )
        return exact if self.primary_metric == "exact_match" else f1

    def decisions(self, logits, token_masks):
        """Where the answers of rows start and end most probably, `[rows, 2]`.

        Args:
            logits: `[rows, length, 2]`.
            token_masks: `[rows, length]`.
        """
        allowed = np.asarray(token_masks)[:, :, np.newaxis] == 1
        return np.where(allowed, logits, -np.inf).argmax(axis=1)

    def decisions_of(self, labels):
        """The same of labels, `NO_TOKEN` where there is none."""
        places = np.stack([labels % ENDS == STARTS, labels // ENDS == 1], -1)
        places &= labels[:, :, np.newaxis] > 0
        return np.where(places.any(axis=1), places.argmax(axis=1), NO_TOKEN)

    def trivial_score(self, references):
        """The better of the first sentence, and of no answer at all."""
        sentences = [_first_sentence(text) for text in references.contexts]
        return max(
            float(answer_scores(texts, references.answers, self.scoring)[
                self.metrics_of_choice[::-1].index(self.primary_metric)
            ].mean())
            for texts in (sentences, [""] * len(sentences))
        )  # fmt: skip

    def check_logits(self, logits):
        """Any number may say where an answer starts."""

    def check_labels(self, references, part):
        """Refuses rows of which nothing can be learned.

        Raises:
            DataError: No question of them has an answer.
        """
        if not any(references.answers):
            raise DataError(
                f"None of the {len(references.answers)} questions of the "
                f"{part} part has an answer. Check the file."
            )

    def agreement(self, a, b, references):
        """Share of questions that two models give the same answer."""
        pairs = zip(self._texts(a, references), self._texts(b, references))
        return float(np.mean([one == other for one, other in pairs]))

    def divergence(self, teacher, student, references):
        """Mean KL of where answers start and end, over rows."""
        places, values = np.cumsum([0, *references.lengths]), []
        for first, last in zip(places, places[1:]):
            allowed = references.token_masks[first:last] == 1
            p, q = (
                one - np.logaddexp.reduce(one, axis=0)
                for one in (
                    np.asarray(logits[first:last], "float64")[allowed]
                    for logits in (teacher, student)
                )
            )
            values.append((np.exp(p) * (p - q)).sum(axis=0).mean())
        return float(np.mean(values))

    def answers(self, logits, rows):
        """`(answer, probability)` of each question.

        The answer is a dictionary: `text`, `start`, `end`, the `context` that
        it stands in, and the `others`, the next best, each with its own
        `probability`: its share among the best twenty answers, and that there
        is none.
        """
        references = self.references(rows)
        result = []
        for context, found, margin in zip(
            references.contexts, *self._answers(logits, references, BEST)
        ):
            ranked, rest = self._ranked(found, margin)
            scores = np.array([one["score"] for one in ranked + rest])
            shares = np.exp(scores - np.logaddexp.reduce(scores)).tolist()
            others = [
                {**one, "context": context, "probability": share}
                for one, share in zip(ranked[1:], shares[1:])
            ]
            best = {**ranked[0], "context": context, "others": others}
            result.append((best, shares[0]))
        return result

    def further(self, answer):
        """The next best answers: `(answer, probability)`."""
        return [(one, one["probability"]) for one in answer["others"]]

    def show(self, answer, around=30):
        """An answer as a line, with what stands around it."""
        if not answer["text"]:
            return "(no answer)"
        start, end, context = answer["start"], answer["end"], answer["context"]
        before = context[max(0, start - around) : start]
        after = context[end : end + around]
        left = "..." if start > around else ""
        right = "..." if end + around < len(context) else ""
        line = f"{answer['text']}\t{left}{before}[{answer['text']}]{after}"
        return " ".join((line + right).split("\n"))


def _first_sentence(text):
    ends = [text.find(mark) for mark in SENTENCE_ENDS if mark in text]
    return text[: min(ends, default=len(text))]
