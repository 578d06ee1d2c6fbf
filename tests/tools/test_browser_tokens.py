"""Tags and answers in the page of `tools/browser_demo`, beside Keras'."""

import json
import sys
import unicodedata

import numpy as np
import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.data.rows import write_rows
from keras_kd.data.words import split_words
from keras_kd.export.browser_client import client_settings
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.models.students import build_student
from keras_kd.runs.deployment import TASK_FILE
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.distillation import distill
from keras_kd.runs.run_folder import INPUTS_FILE
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.student_files import StudentFiles
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.tag_schemes import entities
from keras_kd.tasks.question_answering import QuestionAnswering
from keras_kd.tasks.token_tagging import TokenTagging
from tests import tiny_tokens
from tests import tiny_wordpiece
from tests.runs.test_token_runs import settings_of
from tests.tools.browser_page import ask
from tests.tools.browser_page import opened
from tests.tools.browser_page import serve
from tests.tools.browser_page import serving

# Students are exported for the page.
pytestmark = pytest.mark.slow

# Strings whose tokens may differ, and why. Everything else has to be equal.
EXCEPTIONS = {
    "\U00011938": "a vowel sign of Unicode 13 that the browser decomposes, and "
    "the tokenizers library does not",
}
LENGTH = 32
LOGITS_DEVIATION = 3.0
LONG_TEXT = " ".join(["the fine worlds of a film"] * 12)
TEXTS = [
    "a fine film",
    "A FINE Film, of the world!",
    "Café Müller \u2014 naïve façade",
    "cafe\u0301 of e\u0301",
    "\u5317\u4eac the film \u4e2d\u56fd\uff0c\u7684 of",
    "don't stop-ever \u2019tis 100% (of it)",
    "the " + "a" * 120 + " film",
    "\u0130stanbul \u03a3\u0391\u03a3 \u1e9e \ufb01ne \u00bd \u2460",
    "\U0001f600 film \U0001f44d\U0001f3fd of",
    "\ud55c\uad6d\uc5b4 \u0e20\u0e32\u0e29\u0e32 \u0939\u093f\u0928\u094d",
    "[SEP] a [CLS] ##ing",
    LONG_TEXT,
    # A word of more pieces than there is room for.
    "the " + "b" * 50 + " film",
]
QUESTIONS = ["the film", "Qu\u00e9?", "\u4ec0\u4e48"]


def write_run(folder, task, kind):
    """A run whose student was not trained, but decides firmly."""
    tokenizer = tiny_wordpiece.make_tokenizer()
    configuration = Configuration(task=task.name, max_length=LENGTH)
    run = RunFolder.start(folder, configuration)
    table = np.random.default_rng(0).normal(
        0.0, 0.5, (tokenizer.vocabulary_size, 16)
    )
    student = build_student(
        kind,
        tokenizer.vocabulary_size,
        task.student_outputs,
        width=16,
        embedding_dim=16,
        max_length=LENGTH,
        embeddings=table,
        per_token=True,
    )
    tokenizer.save(run.folder / "tokenizer")
    write_json(run.folder / TASK_FILE, task.to_dict())
    write_json(run.folder / INPUTS_FILE, {})
    texts = TEXTS
    if task.name == QuestionAnswering.name:
        texts = [(QUESTIONS[0], text) for text in TEXTS]
    rows = featurize(task, tokenizer, texts, run.folder / "validation_rows")
    logits = predict_rows(keras_runtime(student), rows, per_token=True).values
    kernel, bias = student.get_layer("logits").get_weights()
    firm = kernel * LOGITS_DEVIATION / logits.std()
    student.get_layer("logits").set_weights([firm, bias])
    student.save(run.folder / STUDENT_FILE)
    return run


def featurize(task, tokenizer, texts, folder):
    examples = [task.example_of(text, str(n)) for n, text in enumerate(texts)]
    return write_rows(folder, task.featurize(examples, tokenizer, LENGTH), {})


def outputs_of(student, text, folder):
    """Rows of one text, and Keras' logits."""
    rows = featurize(student.task, student.tokenizer, [text], folder)
    runtime = keras_runtime(student.model)
    return rows, predict_rows(runtime, rows, per_token=True)


def ids_of(rows):
    return [rows.row("token_ids", row).tolist() for row in range(len(rows))]


TAGGING = [("bigru", False), ("bilstm", True), ("transformer", False)]


