"""Students by name, for the command line, recipes and search."""

from functools import partial

from keras_kd.models.attention import attention_student
from keras_kd.models.bag import bag_student
from keras_kd.models.bert_student import bert_student
from keras_kd.models.embeddings import set_embeddings
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.transformer import transformer_student

# What the builder calls what `build_student` calls by one name.
_RECURRENT = {
    "num_layers": "layers",
    "units": "width",
    "embedding_dim": "embedding_dim",
}
_ATTENTION = {
    "num_layers": "layers",
    "hidden_dim": "width",
    "num_heads": "heads",
    "max_length": "max_length",
    "convolution": "convolution",
}
_TRANSFORMER = {**_ATTENTION, "intermediate_dim": "intermediate"}
_BERT = {k: v for k, v in _TRANSFORMER.items() if k != "convolution"}
_BAG = {
    "num_layers": "layers",
    "hidden_dim": "width",
    "embedding_dim": "embedding_dim",
}
BUILDERS = {
    "bigru": (partial(recurrent_student, cell="gru"), _RECURRENT),
    "bilstm": (partial(recurrent_student, cell="lstm"), _RECURRENT),
    "transformer": (transformer_student, _TRANSFORMER),
    "attention": (attention_student, _ATTENTION),
    "bag": (bag_student, _BAG),
    "bert": (bert_student, _BERT),
}
STUDENTS = tuple(BUILDERS)


def build_student(
    kind,
    vocabulary_size,
    num_outputs,
    layers=1,
    width=64,
    embedding_dim=128,
    dropout=0.2,
    max_length=512,
    embeddings=None,
    heads=None,
    intermediate=None,
    per_token=False,
    convolution=None,
):
    """Builds a student by its name.

    Args:
        kind: One of `STUDENTS`.
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        layers: Number of layers: recurrent, of attention, or dense in a bag.
        width: Units of each direction, hidden width of a Transformer, a BERT
            or of attention, or width of a bag's dense layers.
        embedding_dim: Width of the embeddings of a recurrent student and of a
            bag. Those of the others are `width` wide.
        dropout: Rate everywhere.
        max_length: The longest row; rows of a position table.
        embeddings: Array `[vocabulary_size, width of the embeddings]` that
            the word table begins with, such as `read_word_vectors` and
            `teacher_table` give it; `None` for random ones.
        heads: Attention heads, which have to divide `width`; by default 4.
        intermediate: Width of the feed-forward layers of a Transformer or a
            BERT; by default four times `width`.
        per_token: Whether there are logits for each token, and not for the
            whole text; not in a bag.
        convolution: Tokens that a convolution before the first layer sees at
            once, in a Transformer and in attention; `None` for none.

    Returns:
        A functional `keras.Model`. Its word table is the layer
        `token_embedding`.

    Raises:
        ValueError: Another kind, embeddings of another shape, or a bag for
            tokens.

    Example:

    >>> student = build_student("bag", 1000, 2, width=8, embedding_dim=8)
    >>> student.output.shape
    (None, 2)
    """
    if kind not in BUILDERS:
        raise ValueError(
            f"The student must be one of {list(STUDENTS)}. Received: {kind}"
        )
    if per_token and kind == "bag":
        raise ValueError(
            "A bag knows nothing of single tokens. Received: per_token=True. "
            f"Take one of {[name for name in STUDENTS if name != 'bag']}."
        )
    build, names = BUILDERS[kind]
    sizes = {
        "layers": layers,
        "width": width,
        "embedding_dim": embedding_dim,
        "max_length": max_length,
        "heads": heads,
        "intermediate": intermediate,
        "convolution": convolution,
    }
    chosen = {own: sizes[name] for own, name in names.items()}
    if per_token:
        build = partial(build, pooling=None)
    student = build(
        vocabulary_size,
        num_outputs,
        dropout=dropout,
        **{own: size for own, size in chosen.items() if size is not None},
    )
    if embeddings is not None:
        set_embeddings(student, embeddings)
    return student
