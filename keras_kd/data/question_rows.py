"""Rows of questions about a text: windows of the text behind the question."""

import json

import numpy as np

from keras_kd.batch import ENDS
from keras_kd.batch import NO_TOKEN
from keras_kd.batch import STARTS
from keras_kd.data.errors import DataError
from keras_kd.data.rows import target_key
from keras_kd.data.token_windows import token_windows


def question_rows(questions, tokenizer, max_length, overlap):
    """Yields the rows of each question, in a list: one, or several windows.

    A row is the question and as much of the context as fits. Where the context
    does not fit, it is cut into windows that overlap. The first token of a row
    stands for "no answer in here".

    | column | holds |
    |---|---|
    | `token_mask` | 1 on the tokens of the context, and on the first |
    | `label` | 1 where the answer starts, 2 where it ends, else 0; `NO_TOKEN` \
where none can be |
    | `starts`, `ends` | of each token in the context, in characters |
    | `window` | 0, 1, ... of the question's windows |
    | `question`, `context` | the two texts |
    | `answers` | all answers, as JSON; `null` where they are not known |
    | `group_key` | the same for all questions about a context |

    Args:
        questions: List of `Example`, as `keras_kd.data.question_files` has it.
        tokenizer: `Tokenizer`.
        max_length: The most tokens of a row.
        overlap: Tokens of the context that two windows share.

    Raises:
        DataError: A question that leaves no room for the context.
    """
    template = tokenizer.template(pairs=True)
    asked, contexts = zip(*[example.fields for example in questions])
    questions_ids = tokenizer.encode_plain(asked)
    for example, question, (ids, starts, ends) in zip(
        questions, questions_ids, tokenizer.encode_offsets(contexts)
    ):
        room = max_length - template.special_count - len(question)
        if room <= overlap:
            raise DataError(
                f"'{example.example_id}': a question of {len(question)} tokens "
                f"leaves {room} of {max_length} for its context, and windows "
                f"share {overlap}. Give a larger `max_length`, or a smaller "
                "`stride`."
            )
        key = target_key(np.frombuffer(example.fields[1].encode(), "uint8"))
        span = None
        if example.label:
            span = answer_span(example.label, starts, ends)
        rows = []
        windows = token_windows([1] * max(len(ids), 1), room, overlap)
        for number, (start, stop) in enumerate(windows):
            part = ids[start:stop]
            token_ids, segment_ids = template.fill(
                [question, part], len(question) + len(part)
            )
            first = _place_of_context(template, len(question))
            where = slice(first, first + len(part))
            row_starts = np.full(len(token_ids), NO_TOKEN, "int32")
            row_ends, mask = row_starts.copy(), np.zeros_like(row_starts)
            row_starts[where] = starts[start:stop]
            row_ends[where] = ends[start:stop]
            mask[where] = mask[0] = 1
            label = np.where(mask == 1, 0, NO_TOKEN).astype("int32")
            if span is not None and start <= span[0] and span[1] < stop:
                label[first + span[0] - start] += STARTS
                label[first + span[1] - start] += ENDS
            else:
                label[0] = STARTS + ENDS
            rows.append(
                {
                    "example_id": example.example_id,
                    "target_key": target_key(token_ids, segment_ids),
                    "group_key": key,
                    "token_ids": token_ids,
                    "segment_ids": segment_ids,
                    "token_mask": mask,
                    "label": label,
                    # Of an answer without a place nothing can be learned.
                    "label_weight": float(
                        example.label == () or span is not None
                    ),
                    "starts": row_starts,
                    "ends": row_ends,
                    "window": number,
                    "question": example.fields[0],
                    "context": example.fields[1],
                    "answers": json.dumps(
                        example.label and [text for text, _ in example.label],
                        ensure_ascii=False,
                    ),
                }
            )
        yield rows


def answer_span(answers, starts, ends):
    """The first and last token of the first answer that has a place.

    Args:
        answers: Tuple of `(text, offset)`.
        starts, ends: Of each token, in characters.

    Returns:
        `(first, last)`, or `None`: no answer has a place, or it has no token.
    """
    for text, place in answers:
        if place < 0:
            continue
        inside = np.flatnonzero(
            (np.asarray(ends) > place)
            & (np.asarray(starts) < place + len(text))
        )
        if len(inside):
            return inside[0], inside[-1]
    return None


def _place_of_context(template, question_length):
    """The position of the first token of the second text."""
    place = 0
    for sequence, *_ in template.parts:
        if sequence == 1:
            return place
        place += question_length if sequence == 0 else 1
    return place
