"""Raw text as rows of tokens, without tasks and labels."""

import itertools

from keras_kd.data.rows import target_key

TEXTS_AT_ONCE = 256


def text_windows(texts, tokenizer, max_length=128, least=8, first=0):
    """Cuts texts into windows of tokens, each as a model reads a text.

    A text that is longer than a window goes on in the next one, so that
    nothing of it is lost.

    Args:
        texts: Iterable of strings.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
        max_length: The most tokens of a window, special ones included.
        least: Windows of fewer tokens than this, special ones aside, are left
            out: nothing can be told of a masked word without others.
        first: Number of the first text, which its windows' ids begin with.

    Yields:
        Dictionaries, for `keras_kd.data.rows.write_rows`.

    Raises:
        ValueError: No window of so many tokens has room for `least` of them.
    """
    template = tokenizer.template()
    room = max_length - template.special_count
    if not 1 <= least <= room:
        raise ValueError(
            f"`max_length` must leave room for `least` tokens beside the "
            f"{template.special_count} special ones. Received: max_length="
            f"{max_length}, least={least}."
        )
    texts = iter(texts)
    number = first
    while group := list(itertools.islice(texts, TEXTS_AT_ONCE)):
        for ids in tokenizer.encode_plain(group):
            for start in range(0, len(ids), room):
                window = ids[start : start + room]
                if len(window) >= least:
                    token_ids, segment_ids = template.fill([window], room)
                    yield {
                        "example_id": f"{number}:{start}",
                        "target_key": target_key(token_ids, segment_ids),
                        "token_ids": token_ids,
                    }
            number += 1


def read_by_another(rows, tokenizer, other, max_length):
    """The same windows, as another tokenizer reads their text.

    The text is what the tokens spell: what a tokenizer drops, such as capital
    letters, the other one does not see either.

    Args:
        rows: `Rows` of `text_windows`.
        tokenizer: Their `keras_kd.data.tokenization.Tokenizer`.
        other: The `Tokenizer` that reads them now.
        max_length: The most tokens of a row; longer ones lose their end.

    Yields:
        Dictionaries, one a row, in the order of the rows.
    """
    template = other.template()
    room = max_length - template.special_count
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        numbers = range(start, min(start + TEXTS_AT_ONCE, len(rows)))
        texts = [
            tokenizer.backend.decode(
                rows.row("token_ids", number).tolist(), skip_special_tokens=True
            )
            for number in numbers
        ]
        for number, ids in zip(numbers, other.encode_plain(texts)):
            token_ids, segment_ids = template.fill([ids], room)
            yield {
                "example_id": rows.text("example_id", number),
                "target_key": target_key(token_ids, segment_ids),
                "token_ids": token_ids,
            }
