"""SavedModels: both signatures, in a process without keras_kd."""

import errno
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.export import saved_model
from keras_kd.export.errors import ExportError
from keras_kd.export.saved_model import export_saved_model

LABELS = ["negative", "neutral", "positive"]
TEXTS = ["a fine film", "the world of film and words", "", "Café [SEP] 100%!"]
MAX_LENGTH = 12
FULL_IN_TENSORFLOW = tf.errors.ResourceExhaustedError(
    None, None, "/x/part.tempstate; No space left on device [Op:SaveV2]"
)

SERVE_TEXT = """
import json, sys
import tensorflow as tf
import tensorflow_text

model = tf.saved_model.load(sys.argv[1])
texts = json.loads(sys.argv[2])
if isinstance(texts, list):
    texts = {"text": texts}
outputs = model.signatures["text"](
    **{name: tf.constant(strings) for name, strings in texts.items()}
)
print(json.dumps({name: x.numpy().tolist() for name, x in outputs.items()}))
"""

SERVE_FEATURES = """
import json, sys
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
features = json.loads(sys.argv[2])
outputs = model.signatures["serving_default"](
    **{name: tf.constant(x, tf.int32) for name, x in features.items()}
)
print(json.dumps({name: x.numpy().tolist() for name, x in outputs.items()}))
"""


def encode(tokenizer, texts):
    rows = [ids for ids, _ in tokenizer.encode(texts, MAX_LENGTH)]
    width = max(map(len, rows))
    return {
        "token_ids": np.array([ids + [0] * (width - len(ids)) for ids in rows]),
        "padding_mask": np.array(
            [[1] * len(ids) + [0] * (width - len(ids)) for ids in rows]
        ),
    }


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", ["bigru", "transformer"])
def test_text_and_features_give_what_keras_gives(
    kind, make_student, tokenizer, run_script, tmp_path
):
    student = make_student(kind)
    report = export_saved_model(
        student, tmp_path / "served", tokenizer, LABELS, MAX_LENGTH, TEXTS
    )
    assert report["file"] == "served"
    assert report["rows"] == len(TEXTS)
    assert report["signatures"] == ["serving_default", "text"]
    assert report["max_difference"] < 1e-5
    assert report["agreement"] == 1.0
    assert report["rows_with_other_tokens"] == 0
    assert "no_text_signature" not in report
    assert [path.name for path in tmp_path.iterdir()] == ["served"]

    texts = ["words and films", "É\u0301 fine\ttext"]
    output = run_script(
        SERVE_TEXT,
        tmp_path / "served",
        json.dumps(texts),
        blocked=("keras_hub", "keras_kd", "tokenizers", "transformers"),
    )
    received = json.loads(output)
    expected = student.predict_on_batch(encode(tokenizer, texts))
    np.testing.assert_allclose(received["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(
        received["probabilities"], softmax(expected), atol=1e-5
    )


def test_labels_and_tokenizer_are_assets(linear_student, tokenizer, tmp_path):
    export_saved_model(
        linear_student, tmp_path / "x", tokenizer, LABELS, MAX_LENGTH, TEXTS
    )
    assets = tmp_path / "x" / "assets"
    assert (assets / "labels.txt").read_text().splitlines() == LABELS
    assert Tokenizer.from_folder(assets).fingerprint == tokenizer.fingerprint
    assert (assets / "vocab.txt").read_text(encoding="utf-8").split("\n") == [
        *tokenizer.vocabulary,
        "",
    ]
    metadata = json.loads((assets / "metadata.json").read_text())
    assert metadata["labels"] == LABELS
    assert metadata["max_length"] == MAX_LENGTH
    assert metadata["inputs"] == ["padding_mask", "token_ids"]
    # The graph names them, so that they travel with it.
    loaded = tf.saved_model.load(tmp_path / "x")
    names = {Path(a.asset_path.numpy().decode()).name for a in loaded.assets}
    assert {"labels.txt", "metadata.json", "tokenizer.json"} <= names


def word_level_tokenizer():
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {"[PAD]": 0, "[UNK]": 1, "a": 2, "film": 3}, unk_token="[UNK]"
        )
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return Tokenizer(backend)


