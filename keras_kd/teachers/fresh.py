"""A teacher from scratch, where no pretrained model can be had."""

from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.models.transformer import transformer_student
from keras_kd.teachers.teacher import Teacher


def fresh_teacher(
    texts,
    num_outputs,
    tokens="wordpiece",
    vocabulary_size=8000,
    num_layers=4,
    hidden_dim=256,
    max_length=512,
    labels=None,
    per_token=False,
):
    """Builds an untrained Transformer teacher on a vocabulary of its own.

    It knows nothing but what its labelled rows teach it, so its margin over a
    student is small: say so beside each result. Any Keras model can be a
    teacher in the same way: `Teacher(model, tokenizer, labels).save(folder)`.

    Args:
        texts: Iterable of the training texts.
        num_outputs: Number of logits.
        tokens: Kind of the vocabulary; see
            `keras_kd.data.vocabularies.build_tokenizer`.
        vocabulary_size: The most entries of the vocabulary.
        num_layers: Transformer layers.
        hidden_dim: Their width.
        max_length: The longest row that it can read.
        labels: Names of the classes, in the order of the logits.
        per_token: Whether it gives logits for each token.

    Returns:
        `keras_kd.Teacher`, to be fine-tuned: give its saved folder as
        `--teacher`, with `--fine-tune-teacher`.
    """
    tokenizer = build_tokenizer(tokens, texts, vocabulary_size)
    model = transformer_student(
        tokenizer.vocabulary_size,
        num_outputs,
        num_layers=num_layers,
        hidden_dim=hidden_dim,
        max_length=max_length,
        pooling=None if per_token else "mean",
    )
    return Teacher(model, tokenizer, labels)
