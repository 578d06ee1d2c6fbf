"""Rows of tagged sentences: a label on the first piece of each word."""

import dataclasses
import itertools
import json

import numpy as np

from keras_kd.batch import NO_TOKEN
from keras_kd.data.errors import DataError
from keras_kd.data.rows import target_key
from keras_kd.data.token_windows import own_window
from keras_kd.data.token_windows import token_windows
from keras_kd.data.words import encode_words


@dataclasses.dataclass(frozen=True)
class TaggedWords:
    """The true tags of sentences, one after the other.

    Attributes:
        tags: `[words]`, numbers of tags.
        lengths: Words of each sentence.
    """

    tags: np.ndarray
    lengths: np.ndarray

    def sentences(self, tags, names):
        """Numbers of tags as lists of names, one for each sentence."""
        tags = iter(tags)
        return [
            [names[tag] for tag in itertools.islice(tags, length)]
            for length in self.lengths
        ]


def sentence_rows(sentences, labels, tokenizer, max_length, overlap):
    """Yields the rows of each sentence, in a list: one, or several windows.

    A sentence that is longer than a row is cut between words into windows that
    overlap; each word has its label, and is read from, where it has most
    context.

    | column | holds |
    |---|---|
    | `word_ids` | the number of the word whose first piece a token is, or \
`NO_TOKEN` |
    | `token_mask` | 1 on those tokens |
    | `label` | their tags |
    | `window` | 0, 1, ... of the sentence's windows |
    | `words` | all words of the sentence, as JSON |
    | `group_key` | the same for all windows of a sentence |

    Args:
        sentences: List of `Example`, whose fields are words.
        labels: List with the numbers of each sentence's tags, or `None`.
        tokenizer: `Tokenizer`.
        max_length: The most tokens of a row.
        overlap: Tokens that two windows share.
    """
    template = tokenizer.template()
    room = max_length - template.special_count
    encoded = encode_words(tokenizer, [one.fields for one in sentences], room)
    for example, tags, pieces in zip(sentences, labels, encoded):
        windows = token_windows([len(p) for p in pieces], room, overlap)
        owners = own_window(windows, len(pieces))
        rows = []
        for number, (start, stop) in enumerate(windows):
            ids = [token for word in pieces[start:stop] for token in word]
            token_ids, segment_ids = template.fill([ids], len(ids))
            word_ids = np.full(len(token_ids), NO_TOKEN, "int32")
            label = word_ids.copy()
            position = len(template.before)
            for word in range(start, stop):
                if owners[word] == number:
                    word_ids[position] = word
                    label[position] = 0 if tags is None else tags[word]
                position += len(pieces[word])
            rows.append(
                {
                    "example_id": example.example_id,
                    "target_key": target_key(token_ids, segment_ids),
                    "group_key": target_key(*pieces),
                    "token_ids": token_ids,
                    "word_ids": word_ids,
                    "token_mask": (word_ids != NO_TOKEN).astype("int32"),
                    "label": label,
                    "label_weight": float(tags is not None),
                    "window": number,
                    "words": json.dumps(example.fields, ensure_ascii=False),
                }
            )
        yield rows


def own_token_columns(rows, tokenizer, max_length):
    """Yields the columns of rows that another tokenizer reads, one by one.

    A row keeps its words. `teacher_positions` says for each token which one of
    the teacher's is the first piece of the same word, so that what the teacher
    says of a word is found; `NO_TOKEN` for further pieces. Where the words
    take more tokens than a row has, the longest lose their ends.

    Args:
        rows: `Rows` of sentences, as the teacher reads them.
        tokenizer: The student's `Tokenizer`.
        max_length: The most tokens of a row.

    Raises:
        DataError: More words than a row has tokens.
    """
    template = tokenizer.template()
    room = max_length - template.special_count
    for row in range(len(rows)):
        teacher_ids = rows.row("word_ids", row)
        (places,) = np.nonzero(teacher_ids != NO_TOKEN)
        words = json.loads(rows.text("words", row))
        own = [words[number] for number in teacher_ids[places]]
        if len(own) > room:
            raise DataError(
                f"'{rows.text('example_id', row)}': {len(own)} words in a row "
                f"of {room} tokens. Give a larger `max_length`."
            )
        (pieces,) = encode_words(tokenizer, [own], room)
        most = room
        while sum(min(len(word), most) for word in pieces) > room:
            most -= 1
        pieces = [word[:most] for word in pieces]
        token_ids, _ = template.fill([sum(pieces, [])], room)
        firsts = len(template.before) + np.cumsum([0, *map(len, pieces)])[:-1]
        columns = {"token_ids": token_ids}
        for name, values in (
            ("word_ids", teacher_ids[places]),
            ("label", rows.row("label", row)[places]),
            ("teacher_positions", places),
        ):
            columns[name] = np.full(len(token_ids), NO_TOKEN, "int32")
            columns[name][firsts] = values
        mask = columns["word_ids"] != NO_TOKEN
        yield {**columns, "token_mask": mask.astype("int32")}


def words_of_rows(rows):
    """Where each word of each sentence is read from, in their order.

    Args:
        rows: `Rows` of whole sentences.

    Returns:
        `(places, labels, lengths)`: `[words]` numbers of tokens among those of
        all rows, `[words]` labels, and how many words each sentence has.
    """
    start, sentence = 0, -1
    places, words, labels, sentences = [], [], [], []
    for row, window in enumerate(rows.column("window")):
        sentence += int(window == 0)
        word_ids = rows.row("word_ids", row)
        (own,) = np.nonzero(word_ids != NO_TOKEN)
        places.append(start + own)
        words.append(word_ids[own])
        labels.append(rows.row("label", row)[own])
        sentences.append(np.full(len(own), sentence))
        start += len(word_ids)
    places, words, labels, sentences = map(
        np.concatenate, (places, words, labels, sentences)
    )
    order = np.lexsort((words, sentences))
    lengths = np.bincount(sentences, minlength=sentence + 1)
    return places[order], labels[order], lengths