def test_another_tokenizer_gives_the_features_signature_and_the_reason(
    linear_student, run_script, tmp_path
):
    report = export_saved_model(
        linear_student,
        tmp_path / "served",
        word_level_tokenizer(),
        max_length=MAX_LENGTH,
        sample=["a film", "film"],
        activation=None,
    )
    assert report["signatures"] == ["serving_default"]
    assert "normaliser is None" in report["no_text_signature"]
    assert (tmp_path / "served" / "assets" / "tokenizer.json").is_file()
    features = {"token_ids": [[2, 3]], "padding_mask": [[1, 1]]}
    # Without the text signature, tensorflow alone loads it.
    output = run_script(
        SERVE_FEATURES,
        tmp_path / "served",
        json.dumps(features),
        blocked=("keras", "keras_kd", "tensorflow_text"),
    )
    received = json.loads(output)
    assert list(received) == ["logits"]
    np.testing.assert_allclose(
        received["logits"],
        linear_student.predict_on_batch(
            {name: np.array(x) for name, x in features.items()}
        ),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["word", "character"])
def test_words_and_characters_have_a_text_signature(
    kind, linear_student, run_script, tmp_path
):
    tokenizer = build_tokenizer(kind, TEXTS * 2, 99)
    report = export_saved_model(
        linear_student, tmp_path / "served", tokenizer, None, MAX_LENGTH, TEXTS
    )
    assert report["signatures"] == ["serving_default", "text"]
    assert report["rows_with_other_tokens"] == 0
    texts = ["words OF film", "É\u0301 fine\ttext"]
    received = json.loads(
        run_script(
            SERVE_TEXT,
            tmp_path / "served",
            json.dumps(texts),
            blocked=("keras_kd", "tokenizers", "transformers"),
        )
    )
    expected = linear_student.predict_on_batch(encode(tokenizer, texts))
    np.testing.assert_allclose(received["logits"], expected, atol=1e-5)


def test_pairs_have_a_text_signature_with_two_inputs(
    paired_student, tokenizer, run_script, tmp_path
):
    sample = [
        ("a fine film", "the world"),
        ("words", ""),
        ("of " * 9, "a " * 9),
    ]
    report = export_saved_model(
        paired_student, tmp_path / "served", tokenizer, None, MAX_LENGTH,
        sample, pairs=True,
    )  # fmt: skip
    assert report["signatures"] == ["serving_default", "text"]
    assert report["rows"] == 3
    assert report["rows_with_other_tokens"] == 0
    assets = tmp_path / "served" / "assets"
    assert json.loads((assets / "metadata.json").read_text())["pairs"] is True
    first, second = ["Fine film", "the " * 9], ["a world " * 5, "of words"]
    output = run_script(
        SERVE_TEXT,
        tmp_path / "served",
        json.dumps({"text": first, "text_pair": second}),
        blocked=("keras_kd", "tokenizers", "transformers"),
    )
    rows = tokenizer.encode(first, MAX_LENGTH, second)
    assert {len(ids) for ids, _ in rows} == {MAX_LENGTH}
    # The student adds up ids and 1000 for each token of the second text.
    sums = [sum(ids) + 1000 * sum(segments) for ids, segments in rows]
    np.testing.assert_allclose(
        np.array(json.loads(output)["logits"])[:, 0], sums
    )


@pytest.fixture
def paired_student():
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    ids, mask, segments = (
        keras.ops.cast(x, "float32") for x in inputs.values()
    )
    total = keras.ops.sum(ids * mask + 1000 * segments, axis=1, keepdims=True)
    logits = keras.ops.concatenate([total, 0 * total], axis=-1)
    return keras.Model(inputs, logits)


def test_segments_that_differ_are_other_tokens(
    paired_student, tokenizer, monkeypatch, tmp_path
):
    class Wrong(saved_model.InGraphTokenizer):
        def __call__(self, *texts):
            features = super().__call__(*texts)
            segments = features["segment_ids"]
            return {**features, "segment_ids": tf.zeros_like(segments)}

    monkeypatch.setattr(saved_model, "InGraphTokenizer", Wrong)
    with pytest.raises(ExportError, match="other tokens for 2 of 2"):
        export_saved_model(
            paired_student, tmp_path / "x", tokenizer, None, MAX_LENGTH,
            [("a", "film"), ("the", "")], pairs=True,
        )  # fmt: skip


def test_jieba_gives_the_features_signature_and_the_reason(
    linear_student, tmp_path
):
    pytest.importorskip("jieba", reason="needs the extra 'chinese'")
    texts = ["我在北京天安门", "北京的film"]
    tokenizer = build_tokenizer("jieba", texts, 50, minimum_count=1)
    report = export_saved_model(
        linear_student, tmp_path / "x", tokenizer, None, MAX_LENGTH, texts
    )
    assert report["signatures"] == ["serving_default"]
    assert "cut by jieba" in report["no_text_signature"]
    again = Tokenizer.from_folder(tmp_path / "x" / "assets")
    assert again.fingerprint == tokenizer.fingerprint


