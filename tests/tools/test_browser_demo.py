"""The page of `tools/browser_demo`: its server, and in a real browser."""

import json
import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest

from keras_kd.runs.deployment import TrainedStudent
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.student_files import StudentFiles
from tests import tiny
from tests.tools.browser_page import ask
from tests.tools.browser_page import opened
from tests.tools.browser_page import serve
from tests.tools.browser_page import serving

# A whole run is made for the page.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(miniature, tmp_path_factory):
    """The run with a file for MediaPipe."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    run = RunFolder(shutil.copytree(miniature.folder, folder))
    StudentFiles(TrainedStudent(run)).mediapipe("float32")
    return run


@pytest.fixture
def package(tmp_path):
    """In place of the npm package."""
    folder = tmp_path / "package"
    (folder / "wasm").mkdir(parents=True)
    (folder / "text_bundle.mjs").write_text("export const a = 1;")
    (folder / "wasm" / "text.wasm").write_bytes(b"\0asm")
    return folder


@pytest.fixture
def served(run, package):
    with serving(run.folder, tasks_text=package) as address:
        yield address


def get(address):
    with urllib.request.urlopen(address) as answer:
        return answer.read(), answer.headers


def test_what_is_served(served, run):
    page, headers = get(f"{served}/?a=1")
    assert b"Type a sentence" in page
    assert headers["Content-Type"] == "text/html"
    # Nothing but this server is talked to.
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    for path, kind in (
        ("/demo.js", "text/javascript"),
        ("/demo.css", "text/css"),
        ("/tasks-text/text_bundle.mjs", "text/javascript"),
        ("/tasks-text/wasm/text.wasm", "application/wasm"),
    ):
        assert get(served + path)[1]["Content-Type"] == kind
    (file,) = run.folder.glob("student_mediapipe_*.tflite")
    assert get(f"{served}/model.tflite")[0] == file.read_bytes()
    for path in ("/serve.py", "/config.json", "/tasks-text/../serve.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(served + path)


def test_the_answers_are_the_teachers(served, miniature):
    answers = json.loads(get(f"{served}/answers.json")[0])
    with open(miniature.configuration.test, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(",") for line in file][1:]
    assert set(answers) == {text for text, _ in rows}
    # The tiny teacher is always right.
    assert all(answers[text][0] == label for text, label in rows)
    assert all(0.5 < score <= 1 for _, score in answers.values())


def test_a_run_without_answers(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    shutil.rmtree(copy / "cache")
    assert serve.saved_answers(copy) == {}


def test_what_is_missing_is_named(miniature, run, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="--format mediapipe"):
        serve.make_server(miniature.folder, tasks_text=tmp_path)
    assert serve.main([str(run.folder), "--tasks-text", str(tmp_path)]) == 1
    assert "npm install" in capsys.readouterr().err


@pytest.fixture
def page(run, tmp_path):
    with opened(run.folder, tmp_path / "profile") as page:
        yield page


def test_in_a_browser(page, run):
    texts = [text for text, _ in tiny.make_rows(100)]
    texts += ["The FILM was great!", "Caf\u00e9 superb", "", "sad" * 40]
    student = TrainedStudent(run)
    (file,) = run.folder.glob("student_mediapipe_*.tflite")
    expected = scores_in_litert(student, file, texts)
    for text, scores in zip(texts, expected, strict=True):
        received = ask(page, text=text)["scores"]
        np.testing.assert_allclose(
            [received[label] for label in tiny.LABELS], scores, atol=1e-3
        )
    rows = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map((row) =>"
        "[...row.cells].slice(0, 2).map((cell) => cell.textContent))"
    )
    best = max(received, key=received.get)
    assert rows[0] == [best, f"{received[best]:.3f}"] and len(rows) == 2
    shown = page.evaluate("document.getElementById('time').textContent")
    assert float(shown.removesuffix(" ms")) >= 0
    # Nobody else was asked for anything.
    assert all("//127.0.0.1:" in address for address in page.requested())


def test_the_teachers_answer_is_shown(page, miniature):
    answers = serve.saved_answers(miniature.folder)
    text, (label, score) = next(iter(answers.items()))
    ask(page, text=text)
    shown = page.evaluate("document.getElementById('teacher').textContent")
    assert shown == f"The teacher's answer: {label}, {score:.3f}"
    ask(page, text=f"{text} and more")
    shown = page.evaluate("document.getElementById('teacher').textContent")
    assert "not saved" in shown


def scores_in_litert(student, file, texts):
    """What LiteRT gives for the ids that MediaPipe's tokenizer makes."""
    from keras_kd.data.mediapipe_tokens import read_as_mediapipe
    from keras_kd.export.litert_runner import LiteRTModel

    model = LiteRTModel(file)
    inputs = {
        name: np.zeros((len(texts), model.length), "int32")
        for name in model.input_names
    }
    encoded = read_as_mediapipe(student.tokenizer).encode(texts, model.length)
    for row, (ids, _) in enumerate(encoded):
        inputs["token_ids"][row, : len(ids)] = ids
        inputs["padding_mask"][row, : len(ids)] = 1
    return model.predict(inputs)
