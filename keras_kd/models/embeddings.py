"""What a student's word table begins with: word vectors, or the teacher's."""

import re

import keras
import numpy as np

from keras_kd.models.word_vectors import read_vectors

TOKEN_EMBEDDING = "token_embedding"
# [CLS], <s>, </s>, <|endoftext|>: no words, whatever a file has under them.
SPECIAL_TOKEN = re.compile(r"\[[^\[\]\s]+\]|<[^<>\s]+>")
PIECE = "##"
# Marks of a word's beginning: SentencePiece's, and that of byte-level BPE.
SENTENCEPIECE_MARK, BYTE_LEVEL_MARK = "\u2581", "\u0120"
LEAST_SHARE_OF_MARKS = 0.1
# Ten times that of random embeddings: the largest that was tried, on one small
# data set. BiGRU, attention and Transformer learned better from it than from
# 0.1; the bag did not care.
TABLE_DEVIATION = 0.3


def set_embeddings(student, embeddings):
    """Puts a table into a student's word embeddings.

    Args:
        student: A functional `keras.Model`.
        embeddings: Array `[vocabulary_size, dimensions]`.

    Raises:
        ValueError: The table has another shape than that of the student, or
            values that are not finite.
    """
    layer = token_embedding(student)
    embeddings = np.asarray(embeddings)
    expected = tuple(layer.embeddings.shape)
    if embeddings.shape != expected:
        raise ValueError(
            f"`embeddings` must have the shape {expected}: a row for each "
            "token, as wide as the student's embeddings. Received: "
            f"{embeddings.shape}. Make the table for the vocabulary that the "
            "student reads, and narrow it with `project(table, "
            f"{expected[1]})`, or build the student for its width."
        )
    if not np.isfinite(embeddings).all():
        rows = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        raise ValueError(
            "`embeddings` must be finite. Received NaN or infinite values in "
            f"{len(rows)} rows, the first of them row {rows[0]}. Make the "
            "table again from a model or a file that is whole."
        )
    layer.embeddings.assign(embeddings.astype("float32"))


def read_word_vectors(path, vocabulary, lowercase, seed=0):
    """Makes a word table of a file of word vectors.

    GloVe's text format and word2vec's, text and `.bin`, each also `.gz`. The
    file is read once, piece by piece; only the table is kept.

    A row that the file has nothing for gets a random vector with the mean and
    standard deviation, in each dimension, of those found. That goes for
    special tokens and for pieces of words too: `##ing` is not the word "ing".
    If a word stands in the file more than once the first one counts.

    Args:
        path: The file.
        vocabulary: The tokens in the order of their ids, such as
            `Tokenizer.vocabulary`.
        lowercase: Whether words are compared in small letters, where the file
            does not have them as they are: `Tokenizer.lowercase`.
        seed: Of the random vectors.

    Returns:
        `(table, share)`: float32 `[len(vocabulary), dimensions]`, and the
        share of the vocabulary's whole words that the file has.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or of another kind, or has none of the
            words.

    Source: Pennington et al. 2014, "GloVe"; Mikolov et al. 2013, "Efficient
    Estimation of Word Representations in Vector Space".
    """
    words = whole_words(vocabulary)
    exact = {word: row for row, word in enumerate(words) if word is not None}
    folded = {}
    if lowercase:
        for word, row in exact.items():
            folded.setdefault(word.lower(), []).append(row)

    def wanted(word):
        return word in exact or word.lower() in folded

    table = None
    # 1: found in another case; 2: found as it is.
    found = np.zeros(len(words), "int8")
    for word, vector in read_vectors(path, wanted):
        if table is None:
            table = np.zeros((len(words), len(vector)), "float32")
        row = exact.get(word)
        if row is not None and found[row] < 2:
            table[row], found[row] = vector, 2
        for row in folded.get(word.lower(), ()):
            if not found[row]:
                table[row], found[row] = vector, 1
    if not found.any():
        raise ValueError(
            f"{path} has none of the {len(exact)} words of the vocabulary, "
            f"which begins with {list(exact)[:3]}. Expected vectors in the "
            "same language; try lowercase=True."
        )
    return _fill_missing(table, found > 0, seed), float(
        np.count_nonzero(found) / len(exact)
    )