@pytest.mark.parametrize("kind, chain", TAGGING)
def test_tags(kind, chain, tmp_path):
    task = TokenTagging(tiny_tokens.TAGS, chain=chain)
    student = TrainedStudent(write_run(tmp_path / "run", task, kind))
    StudentFiles(student).litert("float32")
    expected = student.predict(TEXTS)
    assert sum(len(found) for found, _ in expected) > 20
    with opened(student.folder, tmp_path / "profile") as page:
        for number, text in enumerate(TEXTS):
            received = ask(page, text=text)
            words = [word["text"] for word in received["words"]]
            assert words == split_words(text)
            rows, logits = outputs_of(student, text, tmp_path / str(number))
            assert received["ids"] == ids_of(rows)
            np.testing.assert_allclose(
                received["logits"],
                task.select_outputs(logits, rows),
                rtol=0,
                atol=1e-3,
            )
            found, probability = expected[number]
            places = in_utf16(text)
            assert [
                (one["type"], one["words"], places[one["start"]],
                 places[one["end"]])
                for one in found
            ] == [
                (one["label"], one["words"], one["start"], one["end"])
                for one in received["marks"]
            ]  # fmt: skip
            assert received["probability"] == pytest.approx(
                probability, abs=1e-3
            )
            shown = page.evaluate(
                "[...document.querySelectorAll('mark')].map((mark) =>"
                "[mark.firstChild.textContent, mark.lastChild.textContent])"
            )
            assert shown == [[one["text"], one["type"]] for one in found]
            assert len(rows) > 1 or text != LONG_TEXT
        ask(page, text="")
        assert page.evaluate("document.getElementById('answer').hidden")
        assert all("//127.0.0.1:" in one for one in page.requested())


READING = [("bert", {}), ("bigru", {"no_answer": True, "threshold": -1.0})]


@pytest.mark.parametrize("kind, options", READING)
def test_answers(kind, options, tmp_path):
    task = QuestionAnswering(longest_answer=5, stride=8, **options)
    student = TrainedStudent(write_run(tmp_path / "run", task, kind))
    StudentFiles(student).litert("float32")
    pairs = [(question, text) for question in QUESTIONS for text in TEXTS]
    expected = student.predict(pairs)
    empty = sum(not answer["text"] for answer, _ in expected)
    assert (empty > 0) == bool(options) and empty < len(pairs)
    with opened(student.folder, tmp_path / "profile") as page:
        for number, (question, text) in enumerate(pairs):
            received = ask(page, question=question, context=text)
            rows, logits = outputs_of(
                student, (question, text), tmp_path / str(number)
            )
            assert received["ids"] == ids_of(rows)
            for row in range(len(rows)):
                np.testing.assert_allclose(
                    received["logits"][row], logits[row], rtol=0, atol=1e-3
                )
            answer, probability = expected[number]
            assert received["answer"] == answer["text"]
            places = in_utf16(text)
            assert received["start"] == places[answer["start"]]
            assert received["end"] == places[answer["end"]]
            assert received["probability"] == pytest.approx(
                probability, abs=1e-3
            )
            shown = page.evaluate(
                "[...document.querySelectorAll('tbody td')].map((cell) =>"
                "cell.textContent)"
            )
            assert shown[0] == (answer["text"] or "(no answer)")
        ask_too_much(page)
        assert all("//127.0.0.1:" in one for one in page.requested())


def ask_too_much(page):
    """A question that leaves no room for its text is refused in words."""
    page.evaluate(
        "field = document.getElementById('question');"
        "field.value = 'the film '.repeat(20);"
        "field.dispatchEvent(new Event('input'))"
    )
    page.wait_for(
        "document.getElementById('state').textContent.includes("
        "'Ask a shorter one')"
    )


def in_utf16(text):
    """The place in UTF-16 units of each character, and of the end."""
    sizes = [1 + (ord(character) > 0xFFFF) for character in text]
    return np.cumsum([0, *sizes]).tolist()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    task = TokenTagging(tiny_tokens.TAGS)
    run = write_run(folder / "run", task, "transformer")
    student = TrainedStudent(run)
    for quantization in ("dynamic", "float16", "int8-embedding"):
        StudentFiles(student).litert(quantization)
    return student


