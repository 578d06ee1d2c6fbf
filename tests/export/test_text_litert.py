"""Files that take text: their tokens, their answers, and what is refused."""

import json

import numpy as np
import pytest

from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.export.device_tokenizer import DeviceTokenizer
from keras_kd.export.errors import ExportError
from keras_kd.export.inspection import inspect_file
from keras_kd.export.text_litert import export_text_litert
from keras_kd.export.text_runner import LiteRTTextModel
from keras_kd.export.text_runner import takes_text

LENGTH = 16
LABELS = ["negative", "neutral", "positive"]
TEXTS = [
    "a fine film", "The WORLD of films!", "", "of " * 40, "Caf\u00e9 na\u00ef",
    "words and more words", "it is", "\u7535\u5f71 film", "100%", "...",
]  # fmt: skip
# Without this library.
IN_AN_APP = """
import json, sys, zipfile
import numpy as np
from ai_edge_litert.interpreter import InterpreterWithCustomOps
from tensorflow_text.core.pybinds import tflite_registrar

file, text = sys.argv[1:]
run = InterpreterWithCustomOps(
    model_path=file, custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS
).get_signature_runner()
logits = run(text=np.array([text.encode()]))["logits"][0]
labels = zipfile.ZipFile(file).read("labels.txt").decode().split()
print(json.dumps([logits.tolist(), labels]))
"""


@pytest.fixture
def keras_logits(tokenizer):
    """What Keras says of texts, on the ids that the file makes of them."""

    def logits(student, texts, length=LENGTH):
        inputs = DeviceTokenizer(tokenizer, length).encode(texts)
        names = [one.name for one in student.inputs]
        return student.predict_on_batch({name: inputs[name] for name in names})

    return logits


@pytest.mark.parametrize(
    "kind, quantization, tolerance",
    [
        ("bigru", "float32", 1e-5),
        ("transformer", "dynamic", 0.3),
        pytest.param("bigru", "int4-embedding", 1.0, marks=pytest.mark.slow),
        pytest.param("bigru", "float16", 5e-3, marks=pytest.mark.slow),
        pytest.param("transformer", "float32", 1e-5, marks=pytest.mark.slow),
    ],
)
def test_text_goes_in(
    kind, quantization, tolerance, make_student, tokenizer, keras_logits,
    run_script, tmp_path,
):  # fmt: skip
    student = make_student(kind)
    expected = keras_logits(student, TEXTS)
    path = tmp_path / "student.tflite"
    done = []
    report = export_text_litert(
        student, path, TEXTS, tokenizer, LABELS, quantization, LENGTH,
        metadata={"licence": "MIT"}, progress=done.append,
    )  # fmt: skip
    assert report["format"] == "litert-text"
    assert report["rows"] == sum(done) == len(TEXTS)
    custom = [name for name in report["ops"] if name.startswith("CUSTOM")]
    assert len(custom) == 2
    assert takes_text(path)
    model = LiteRTTextModel(path)
    assert model.labels == LABELS and model.metadata["licence"] == "MIT"
    received = model.predict(TEXTS)
    np.testing.assert_allclose(received, expected, atol=tolerance, rtol=0)
    # Again, and backwards: nothing is kept from text to text.
    np.testing.assert_array_equal(model.predict(TEXTS[::-1])[::-1], received)
    described = inspect_file(path)
    assert described["inputs"] == "text bytes_ [1]"
    assert described["length"] == f"{LENGTH} tokens"

    output = run_script(IN_AN_APP, path, TEXTS[1], blocked=("keras_kd",))
    logits, labels = json.loads(output)
    np.testing.assert_allclose(logits, received[1], atol=1e-6)
    assert labels == LABELS


