"""Tokens of words that are given one by one, as tagged text has them."""

import json
import re

from keras_kd.data.tokenization import Tokenizer

# A word, or a sign of punctuation; each Han character by itself.
WORDS = re.compile(r"[一-鿿]|[^\W一-鿿]+(?:['’-][^\W一-鿿]+)*|[^\w\s]")


def split_words(text):
    """The words and signs of a text that is to be tagged.

    >>> split_words("Angela Merkel's plan.")
    ['Angela', "Merkel's", 'plan', '.']
    """
    return WORDS.findall(text)


def encode_words(tokenizer: Tokenizer, sentences, most):
    """The pieces of each word; every word has at least one.

    A word that the tokenizer leaves nothing of, such as a control character,
    is an unknown token, and one of very many pieces loses its end: no word is
    lost.

    Args:
        tokenizer: `Tokenizer`.
        sentences: List of lists of words.
        most: The most pieces of a word.

    Returns:
        A list for each sentence, with a list of ids for each word.

    Example:

    ```python
    encode_words(tokenizer, [["Angela", "Merkel"]], most=126)
    ```
    """
    # Byte-level BPE has other tokens for words within a text.
    space = " " if _knows_spaces(tokenizer) else ""
    words = [space + word for sentence in sentences for word in sentence]
    pieces = iter(tokenizer.encode_plain(words))
    unknown = [tokenizer.unk_id if tokenizer.unk_id is not None else 0]
    return [
        [list(next(pieces))[:most] or unknown for _ in sentence]
        for sentence in sentences
    ]


def _knows_spaces(tokenizer):
    description = json.loads(tokenizer.backend.to_str())["pre_tokenizer"] or {}
    parts = description.get("pretokenizers", [description])
    return any(
        part.get("type") == "ByteLevel" and not part.get("add_prefix_space")
        for part in parts
    )
