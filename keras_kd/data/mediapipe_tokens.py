"""MediaPipe's reading of a WordPiece vocabulary, which is not BERT's."""

import json

from keras_kd.data.errors import DataError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.tokenizer_folder import USUAL_NAMES
from keras_kd.data.tokenizer_folder import surround_as_bert

LONGEST_WORD = 100  # Bytes of UTF-8, not characters.
SPACES = "\t\n\f\r "
# What stands alone: ASCII's signs, all of Unicode's punctuation, ideographs.
SIGNS = (
    r"!-/:-@\[-`{-~\p{P}"
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\uf900-\ufaff"
    "\U0002f800-\U0002fa1f"
)
# Characters of more than one byte in UTF-8, by their number of bytes.
WIDE = {
    2: "\u0080-\u07ff",
    3: "\u0800-\uffff",
    4: "\U00010000-\U0010ffff",
}
# Two code points that are no characters, and in no vocabulary.
FILLER, UNKNOWN = "\U0008fffe", "\U0008ffff"
NEEDED = ("[UNK]", "[CLS]", "[SEP]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Of the tokens that have letters.
MUCH = 0.1


def read_as_mediapipe(tokenizer):
    """Gives a tokenizer that reads a vocabulary as MediaPipe's clients do.

    MediaPipe's Text Classifier has a tokenizer of its own, the same on
    Android, on iOS, in a browser and in Python. It has BERT's WordPiece, and
    other steps before it. A student that was trained with BERT's reads other
    tokens there, unless texts are plain ASCII:

    | | BERT, uncased | MediaPipe |
    |---|---|---|
    | capitals | made small | those of ASCII made small |
    | accents | stripped | kept |
    | control characters | dropped | kept, and a NUL ends the text |
    | white space | all of Unicode's | tab, line and form feed, return, space |
    | long words | 100 characters | 100 bytes |

    Args:
        tokenizer: `Tokenizer` of the kind `"wordpiece"`.

    Returns:
        `Tokenizer` of the same vocabulary.

    Raises:
        DataError: A vocabulary that MediaPipe can't read.

    Example:

    >>> from keras_kd.data.vocabularies import build_tokenizer
    >>> bert = build_tokenizer("wordpiece", ["café cafe"] * 9, 40)
    >>> client = read_as_mediapipe(bert)
    >>> [bert.encode([text], 9) == client.encode([text], 9)
    ...  for text in ("A CAFE?", "Café")]
    [True, False]

    Source: mediapipe/tasks/cc/text/tokenizers/bert_tokenizer.h and
    mediapipe/calculators/tensor/bert_preprocessor_calculator.cc.
    """
    import tokenizers

    check_readable(tokenizer)
    vocabulary = {
        token: index for index, token in enumerate(tokenizer.vocabulary)
    }
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]")
    )
    backend.normalizer = _normalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(
                tokenizers.Regex(f"[{SPACES}]"), "removed"
            ),
            tokenizers.pre_tokenizers.Split(
                tokenizers.Regex(f"[{SIGNS}]"), "isolated"
            ),
        ]
    )
    backend.decoder = tokenizers.decoders.WordPiece()
    surround_as_bert(
        backend, {role: names[0] for role, names in USUAL_NAMES.items()}
    )
    return Tokenizer(backend)


def check_readable(tokenizer):
    """Raises a `DataError` for a vocabulary that MediaPipe can't read."""
    problem = None
    vocabulary = tokenizer.vocabulary
    missing = [token for token in NEEDED if token not in vocabulary]
    if tokenizer.kind != "wordpiece":
        problem = f"a tokenizer of the kind '{tokenizer.kind}'"
    elif missing:
        problem = f"a vocabulary without {', '.join(missing)}"
    elif tokenizer.pad_id != 0:
        problem = f"a vocabulary whose padding is {tokenizer.pad_id}, not 0"
    elif any(not token or {"\n", "\r"} & set(token) for token in vocabulary):
        problem = "a vocabulary with a token that is empty or has a line break"
    elif _continuation(tokenizer) != "##":
        problem = f"pieces of words that begin with {_continuation(tokenizer)}"
    if problem:
        raise DataError(
            f"MediaPipe's Text Classifier reads WordPiece vocabularies as BERT "
            f"has them. Received: {problem}. Train a student with "
            "`tokens` wordpiece, which makes such a vocabulary of your text, "
            "or export another format."
        )


def vocabulary_warnings(tokenizer):
    """What MediaPipe never finds in a vocabulary, in sentences.

    Args:
        tokenizer: `Tokenizer` that passed `check_readable`.
    """
    tokens = [
        token.removeprefix("##")
        for token in tokenizer.vocabulary
        if not (token.startswith("[") and token.endswith("]"))
    ]
    with_letters = [token for token in tokens if any(map(str.isalpha, token))]
    warnings = []
    capitals = sum(token != token.lower() for token in with_letters)
    if capitals > MUCH * len(with_letters):
        warnings.append(
            f"The vocabulary is cased: {capitals} of its tokens have capitals. "
            "MediaPipe makes the letters A to Z small, and never finds them."
        )
    others = sum(
        any(character > "\u024f" and character.isalpha() for character in token)
        for token in with_letters
    )
    if others > MUCH * len(with_letters):
        warnings.append(
            f"{others} of the vocabulary's tokens are not in Latin letters. "
            "MediaPipe makes no letters small but A to Z, and strips no marks: "
            "other scripts may be read as unknown words."
        )
    return warnings


def _continuation(tokenizer):
    model = json.loads(tokenizer.backend.to_str())["model"]
    return model["continuing_subword_prefix"]


def _normalizer():
    """Small letters, and words that are too long as an unknown character.

    Words are measured in bytes: each character gets fillers for its further
    bytes, and loses them afterwards.
    """
    from tokenizers import Regex
    from tokenizers.normalizers import Replace
    from tokenizers.normalizers import Sequence

    steps = [Replace(Regex(r"\x00(?m:.*)"), "")]
    steps += [Replace(letter.upper(), letter) for letter in LETTERS]
    steps.append(Replace(FILLER, UNKNOWN))
    steps += [
        Replace(Regex(f"(?<=[{characters}])"), FILLER * (size - 1))
        for size, characters in reversed(WIDE.items())
    ]
    long_word = f"[^{SPACES}{SIGNS}]{{{LONGEST_WORD + 1},}}"
    steps += [Replace(Regex(long_word), UNKNOWN), Replace(FILLER, "")]
    return Sequence(steps)
