"""What a tokenizer makes of each character of Unicode: asked, not assumed."""

import functools
import json

# A character that no normaliser changes and no text class holds: characters
# are strung together with it, to ask the tokenizer about all of them at once.
SEPARATOR = "\u2603"
LETTER = "x"
MAX_CODE_POINT = 0x10FFFF


@functools.lru_cache(maxsize=8)
def classify_characters(normalizer):
    """Asks `tokenizers` what BERT's steps make of every character of Unicode.

    That takes some seconds, and is the same for every vocabulary.

    Args:
        normalizer: JSON of a `BertNormalizer`.

    Returns:
        Dictionary of lists of characters: those that are `deleted`, that
        become `spaces`, that are `ideographs` (and stand alone already before
        anything is split), and that the pre-tokenizer makes `isolated` words.
    """
    import tokenizers

    backend = tokenizers.Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "normalizer": json.loads(normalizer),
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""},
            }
        )
    )
    characters = [
        chr(code)
        for code in range(MAX_CODE_POINT + 1)
        if not 0xD800 <= code <= 0xDFFF and chr(code) != SEPARATOR
    ]
    normalized = backend.normalizer.normalize_str(
        SEPARATOR.join(characters)
    ).split(SEPARATOR)
    classes = {"deleted": [], "spaces": [], "ideographs": []}
    for character, text in zip(characters, normalized, strict=True):
        if not text:
            classes["deleted"].append(character)
        elif not text.strip(" "):
            classes["spaces"].append(character)
        elif text.startswith(" "):
            classes["ideographs"].append(character)
    pieces = backend.pre_tokenizer.pre_tokenize_str(
        LETTER + LETTER.join(characters) + LETTER
    )
    classes["isolated"] = [
        piece for piece, _ in pieces if len(piece) == 1 and piece != LETTER
    ]
    return classes


def any_of(characters):
    """A regular expression (RE2) for any one of the characters."""
    codes = sorted(ord(character) for character in characters)
    ranges = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    return "[{}]".format(
        "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges)
    )
