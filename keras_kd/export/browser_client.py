"""What a client in a browser needs to know of a student for tokens."""

import json

from keras_kd.data.errors import DataError
from keras_kd.tag_schemes import allowed_transitions


def client_settings(task, tokenizer, length):
    """How a client makes a student's tokens, and reads its logits.

    What the tokenizer deletes, takes for a space, for a Chinese character or
    for punctuation is asked of the tokenizer itself: the client needs no table
    of Unicode that might be another one.

    Args:
        task: `TokenTagging` or `QuestionAnswering`.
        tokenizer: `Tokenizer` of the kind `"wordpiece"`.
        length: Number of tokens that the exported file takes.

    Returns:
        A dictionary of JSON values: `task`, `length`, `stride`, `template`
        (the `parts` of a `Template`), `tokenizer`, and what the task's answers
        are read by. Characters are regular expressions of JavaScript.

    Raises:
        DataError: Another tokenizer.

    Example:

    ```python
    client_settings(student.task, student.tokenizer, 128)
    ```
    """
    settings = {"task": task.name, "length": length}
    if task.name == "token_tagging":
        stride = length // 4 if task.stride is None else task.stride
        settings |= {
            "template": tokenizer.template().parts,
            "labels": task.labels,
            "allowed": allowed_transitions(task.labels),
        }
    else:
        stride = length // 3 if task.stride is None else task.stride
        settings |= {
            "template": tokenizer.template(pairs=True).parts,
            "longest_answer": task.longest_answer,
            "no_answer": task.no_answer,
            "threshold": task.threshold,
        }
    return {
        **settings,
        "stride": stride,
        "tokenizer": _tokenizer_settings(tokenizer),
    }


def _tokenizer_settings(tokenizer):
    from keras_kd.export.character_classes import any_of
    from keras_kd.export.character_classes import classify_characters
    from keras_kd.export.text_preprocessing import unsupported_reason

    reason = unsupported_reason(tokenizer)
    if reason is None and tokenizer.kind != "wordpiece":
        reason = f"it is of the kind '{tokenizer.kind}'"
    if reason is not None:
        raise DataError(
            f"The page can't make the tokens of this student: {reason}. "
            "Expected WordPiece with BERT's normaliser. Train a student with "
            "such tokens (`--tokens wordpiece`, or those of a BERT), or "
            "tokenise elsewhere."
        )
    description = json.loads(tokenizer.backend.to_str())
    model, normalizer = description["model"], description["normalizer"]
    strip_accents = normalizer["strip_accents"]
    if strip_accents is None:
        strip_accents = normalizer["lowercase"]
    characters = classify_characters(json.dumps(normalizer))
    return {
        "vocabulary": model["vocab"],
        "unknown": model["vocab"][model["unk_token"]],
        "prefix": model["continuing_subword_prefix"],
        "longest_word": model["max_input_chars_per_word"],
        "lowercase": normalizer["lowercase"],
        "decompose": strip_accents,
        **{
            name: any_of(found).replace(r"\x{", r"\u{")
            for name, found in characters.items()
        },
    }