def teacher_table(model, dim, tokens=None, tokenizer=None, seed=0):
    """Makes a word table of the teacher's own, narrowed to `dim`.

    Args:
        model: The teacher: a `keras.Model` with a layer `token_embedding`.
        dim: Width of the student's embeddings, at most that of the teacher's.
        tokens: The student's vocabulary in the order of its ids, `None` where
            it is the teacher's. A token that the teacher does not have gets
            the mean of the vectors of the pieces that the teacher's tokenizer
            makes of it; one that it makes nothing of gets a random vector of
            the same mean and standard deviation.
        tokenizer: `Tokenizer` of the teacher. Needed with `tokens`; without
            them, the table ends with the tokenizer's last id.
        seed: Of the random vectors.

    Returns:
        float32 `[tokens, dim]`, see `project`, scaled to the standard
        deviation `TABLE_DEVIATION`.

    Raises:
        ValueError: The model has no such layer, `dim` is too large, or model
            and tokenizer don't belong together.

    Source: the projection of a large model's embeddings is that of Jiao et
    al. 2020, "TinyBERT", here by principal components and not learned.
    """
    table = keras.ops.convert_to_numpy(token_embedding(model).embeddings)
    if tokens is not None and tokenizer is None:
        raise ValueError(
            f"Received {len(tokens)} `tokens` without a `tokenizer`. Expected "
            "the teacher's, which tells the pieces of each of them."
        )
    if tokenizer is not None:
        size = tokenizer.vocabulary_size
        if size > len(table):
            raise ValueError(
                f"The tokenizer has {size} tokens, the model's table "
                f"{len(table)} rows. Give the tokenizer that the model reads "
                "with."
            )
        table = table[:size]
    rows, known = table, np.ones(len(table), bool)
    if tokens is not None:
        rows, known = _mean_of_pieces(table, tokens, tokenizer)
    # Those of the whole table: a student may have fewer tokens than `dim`.
    components = project(table, dim, rows[known])
    narrow = np.zeros((len(rows), dim), "float32")
    narrow[known] = components * (TABLE_DEVIATION / components.std())
    return _fill_missing(narrow, known, seed)


def project(table, dim, rows=None):
    """Projects rows on the first principal components of a table.

    Rows are centred: what they all have in common, in BERT's tables much of
    their length, tells no token from another and would take up a component.
    Each component's sign is such that its largest loading is positive, so
    that the result does not depend on the machine.

    Args:
        table: `[rows, width]`.
        dim: Number of components, at most `min(rows, width)`.
        rows: What is projected, `[others, width]`; by default the table.

    Returns:
        float32 `[rows, dim]`, components in the order of their variance.

    Raises:
        ValueError: There are not as many components, or the table is no
            matrix of finite numbers.

    Example:

    >>> project(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), 1).round(3)
    array([[-1.414],
           [ 0.   ],
           [ 1.414]], dtype=float32)

    Source: Pearson 1901; the equation is scores = (X - mean) V, where
    X - mean = U S V^T.
    """
    rows = table if rows is None else rows
    table = np.asarray(table, "float64")
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(
            "`table` must be a matrix of finite numbers. Received: an array of "
            f"the shape {table.shape}, finite: {np.isfinite(table).all()}."
        )
    if not 1 <= dim <= min(table.shape):
        raise ValueError(
            f"`dim` must be between 1 and {min(table.shape)} for a table of "
            f"the shape {table.shape}. Received: {dim}. A table can be made "
            "narrower, not wider: use embeddings of that width at most."
        )
    mean = table.mean(axis=0)
    # R has the same V as the table, and as many rows as the table columns.
    _, _, components = np.linalg.svd(np.linalg.qr(table - mean, mode="r"))
    components = components[:dim]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(dim), largest])
    scores = (rows - mean) @ (components * signs[:, None]).T
    return scores.astype("float32")


