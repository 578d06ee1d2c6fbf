"""Questions about a text: SQuAD's JSON, rows of it, and TFDS."""

import collections
import json
import numbers
from pathlib import Path

import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.json_files import read_json_rows
from keras_kd.data.parquet_files import read_parquet
from keras_kd.data.prepared_datasets import PREFIX
from keras_kd.data.prepared_datasets import read_prepared
from keras_kd.data.tagged_files import check_file
from keras_kd.data.text_files import raw_lines

# How far from its offset an answer is looked for.
NEAR_BY = 40
NO_PLACE = -1
COLUMNS = ["id", "question", "context", "answers"]
# TFDS gives arrays for lists.
_SEQUENCES = (list, tuple, np.ndarray)
_KINDS = {str: "a string", _SEQUENCES: "a list", numbers.Integral: "an integer"}


class Questions:
    """Questions about a text, as examples of two fields: question and context.

    | source | how it is read |
    |---|---|
    | `.json` with a key `data` | SQuAD 1.1 or 2.0, or CMRC 2018 |
    | `.jsonl`, `.parquet`, `tfds:NAME` | rows with `id`, `question`, \
`context` and `answers`, which holds `text` and `answer_start` |

    Text files may be compressed, `.gz`. The label of an example is a tuple of
    `(answer, offset in characters)`, empty where there is no answer in the
    context. Where the context does not hold an answer at its offset, the
    answer is looked for near by: if it occurs there once, the offset is
    repaired, and else it is `NO_PLACE`. Such an answer is scored by, and not
    learned from.

    Args:
        source: Path, or TFDS name.
        split: Split of a TFDS source.
        encoding: Of text files.
        labelled: Whether answers are read at all.

    Attributes:
        repaired: Ids of questions, one for each offset that was repaired.
        without_place: The same for answers that the context does not hold.
        without_questions: Number of contexts that nothing is asked about.

    Raises:
        DataError: While it is iterated over: a file that can't be read, an id
            twice, or a row that lacks something.
    """

    def __init__(self, source, split=None, encoding="utf-8", labelled=True):
        self.source = source
        self.split = split
        self.encoding = encoding
        self.labelled = labelled
        self._forget()

    def _forget(self):
        self.repaired, self.without_place = [], []
        self.without_questions = 0

    @property
    def ids(self):
        """The questions of answers that are not where the file says."""
        return {
            "answers_whose_offset_was_repaired": self.repaired,
            "answers_that_the_context_does_not_hold": self.without_place,
        }

    @property
    def counts(self):
        """How often each of these was found, and contexts without any."""
        return {
            **{name: len(ids) for name, ids in self.ids.items()},
            "contexts_without_questions": self.without_questions,
        }

    def __iter__(self):
        self._forget()
        seen = collections.Counter()
        for identity, question, context, answers in self._rows():
            seen[identity] += 1
            if seen[identity] > 1:
                raise DataError(
                    f"{self.source}: the id {identity!r} stands there twice. "
                    "Expected an id of its own for each question."
                )
            label = None
            if answers is not None and self.labelled:
                label = self._checked(identity, context, answers)
            yield Example(identity, (question, context), label)
        if not seen:
            raise DataError(
                f"{self.source} has no question. Expected paragraphs with a "
                "context and questions ('qas')."
            )

    def _rows(self):
        path = Path(self.source)
        name = path.name.lower().removesuffix(".gz")
        names = COLUMNS if self.labelled else COLUMNS[:3]
        columns = dict(zip(names, names))
        if str(self.source).startswith(PREFIX):
            rows = read_prepared(str(self.source), self.split, columns)
        elif name.endswith(".parquet"):
            rows = read_parquet(path, columns)
        else:
            check_file(path)
            if name.endswith(".json"):
                yield from self._of_document(path)
                return
            rows = read_json_rows(path, columns, self.encoding, False)
        for number, values in rows:
            where = f"{self.source}, row {number}"
            entry = dict(zip(columns, values))
            answers = entry.get("answers")
            if answers is not None:
                answers = _pairs(answers, where)
            yield (
                str(entry["id"]),
                _text(entry, "question", where),
                _text(entry, "context", where),
                answers,
            )

    def _checked(self, identity, context, answers):
        """The answers with offsets that hold."""
        kept = []
        for text, start in answers:
            place = find_answer(context, text, start)
            if place == NO_PLACE:
                self.without_place.append(identity)
            elif place != start:
                self.repaired.append(identity)
            kept.append((text, place))
        return tuple(kept)

    def _of_document(self, path):
        """Rows of SQuAD's JSON, one document."""
        try:
            document = json.loads("".join(raw_lines(path, self.encoding)))
            articles = document["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is not of SQuAD's form: {type(error).__name__}: "
                f"{error}. Expected an object with the key 'data': a list of "
                "articles with 'paragraphs', each with a 'context' and "
                "questions ('qas')."
            ) from None
        _of_kind(articles, "data", path, _SEQUENCES)
        for number, article in enumerate(articles, 1):
            where = f"{path}, article {number}"
            for paragraph in _list(article, "paragraphs", where):
                context = _text(paragraph, "context", where)
                questions = _list(paragraph, "qas", where)
                self.without_questions += not questions
                for entry in questions:
                    identity = str(_item(entry, "id", where))
                    asked = f"{path}, question {identity!r}"
                    question = _text(entry, "question", asked)
                    answers = entry.get("answers")
                    if entry.get("is_impossible"):
                        answers = []
                    if answers is not None:
                        answers = _pairs(answers, asked)
                    yield identity, question, context, answers


def find_answer(context, text, start, near_by=NEAR_BY):
    """Where an answer stands: at its offset, or once near by.

    Example:

    >>> find_answer("It was in 1066.", "1066", 9), find_answer("abab", "b", 9)
    (10, -1)
    """
    if not text:
        return NO_PLACE
    if start >= 0 and context.startswith(text, start):
        return start
    low = max(0, start - near_by)
    part = context[low : max(0, start) + near_by + len(text)]
    place = part.find(text)
    if place < 0 or part.find(text, place + 1) >= 0:
        return NO_PLACE
    return low + place


def _pairs(answers, where):
    """`(text, offset)` of answers: a list of objects, or an object of lists."""
    if isinstance(answers, dict):
        texts, starts = (
            _list(answers, key, where) for key in ("text", "answer_start")
        )
        if len(texts) != len(starts):
            raise DataError(
                f"{where}: {len(texts)} answers and {len(starts)} offsets. "
                "Expected an offset for each."
            )
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(texts, starts)
        ]
    return [
        (
            _text(one, "text", where),
            int(_item(one, "answer_start", where, numbers.Integral)),
        )
        for one in _of_kind(answers, "answers", where, _SEQUENCES)
    ]


def _text(entry, key, where):
    return _item(entry, key, where, str)


def _list(entry, key, where):
    return _item(entry, key, where, _SEQUENCES)


def _item(entry, key, where, kind=object):
    if not isinstance(entry, dict) or key not in entry:
        received = sorted(entry) if isinstance(entry, dict) else entry
        raise DataError(
            f"{where}: no {key!r}. Received: {str(received)[:80]}. Expected "
            "SQuAD's form."
        )
    return _of_kind(entry[key], key, where, kind)


def _of_kind(value, key, where, kind):
    if not isinstance(value, kind):
        raise DataError(
            f"{where}: {key!r} is {str(value)[:60]!r} "
            f"({type(value).__name__}). Expected {_KINDS[kind]}."
        )
    return value