def test_a_sample_of_features_needs_no_tokenizer(
    linear_student, make_rows, tmp_path, children_of_their_own
):
    report = export_saved_model(
        linear_student,
        tmp_path / "served",
        sample=make_rows(5),
        activation="sigmoid",
    )
    assert report["rows"] == 5
    assert report["no_text_signature"] == "no tokenizer was given"


def test_a_folder_that_gives_other_values_is_not_kept(
    linear_student, make_rows, monkeypatch, tmp_path
):
    def spoil(arguments, what):
        np.savez(
            arguments[-1], **{"serving_default/logits": np.zeros((5, 3)) + 9}
        )

    monkeypatch.setattr(saved_model, "run_child", spoil)
    with pytest.raises(
        ExportError, match="'serving_default' is off in 'logits'"
    ):
        export_saved_model(linear_student, tmp_path / "x", sample=make_rows(5))
    assert list(tmp_path.iterdir()) == []


def test_a_student_that_gives_nan_is_not_kept(
    linear_student, make_rows, tmp_path
):
    kernel, bias = linear_student.get_layer("logits").get_weights()
    linear_student.get_layer("logits").set_weights([kernel, bias + np.nan])
    with pytest.raises(ExportError, match="outputs are finite"):
        export_saved_model(linear_student, tmp_path / "x", sample=make_rows(5))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error, raised, message",
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(errno.ENOSPC, "No space left"), ExportError, "disk is full"),
        (FULL_IN_TENSORFLOW, ExportError, "disk is full"),
        (OSError(errno.EACCES, "Permission denied"), OSError, "Permission"),
    ],
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_what_breaks_in_the_middle_leaves_the_older_folder(
    error, raised, message, where, linear_student, make_rows, monkeypatch,
    tmp_path,
):  # fmt: skip
    def break_off(*args, **kwargs):
        raise error

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "older").write_text("still here")
    if where == "before":
        monkeypatch.setattr(tf.saved_model, "save", break_off)
    else:
        monkeypatch.setattr(saved_model, "run_child", break_off)
    with pytest.raises(raised, match=message):
        export_saved_model(
            linear_student, tmp_path / "served", sample=make_rows(5)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    assert (tmp_path / "served" / "older").read_text() == "still here"


def test_other_tokens_in_the_graph_are_counted_and_refused(
    linear_student, tokenizer, monkeypatch, tmp_path
):
    class Wrong(saved_model.InGraphTokenizer):
        def split_words(self, texts):
            return super().split_words(
                tf.strings.regex_replace(texts, "a", "z")
            )

    monkeypatch.setattr(saved_model, "InGraphTokenizer", Wrong)
    arguments = linear_student, tmp_path / "x", tokenizer, LABELS, MAX_LENGTH
    with pytest.raises(ExportError, match="other tokens for 2 of 2 .*'a fine"):
        export_saved_model(*arguments, ["a fine film", "a world"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="1 of 1 .*At most 0 are expected"):
        export_saved_model(*arguments, ["a fine film"])
    report = export_saved_model(*arguments, ["a fine film", "the world"])
    assert report["rows_with_other_tokens"] == 1


def test_arguments_that_cannot_be_right_are_refused(
    linear_student, make_student, make_rows, tokenizer, tmp_path
):
    def refused(message, student=linear_student, error=ValueError, **options):
        with pytest.raises(error, match=message):
            export_saved_model(student, tmp_path / "x", **options)
        assert list(tmp_path.iterdir()) == []

    rows = make_rows(3)
    refused("'softmax', 'sigmoid' or None", sample=rows, activation="relu")
    refused("3 wide.*1 labels", sample=rows, labels=["yes"])
    refused("`sample` must hold some rows")
    refused("`sample` must hold some rows", sample=[])
    none = {name: values[:0] for name, values in rows.items()}
    refused("`sample` must hold some rows", sample=none)
    refused("`max_length` is needed", tokenizer=tokenizer, sample=TEXTS)
    with_tokens = {"tokenizer": tokenizer, "max_length": MAX_LENGTH}
    refused("list of texts", sample=TEXTS[0], **with_tokens)
    refused("a string for each", sample=[("a", "b")], **with_tokens)
    refused("text_pair.*'a'", sample=["a"], pairs=True, **with_tokens)
    refused("text_pair", sample=[("a", "b", "c")], pairs=True, **with_tokens)
    refused(
        "embeddings for 50 tokens",
        student=make_student("bigru", vocabulary_size=50),
        tokenizer=tokenizer,
        sample=TEXTS,
        max_length=MAX_LENGTH,
    )
    refused(
        "Missing: .'padding_mask'",
        error=KeyError,
        sample={"token_ids": rows["token_ids"]},
    )
