"""The page of `tools/browser_demo`: its server, and in a real browser."""

import importlib.util
import json
import os
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from keras_kd.deployment import TrainedStudent
from keras_kd.run_folder import RunFolder
from tests import tiny
from tests.tools.chromium import Chromium
from tests.tools.chromium import find_browser

# A whole run is made for the page.
pytestmark = pytest.mark.slow


DEMO = Path(__file__).resolve().parents[2] / "tools/browser_demo"


def load_server():
    spec = importlib.util.spec_from_file_location("serve", DEMO / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serve = load_server()
TASKS_TEXT = Path(os.environ.get("TASKS_TEXT", serve.TASKS_TEXT))


@pytest.fixture(scope="module")
def run(miniature, tmp_path_factory):
    """The run with a file for MediaPipe."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    run = RunFolder(shutil.copytree(miniature.folder, folder))
    TrainedStudent(run).export_mediapipe("float32")
    return run


@pytest.fixture
def served(run):
    """Serves the run; gives a function that makes the address."""
    servers = []

    def start(tasks_text):
        server = serve.make_server(run.folder, tasks_text=tasks_text, port=0)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def package(tmp_path):
    """In place of the npm package."""
    folder = tmp_path / "tasks-text"
    (folder / "wasm").mkdir(parents=True)
    (folder / "text_bundle.mjs").write_text("export const a = 1;")
    (folder / "wasm" / "text.wasm").write_bytes(b"\0asm")
    return folder


def get(address):
    with urllib.request.urlopen(address) as answer:
        return answer.read(), answer.headers


def test_what_is_served(served, package, run):
    address = served(package)
    page, headers = get(f"{address}/?a=1")
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
        assert get(address + path)[1]["Content-Type"] == kind
    (file,) = run.folder.glob("student_mediapipe_*.tflite")
    assert get(f"{address}/model.tflite")[0] == file.read_bytes()
    for path in ("/serve.py", "/config.json", "/tasks-text/../serve.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(address + path)


def test_the_answers_are_the_teachers(served, package, miniature):
    answers = json.loads(get(f"{served(package)}/answers.json")[0])
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
def page(served, tmp_path):
    if find_browser() is None:
        pytest.skip("No Chromium is installed.")
    if not (TASKS_TEXT / "text_bundle.mjs").is_file():
        pytest.skip(
            "@mediapipe/tasks-text is not there: npm install it in "
            "tools/browser_demo, or give its folder as TASKS_TEXT."
        )
    with Chromium(tmp_path / "profile") as page:
        page.open(served(TASKS_TEXT))
        page.wait_for("document.body?.dataset.state")
        yield page


def test_in_a_browser(page, run):
    state = page.evaluate("document.getElementById('state').textContent")
    assert page.evaluate("document.body.dataset.state") == "ready", state
    texts = [text for text, _ in tiny.make_rows(100)]
    texts += ["The FILM was great!", "Caf\u00e9 superb", "", "sad" * 40]
    student = TrainedStudent(run)
    (file,) = run.folder.glob("student_mediapipe_*.tflite")
    expected = scores_in_litert(student, file, texts)
    for text, scores in zip(texts, expected, strict=True):
        page.evaluate("document.getElementById('text').value = ''")
        if text:
            page.type(text)
        else:
            page.evaluate(
                "document.getElementById('text')"
                ".dispatchEvent(new Event('input'))"
            )
        received = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('tbody tr')]"
            ".map((row) => [row.dataset.label, Number(row.dataset.score)]))"
        )
        assert (
            page.evaluate("document.getElementById('answer').dataset.text")
            == text
        )
        np.testing.assert_allclose(
            [received[label] for label in tiny.LABELS], scores, atol=1e-3
        )
    shown = page.evaluate("document.getElementById('time').textContent")
    assert float(shown.removesuffix(" ms")) >= 0
    # Nobody else was asked for anything.
    assert all("//127.0.0.1:" in address for address in page.requested())


def test_the_teachers_answer_is_shown(page, miniature):
    answers = serve.saved_answers(miniature.folder)
    text, (label, score) = next(iter(answers.items()))
    page.type(text)
    shown = page.evaluate("document.getElementById('teacher').textContent")
    assert shown == f"The teacher's answer: {label}, {score:.3f}"
    page.type(" and more")
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