@pytest.fixture(scope="module")
def page(tagger, tmp_path_factory):
    with opened(tagger.folder, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize(
    "lowercase, strip_accents",
    [(True, None), (False, None), (True, False), (False, True)],
)
def test_tokens_of_nasty_strings(page, lowercase, strip_accents):
    tokenizer = tiny_wordpiece.make_tokenizer(lowercase, strip_accents)
    texts = tiny_wordpiece.nasty_strings()
    task = TokenTagging(tiny_tokens.TAGS)
    settings = client_settings(task, tokenizer, LENGTH)["tokenizer"]
    received = page.evaluate(
        "import('/tokens.js').then(({Tokenizer}) => {"
        f"const tokenizer = new Tokenizer({json.dumps(settings)});"
        f"return {json.dumps(texts)}.map((text) => tokenizer.encode(text)"
        ".map(({id, start, end}) => [id, start, end])); })"
    )
    different = []
    for text, tokens, (ids, starts, ends) in zip(
        texts, received, tokenizer.encode_offsets(texts), strict=True
    ):
        places = in_utf16(text)
        own = [
            [token, places[start], places[end]]
            for token, start, end in zip(ids, starts, ends)
        ]
        if tokens != own:
            different.append((text, own, tokens))
    assert {text for text, *_ in different} <= set(EXCEPTIONS), different


def test_words_are_cut_at_the_same_characters(page):
    """Whether a character is a letter, a sign or a space."""
    received = page.evaluate(
        "import('/tokens.js').then(({splitWords}) => {"
        "const counts = [];"
        "for (let code = 0; code <= 0x10ffff; code += 1) counts.push("
        "code >= 0xd800 && code <= 0xdfff ? 0 :"
        "splitWords(`a${String.fromCodePoint(code)}a`).length);"
        "return counts.join(''); })"
    )
    different = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs")
        and len(split_words(f"a{chr(code)}a")) != int(received[code])
    ]
    assert different == []
    texts = tiny_wordpiece.nasty_strings()
    received = page.evaluate(
        "import('/tokens.js').then(({splitWords}) => "
        f"{json.dumps(texts)}.map((text) =>"
        "splitWords(text).map((word) => word.text)))"
    )
    assert received == [split_words(text) for text in texts]


@pytest.mark.parametrize(
    "quantization", ["dynamic", "float16", "int8-embedding"]
)
def test_quantised_files(tagger, tmp_path, quantization):
    file = tagger.folder / f"student_{quantization}.tflite"
    model = LiteRTModel(file)
    rows, _ = outputs_of(tagger, TEXTS[4], tmp_path / "rows")
    runtime = (model.input_names, model.predict_named)
    expected = tagger.task.select_outputs(
        predict_rows(runtime, rows, per_token=True), rows
    )
    with opened(tagger.folder, tmp_path / "profile", file.name) as page:
        received = ask(page, text=TEXTS[4])["logits"]
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-3)


@pytest.fixture
def package(tmp_path):
    """In place of the npm package."""
    folder = tmp_path / "litertjs"
    (folder / "core/dist").mkdir(parents=True)
    (folder / "core/dist/index.js").write_text("export const a = 1;")
    return folder


def test_what_is_missing_is_named(tagger, package, tmp_path):
    with pytest.raises(FileNotFoundError, match="npm install .*@litertjs"):
        serve.make_server(tagger.folder, litertjs=tmp_path)
    with pytest.raises(FileNotFoundError, match="--format litert"):
        serve.make_server(tagger.folder, "other.tflite", litertjs=package)


def test_a_file_of_any_length_is_refused(tagger, package):
    report = StudentFiles(tagger).litert("float32", "dynamic")
    with pytest.raises(ValueError, match="a file of one length"):
        serve.make_server(tagger.folder, report["file"], litertjs=package)
    # By itself it is not taken.
    with serving(tagger.folder, litertjs=package):
        pass


def distilled(folder, task):
    """The folder of a run whose teacher was asked."""
    configuration = settings_of(
        folder, task, arms=["distilled"], steps=2, evaluate_every=1
    )
    distill(configuration, folder / "run", say=str)
    return folder / "run"


def test_the_teachers_entities(tmp_path):
    answers = serve.saved_answers(distilled(tmp_path, "token_tagging"))
    # Those that were written for the test part; the teacher is always right.
    sentences = tiny_tokens.make_sentences(130)[90:]
    expected = {
        " ".join(words): ", ".join(
            f"{' '.join(words[first:end])} [{kind}]"
            for kind, first, end in entities(tags)
        )
        for words, tags in sentences
    }
    assert {text: line for text, (line, _) in answers.items()} == expected
    assert all(0.3 < probability <= 1 for _, probability in answers.values())


def test_the_teachers_reading(tmp_path):
    answers = serve.saved_answers(distilled(tmp_path, "question_answering"))
    paragraphs = tiny_tokens.make_paragraphs(30, seed=2)
    expected = {
        f"{one['qas'][0]['question']}\n{one['context']}": one["qas"][0][
            "answers"
        ][0]["text"]
        for one in paragraphs
    }
    assert {text: line for text, (line, _) in answers.items()} == expected
