"""BERT tokenizers that know most characters of a list of nasty strings."""

import functools
import json
from pathlib import Path

import tokenizers

from keras_kd.data.tokenization import Tokenizer

NASTY_STRINGS = Path(__file__).parent / "export/nasty_strings.jsonl"
WORDS = "a fine film the of and ##s ##ing ##ed ##e ##n wor ##ld ##rd".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@functools.cache
def nasty_strings():
    """A list of more than 330 strings."""
    with open(NASTY_STRINGS, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def make_tokenizer(lowercase=True, strip_accents=None, clean_text=True):
    """A BERT tokenizer.

    What is not in the vocabulary is [UNK], whatever it was: a vocabulary with
    every character of the list leaves nothing to hide behind.
    """
    normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=clean_text,
        lowercase=lowercase,
        strip_accents=strip_accents,
    )
    characters = {
        character
        for text in nasty_strings()
        for character in normalizer.normalize_str(text)
        if not character.isspace()
    }
    tokens = SPECIAL + WORDS + sorted(characters - {"a"})
    tokens += [f"##{character}" for character in sorted(characters)]
    vocabulary = {
        token: index for index, token in enumerate(dict.fromkeys(tokens))
    }
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]")
    )
    backend.normalizer = normalizer
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[
            (token, vocabulary[token]) for token in ("[CLS]", "[SEP]")
        ],
    )
    backend.add_special_tokens(SPECIAL)
    return Tokenizer(backend)