def whole_words(vocabulary):
    """The word that each token is; `None` for special tokens and pieces.

    Pieces are told from words by `##`, or, in vocabularies that mark where a
    word begins (SentencePiece and byte-level BPE), by lacking the mark.
    """
    mark = _word_beginning(vocabulary)
    words = []
    for token in vocabulary:
        word = token.removeprefix(mark)
        if mark:
            piece = word == token
        else:
            piece = token.startswith(PIECE) and token != PIECE
        special = SPECIAL_TOKEN.fullmatch(token)
        words.append(None if piece or special or not word else word)
    return words


def _word_beginning(vocabulary):
    for mark in (SENTENCEPIECE_MARK, BYTE_LEVEL_MARK):
        marked = sum(token.startswith(mark) for token in vocabulary)
        if marked > LEAST_SHARE_OF_MARKS * len(vocabulary):
            return mark
    return ""


def token_embedding(model):
    """A model's word table, its layer `token_embedding`.

    Raises:
        ValueError: It has none.
    """
    for layer in model._flatten_layers(include_self=False):
        if layer.name == TOKEN_EMBEDDING and hasattr(layer, "embeddings"):
            return layer
    raise ValueError(
        f"Model '{model.name}' has no embedding called '{TOKEN_EMBEDDING}'. "
        f"Received the layers {[layer.name for layer in model.layers][:8]}. "
        "Give its word table that name, or give the table as an array to "
        "`project`."
    )


def _mean_of_pieces(table, tokens, tokenizer):
    """Each token's mean vector, and whether there was anything to average."""
    rows = {token: row for row, token in enumerate(tokenizer.vocabulary)}
    for role in ("pad", "unk", "cls", "sep", "mask"):
        row = getattr(tokenizer, f"{role}_id")
        if row is not None:
            # <s> of the teacher is [CLS] of the student.
            rows.setdefault(f"[{role.upper()}]", row)
    mark = _word_beginning(tokenizer.vocabulary)
    # Byte-level BPE has a word of its own for the beginning of the text.
    before = " " if mark == BYTE_LEVEL_MARK else ""
    means = np.zeros((len(tokens), table.shape[1]))
    known = np.zeros(len(tokens), bool)
    texts = {}
    for index, (token, word) in enumerate(zip(tokens, whole_words(tokens))):
        special = SPECIAL_TOKEN.fullmatch(token)
        # Where a mark tells words from pieces, "film" may be a piece.
        if token in rows and (special or token.startswith(mark)):
            means[index], known[index] = table[rows[token]], True
        elif word is not None:
            texts[index] = before + word
        elif not special:
            texts[index] = token.removeprefix(PIECE)
    encodings = tokenizer.backend.encode_batch_fast(
        list(texts.values()), add_special_tokens=False
    )
    for index, encoding in zip(texts, encodings, strict=True):
        pieces = [piece for piece in encoding.ids if piece != tokenizer.unk_id]
        if pieces:
            means[index], known[index] = table[pieces].mean(axis=0), True
    words = [i for i, t in enumerate(tokens) if not SPECIAL_TOKEN.fullmatch(t)]
    if not known[words].any():
        raise ValueError(
            f"The teacher's tokenizer knows none of the {len(words)} tokens, "
            f"which begin with {[tokens[i] for i in words[:3]]}. Expected a "
            "vocabulary in the teacher's language."
        )
    return means, known


def _fill_missing(table, known, seed):
    """Random rows where nothing is known, distributed as the others are."""
    generator = np.random.default_rng(seed)
    rows = table[known].astype("float64")
    table[~known] = generator.normal(
        rows.mean(axis=0),
        rows.std(axis=0),
        (np.count_nonzero(~known), table.shape[1]),
    )
    return table