def test_tokens_of_plain_ascii_are_the_students(tokenizer, nasty_strings):
    plain = [
        text
        for text in nasty_strings
        if text.isascii() and text.isprintable() and len(text) < 100
    ]
    assert len(plain) > 30
    # A special token in a text is text for the student, and here too.
    encoded = tokenizer.encode(plain, LENGTH)
    inputs = DeviceTokenizer(tokenizer, LENGTH).encode(plain)
    for text, (ids, segments), row, mask in zip(
        plain, encoded, inputs["token_ids"], inputs["padding_mask"]
    ):
        assert row[: len(ids)].tolist() == ids, text
        assert mask.tolist() == [1] * len(ids) + [0] * (LENGTH - len(ids))
        assert not row[len(ids) :].any() and not any(segments)


def test_tokens_of_nasty_strings(tokenizer, nasty_strings):
    """Some differ, as `DeviceTokenizer` says; most do not."""
    encoded = tokenizer.encode(nasty_strings, LENGTH)
    inputs = DeviceTokenizer(tokenizer, LENGTH).encode(nasty_strings)
    same = [
        row[: len(ids)].tolist() == ids and mask.sum() == len(ids)
        for (ids, _), row, mask in zip(
            encoded, inputs["token_ids"], inputs["padding_mask"]
        )
    ]
    assert 0.7 < np.mean(same) < 1.0


def test_capitals_and_accents_of_a_cased_vocabulary(wordpiece_tokenizer):
    cased = wordpiece_tokenizer(lowercase=False)
    (ids,) = DeviceTokenizer(cased, LENGTH).encode(["The film"])["token_ids"]
    assert ids.tolist()[:4] != cased.encode(["the film"], LENGTH)[0][0][:4]
    expected = cased.encode(["The film"], LENGTH)[0][0]
    assert ids.tolist()[: len(expected)] == expected


@pytest.mark.parametrize(
    "normalizer, reason",
    [
        ({"strip_accents": False}, "do not go together"),
        ({"clean_text": False}, "clean_text"),
    ],
)
def test_tokenizers_that_no_file_holds(tokenizer, normalizer, reason):
    import tokenizers

    description = json.loads(tokenizer.backend.to_str())
    description["normalizer"] |= normalizer
    backend = tokenizers.Tokenizer.from_str(json.dumps(description))
    with pytest.raises(ValueError, match=f"{reason}.*format litert"):
        DeviceTokenizer(Tokenizer(backend), LENGTH)


def test_characters_are_refused():
    characters = build_tokenizer("character", ["abc", "abc"], 20)
    with pytest.raises(ValueError, match="kind 'character'"):
        DeviceTokenizer(characters, LENGTH)


def test_arguments_that_cannot_be_right(linear_student, tokenizer, tmp_path):
    def fails(match, **changes):
        arguments = {"labels": LABELS, "quantization": "float32"}
        arguments |= {"max_length": LENGTH, **changes}
        with pytest.raises(ValueError, match=match):
            export_text_litert(
                linear_student, tmp_path / "x", TEXTS, tokenizer, **arguments
            )

    fails("fixed number of tokens", max_length=None)
    fails("must be 8 or more", max_length=4)
    fails("one label for each logit|one .*label", labels=["one"])
    fails("`quantization` must be", quantization="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_not_kept(
    linear_student, tokenizer, monkeypatch, tmp_path
):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"an older file")
    predict = LiteRTTextModel.predict
    monkeypatch.setattr(
        LiteRTTextModel,
        "predict",
        lambda self, *args: predict(self, *args) + 1.0,
    )
    with pytest.raises(ExportError):
        export_text_litert(
            linear_student, path, TEXTS, tokenizer, LABELS, "float32", LENGTH
        )
    assert [one.name for one in tmp_path.iterdir()] == ["student.tflite"]
    assert path.read_bytes() == b"an older file"


def test_a_file_of_features_is_no_file_of_text(tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"no file")
    assert not takes_text(path)
    with pytest.raises(ValueError, match="--format litert-text"):
        LiteRTTextModel(path)
    with pytest.raises(FileNotFoundError):
        LiteRTTextModel(tmp_path / "nothing.tflite")
