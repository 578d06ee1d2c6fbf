"""Tokens of words that are given one by one, as tagged text has them."""

import functools
import json

from keras_kd.data.tokenization import Tokenizer

_HAN = "[\u4e00-\u9fff]"
_SPACE = r"\t-\r\x1c-\x20\x85\p{Zs}\u2028\u2029"
_LETTER = rf"(?!{_HAN})[\p{{L}}\p{{N}}\p{{M}}_]"
_INITIAL = rf"(?!{_HAN})\p{{L}}"
_CLITIC = rf"['\u2019](?:[sSdDmM]|re|RE|ve|VE|ll|LL)(?!{_LETTER})"
# As CoNLL-2003 cuts words, nearly: each Han character by itself; initials with
# their points; letters and digits with what joins them; the end of "it's";
# and every other sign. `tools/browser_demo/tokens.js` has the same.
_WORD = (
    rf"{_HAN}"
    rf"|(?:{_INITIAL}\.)+{_INITIAL}(?:\.|(?!{_LETTER}))"
    rf"|(?:{_LETTER})+"
    rf"(?:(?:[-&]|(?!{_CLITIC})['\u2019]|(?<=\p{{N}})[.,:](?=\p{{N}}))"
    rf"(?:{_LETTER})+)*"
    rf"|(?<=[\p{{L}}\p{{N}}\p{{M}}_]){_CLITIC}"
    rf"|[^{_SPACE}]"
)


@functools.cache
def _words():
    import regex  # `re` knows no combining marks.

    return regex.compile(_WORD)


def split_words(text):
    """The words and signs of a text that is to be tagged.

    >>> split_words("Angela Merkel's plan, a U.S. one, costs 3.5%.")
    ['Angela', 'Merkel', "'s", 'plan', ',', 'a', 'U.S.', 'one', ',', 'costs', \
'3.5', '%', '.']
    """
    return _words().findall(text)


def word_places(text):
    """`(start, end)` of each of them, in characters."""
    return [match.span() for match in _words().finditer(text)]


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
