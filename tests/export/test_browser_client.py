"""What a page is told of a student's tokens and answers."""

import json
import re

import pytest

from keras_kd.data.errors import DataError
from keras_kd.export.browser_client import client_settings
from keras_kd.tasks.question_answering import QuestionAnswering
from keras_kd.tasks.token_tagging import TokenTagging

TAGS = ["O", "B-PER", "I-PER"]


def characters(pattern):
    """The JavaScript pattern as one of Python's."""
    code = r"\\u\{([0-9A-F]+)\}"
    return re.compile(
        re.sub(code, lambda found: f"\\U{int(found[1], 16):08x}", pattern)
    )


def test_a_tagger(tokenizer):
    task = TokenTagging(TAGS, chain=True)
    settings = json.loads(json.dumps(client_settings(task, tokenizer, 32)))
    own = settings.pop("tokenizer")
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    assert settings == {
        "task": "token_tagging",
        "length": 32,
        "stride": 8,
        "template": [[None, cls_id, 0], [0, None, 0], [None, sep_id, 0]],
        "labels": TAGS,
        # I- is behind its own kind alone.
        "allowed": [
            [True, True, False],
            [True, True, False],
            [True, True, True],
            [True, True, True],
        ],
    }
    assert sorted(own["vocabulary"], key=own["vocabulary"].get) == (
        tokenizer.vocabulary
    )
    assert own["unknown"] == tokenizer.unk_id
    assert (own["prefix"], own["longest_word"]) == ("##", 100)
    assert own["lowercase"] and own["decompose"]
    for name, inside, outside in (
        ("deleted", "\0\u0301\u200b", "a \u4e00"),
        ("spaces", "\t\u3000 ", "a\0"),
        ("ideographs", "\u4e00\U0002a700", "a\u3042"),
        ("isolated", "!$\u3002", "a1 "),
    ):
        pattern = characters(own[name])
        assert all(map(pattern.fullmatch, inside)), name
        assert not any(map(pattern.fullmatch, outside)), name


def test_a_reader(tokenizer):
    task = QuestionAnswering(longest_answer=7, no_answer=True, threshold=0.5)
    settings = client_settings(task, tokenizer, 30)
    assert settings["stride"] == 10
    assert len(settings["template"]) == 5
    assert settings["longest_answer"] == 7
    assert settings["no_answer"] and settings["threshold"] == 0.5
    assert "labels" not in settings
    stride = QuestionAnswering(stride=3)
    assert client_settings(stride, tokenizer, 30)["stride"] == 3


def test_other_tokens_are_refused(word_tokenizer, wordpiece_tokenizer):
    for other, reason in (
        (word_tokenizer, "its normaliser is None"),
        (wordpiece_tokenizer(clean_text=False), "keeps control characters"),
    ):
        with pytest.raises(DataError, match=f"{reason}.*Expected WordPiece"):
            client_settings(TokenTagging(TAGS), other, 32)
