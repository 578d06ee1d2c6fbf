"""Students by name, for the command line, recipes and search."""

from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.transformer import transformer_student

STUDENTS = ("bigru", "transformer")


def build_student(
    kind,
    vocabulary_size,
    num_outputs,
    layers=1,
    width=64,
    embedding_dim=128,
    dropout=0.2,
    max_length=512,
):
    """Builds a student by its name.

    Args:
        kind: `"bigru"` or `"transformer"`.
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        layers: Number of layers.
        width: Units of each direction, or hidden width of a Transformer.
        embedding_dim: Width of a recurrent student's embeddings.
        dropout: Rate everywhere.
        max_length: The longest row; rows of a Transformer's position table.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: Another kind.
    """
    if kind == "bigru":
        return recurrent_student(
            vocabulary_size,
            num_outputs,
            cell="gru",
            num_layers=layers,
            units=width,
            embedding_dim=embedding_dim,
            dropout=dropout,
        )
    if kind == "transformer":
        return transformer_student(
            vocabulary_size,
            num_outputs,
            num_layers=layers,
            hidden_dim=width,
            max_length=max_length,
            dropout=dropout,
        )
    raise ValueError(
        f"The student must be one of {list(STUDENTS)}. Received: {kind}"
    )
