"""Vocabularies of a student's own, made of the texts that it is to read."""

import collections

from keras_kd.data.errors import DataError
from keras_kd.data.segmentation import make_segmenter
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.tokenization import check_text
from keras_kd.data.tokenizer_folder import USUAL_NAMES
from keras_kd.data.tokenizer_folder import surround_as_bert

KINDS = ("wordpiece", "word", "character", "jieba")
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUED = "##"
# The share of all characters that the alphabet of a WordPiece vocabulary
# covers. Each takes up to two rows: without a limit, the emoji and foreign
# letters of a large corpus would fill a small vocabulary.
CHARACTER_COVERAGE = 0.9999
# Longer words are no example for WordPiece: a token has 256 bytes at the most
# where the tokenizer is put into a graph, and a character up to 4.
LONGEST_WORD = 64
WORDS_AT_ONCE = 4096


def build_tokenizer(
    kind, texts, vocabulary_size, lowercase=True, minimum_count=2
):
    """Makes a tokenizer whose vocabulary is that of some texts.

    The texts are read once and not kept: memory is that of the different
    words. The same texts, in whatever order, give the same tokenizer.

    All kinds have BERT's normaliser, and BERT's special tokens in BERT's
    places: `[PAD]` is 0, then come `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`.

    | kind | tokens |
    |---|---|
    | `"wordpiece"` | pieces of words, and whole frequent words |
    | `"word"` | the most frequent words and punctuation marks |
    | `"character"` | the most frequent characters that are no space |
    | `"jieba"` | the most frequent words that jieba cuts Chinese text into |

    Args:
        kind: One of the above.
        texts: Iterable of strings; of pairs, both texts one after the other.
        vocabulary_size: The most tokens, special ones included. There are
            fewer if the texts have fewer.
        lowercase: Whether to make letters small, and to strip accents.
        minimum_count: What occurs less often is no token. (With
            `"wordpiece"`: what would be joined less often is not joined.)

    Returns:
        A `Tokenizer`.

    Raises:
        ValueError: An argument that can't be right, or a `vocabulary_size`
            that is too small for the texts.
        TypeError: Something among the texts is no string.
        DataError: There is nothing to count.
        ImportError: jieba is needed and not installed.

    Example:

    >>> tokenizer = build_tokenizer("word", ["A fine film.", "A film!"], 99)
    >>> tokenizer.vocabulary[5:]
    ['a', 'film']
    >>> tokenizer.encode(["a fine film"], max_length=8)
    [([2, 5, 1, 6, 3], [0, 0, 0, 0, 0])]
    """
    import tokenizers

    _check_arguments(kind, texts, vocabulary_size, minimum_count)
    segmenter = kind if kind == "jieba" else None
    normalizer, pre_tokenizer = _text_steps(kind, lowercase)
    counts = _count_words(texts, segmenter, normalizer, pre_tokenizer)
    if kind == "wordpiece":
        tokens = _train_wordpiece(counts, vocabulary_size, minimum_count)
        model = tokenizers.models.WordPiece
    else:
        tokens = _most_frequent(counts, vocabulary_size, minimum_count)
        model = tokenizers.models.WordLevel
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(model(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizer
    if kind == "wordpiece":
        backend.decoder = tokenizers.decoders.WordPiece()
    surround_as_bert(
        backend, {role: names[0] for role, names in USUAL_NAMES.items()}
    )
    return Tokenizer(backend, segmenter=segmenter)


def _text_steps(kind, lowercase):
    """The normaliser and the pre-tokenizer of a kind."""
    from tokenizers import Regex
    from tokenizers import normalizers
    from tokenizers import pre_tokenizers

    normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        # Jieba's words are not to be torn into characters.
        handle_chinese_chars=kind != "jieba",
    )
    spaces = pre_tokenizers.WhitespaceSplit()
    if kind == "jieba":
        return normalizer, spaces
    if kind == "character":
        letters = pre_tokenizers.Split(Regex("."), "isolated")
        return normalizer, pre_tokenizers.Sequence([spaces, letters])
    return normalizer, pre_tokenizers.BertPreTokenizer()


def _count_words(texts, segmenter, normalizer, pre_tokenizer):
    """Counts what the pre-tokenizer gives: exactly what the model is given."""
    segmenter = make_segmenter(segmenter)
    counts = collections.Counter()
    number = -1
    for number, text in enumerate(texts):
        check_text(text, number)
        if segmenter is not None:
            text = segmenter.segment(text)
        words = pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
        counts.update(word for word, _ in words)
    if not counts:
        raise DataError(
            "A vocabulary is made of words. Received: "
            f"{number + 1} texts without any. Check which column was read."
        )
    return counts


def _most_frequent(counts, vocabulary_size, minimum_count):
    """Special tokens and the most frequent words, equal ones by the word."""
    kept = sorted(
        (word for word, count in counts.items() if count >= minimum_count),
        key=lambda word: (-counts[word], word),
    )
    if not kept:
        raise DataError(
            f"None of {len(counts)} different words occurs {minimum_count} "
            "times: every word would be [UNK]. Give more texts, or a smaller "
            "`minimum_count`."
        )
    return [*SPECIAL_TOKENS, *kept][:vocabulary_size]


def _train_wordpiece(counts, vocabulary_size, minimum_count):
    """Tokens of a WordPiece vocabulary, in order of their ids.

    The trainer gives `##a` and the like their ids in the order of a hash map,
    which is another one in each process, and equally frequent pairs of pieces
    are joined in the order of their ids. So these ids are settled before: as
    "special tokens" of the trainer, which come first.
    """
    import tokenizers

    characters = _alphabet(counts)
    words = {
        word: count
        for word, count in counts.items()
        if len(word) <= LONGEST_WORD and characters.issuperset(word)
    }
    inner = set().union(*(word[1:] for word in words))
    settled = [
        *SPECIAL_TOKENS,
        *sorted(characters),
        *(CONTINUED + character for character in sorted(inner)),
    ]
    if len(settled) > vocabulary_size:
        raise ValueError(
            f"The alphabet of these texts takes {len(settled)} tokens "
            "(special tokens, characters, characters inside of words). "
            f"Received: vocabulary_size={vocabulary_size}. Use that many or "
            "more; or the kind 'character', which takes the most frequent."
        )
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=minimum_count,
        special_tokens=settled,
        limit_alphabet=len(settled),
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.train_from_iterator(_repeated(words), trainer)
    vocabulary = backend.get_vocab(with_added_tokens=False)
    return sorted(vocabulary, key=vocabulary.get)


def _alphabet(counts):
    """The most frequent characters, as many as the coverage asks for."""
    characters = collections.Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    missing = characters.total()
    allowed = missing * (1 - CHARACTER_COVERAGE)
    kept = set()
    for character in sorted(characters, key=lambda c: (-characters[c], c)):
        if missing <= allowed:
            break
        kept.add(character)
        missing -= characters[character]
    return kept


def _repeated(words):
    """Each word as often as it was counted: the trainer takes texts alone."""
    for word, count in words.items():
        whole, rest = divmod(count, WORDS_AT_ONCE)
        for times in [WORDS_AT_ONCE] * whole + [rest]:
            yield f"{word} " * times


def _check_arguments(kind, texts, vocabulary_size, minimum_count):
    if kind not in KINDS:
        raise ValueError(
            f"`kind` must be one of {list(KINDS)}. Received: {kind!r}"
        )
    if isinstance(texts, (str, bytes)):
        raise TypeError(
            f"Expected an iterable of strings. Received: {texts[:60]!r}. Put a "
            "single text into a list."
        )
    smallest = len(SPECIAL_TOKENS) + 1
    if vocabulary_size < smallest:
        raise ValueError(
            f"`vocabulary_size` must be {smallest} or more: "
            f"{list(SPECIAL_TOKENS)} and a token of text. Received: "
            f"{vocabulary_size}"
        )
    if minimum_count < 1:
        raise ValueError(
            f"`minimum_count` must be 1 or more. Received: {minimum_count}"
        )
