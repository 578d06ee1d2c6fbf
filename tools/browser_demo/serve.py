"""Serves a page on which a run's student answers what one types.

    npm install --prefix tools/browser_demo @mediapipe/tasks-text
    keras-kd export runs/reviews --format mediapipe
    python tools/browser_demo/serve.py runs/reviews

or, for a student that tags words or answers questions, which MediaPipe has no
task for,

    npm install --prefix tools/browser_demo @litertjs/core
    keras-kd export runs/entities --format litert
    python tools/browser_demo/serve.py runs/entities

The page is at http://127.0.0.1:8000. It shows the answer and milliseconds,
and the teacher's answer to the texts that it was saved for: the test rows.
"""

import argparse
import base64
import functools
import hashlib
import http.server
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS_TEXT = HERE / "node_modules/@mediapipe/tasks-text"
LITERTJS = HERE / "node_modules/@litertjs"
PAGE = {
    f"/{file.name}": file
    for file in HERE.iterdir()
    if file.suffix in (".js", ".css")
}
PAGE["/"] = HERE / "index.html"
(IMPORT_MAP,) = re.findall(
    '<script type="importmap">(.*?)</script>', PAGE["/"].read_text(), re.DOTALL
)
NPM_PACKAGES = {
    "litertjs": "@litertjs/core",
    "tasks-text": "@mediapipe/tasks-text",
}
# In the name of a file that takes any number of tokens.
ANY_LENGTH = "_length_dynamic"
# MediaPipe reports its use (not the texts) to its vendor: a page that may talk
# to its own server alone does not.
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'sha256-{}'; "
    "img-src 'self' data:"
).format(
    base64.b64encode(hashlib.sha256(IMPORT_MAP.encode()).digest()).decode()
)


class DemoHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, the model, what it answers by, and an npm package.

    Args:
        model: Path of the `.tflite`.
        documents: JSON values by their paths.
        package: `(path, folder)`: where the page asks for the package, and
            where that is.
    """

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *arguments, model, documents, package):
        self.model, self.documents = model, documents
        self.prefix, folder = package
        super().__init__(*arguments, directory=str(folder))

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in self.documents:
            text = json.dumps(self.documents[path], ensure_ascii=False)
            self._send(text.encode(), "application/json")
        elif path == "/model.tflite":
            self._send(self.model.read_bytes(), "application/octet-stream")
        elif path in PAGE:
            kind = self.guess_type(PAGE[path].name)
            self._send(PAGE[path].read_bytes(), kind)
        elif path.startswith(f"/{self.prefix}/"):
            self.path = self.path.removeprefix(f"/{self.prefix}")
            super().do_GET()
        else:
            self.send_error(404)

    def _send(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *arguments):
        """Says nothing of each request."""


def make_server(
    run, file=None, tasks_text=TASKS_TEXT, litertjs=LITERTJS, port=8000
):
    """A server that waits for `serve_forever`.

    Args:
        run: Folder of a finished run.
        file: Name of the `.tflite` in it; by default the newest that the page
            can run: of MediaPipe's, or for tasks of tokens of the others.
        tasks_text: Folder of the npm package `@mediapipe/tasks-text`.
        litertjs: Folder `node_modules/@litertjs`.
        port: Of 127.0.0.1; 0 for any that is free.

    Raises:
        FileNotFoundError: Something is missing; says what to do.
        ValueError: A file of any length, or tokens that the page can't make.
    """
    from keras_kd.atomic_files import read_json
    from keras_kd.runs.deployment import TASK_FILE
    from keras_kd.tasks.named_tasks import build_task

    run = Path(run)
    task = build_task(**read_json(run / TASK_FILE))
    if task.per_token:
        model = _find_model(run, file, "litert", "student_*.tflite")
        package = _package("litertjs", litertjs, "core/dist/index.js")
        settings = token_settings(run, task, model)
    else:
        usual = "student_mediapipe_*.tflite"
        model = _find_model(run, file, "mediapipe", usual)
        package = _package("tasks-text", tasks_text, "text_bundle.mjs")
        settings = {"task": task.name}
    handler = functools.partial(
        DemoHandler,
        model=model,
        documents={
            "/student.json": settings,
            "/answers.json": saved_answers(run),
        },
        package=package,
    )
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def _find_model(run, file, kind, usual):
    """The file that is asked for, or the newest one of a kind."""
    found = sorted(
        (path for path in run.glob(usual) if ANY_LENGTH not in path.name),
        key=lambda path: path.stat().st_mtime,
    )
    model = run / (file or usual) if file or not found else found[-1]
    if not model.is_file():
        raise FileNotFoundError(
            f"There is no {model}. Run `keras-kd export {run} --format {kind}` "
            "first."
        )
    return model


def _package(name, folder, file):
    """`(path, folder)` of an npm package that is there."""
    if not (Path(folder) / file).is_file():
        package = NPM_PACKAGES[name]
        raise FileNotFoundError(
            f"{folder} holds no {file} of the npm package {package}. Run "
            f"`npm install --prefix tools/browser_demo {package}`, or give its "
            f"folder with --{name}."
        )
    return name, folder


def token_settings(run, task, model):
    """How the page makes tokens, and reads the logits of a file."""
    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.export.attachments import read_attachments
    from keras_kd.export.browser_client import client_settings

    length = read_attachments(model)[1].get("max_length")
    if length is None:
        raise ValueError(
            f"{model} takes any number of tokens, or was not exported by "
            "keras_kd. The page needs a file of one length: `keras-kd export "
            f"{run} --format litert`."
        )
    tokenizer = Tokenizer.from_folder(run / "tokenizer")
    return client_settings(task, tokenizer, length)


def saved_answers(run):
    """The teacher's answers `(line, probability)` to the test rows, by text.

    The text of a question is the question, and its context on the next line.
    Without a teacher in the run there are none.
    """
    from keras_kd.atomic_files import read_json
    from keras_kd.batch import LOGITS
    from keras_kd.data.rows import Rows
    from keras_kd.runs.deployment import TASK_FILE
    from keras_kd.runs.distillation import TEST_ROWS
    from keras_kd.runs.run_folder import INPUTS_FILE
    from keras_kd.runs.run_folder import RunFolder
    from keras_kd.runs.taught_run import short_hash
    from keras_kd.tasks.named_tasks import build_task
    from keras_kd.teachers.cache import TeacherTargets

    run = RunFolder.open(run)
    fingerprint = read_json(run.folder / INPUTS_FILE).get("teacher")
    cache = Path(run.configuration.cache or run.folder / "cache")
    folder = cache / "targets" / short_hash(fingerprint)
    if fingerprint is None or not folder.exists():
        return {}
    rows = Rows.open(run.folder / TEST_ROWS)
    task = build_task(**read_json(run.folder / TASK_FILE)).for_teacher()
    targets = TeacherTargets(
        folder, fingerprint, per_token=[LOGITS] if task.per_token else []
    )
    logits = targets.lookup(rows.keys())[LOGITS]
    if "teacher_positions" in rows.columns:
        every = range(len(rows))
        logits = logits.taken([rows.row("teacher_positions", i) for i in every])
    answers = task.answers(task.select_outputs(logits, rows), rows)
    return {
        text: (task.show(answer).partition("\t")[0], probability)
        for text, (answer, probability) in zip(_texts(rows), answers)
    }


def _texts(rows):
    """What one types for each answer, as the page joins it."""
    from keras_kd.tasks.entity_answers import join_words

    for row in range(len(rows)):
        if "window" not in rows.columns:
            yield rows.text("text", row)
        elif rows.column("window", [row])[0] == 0:
            if "words" in rows.columns:
                yield join_words(json.loads(rows.text("words", row)))
            else:
                names = ("question", "context")
                yield "\n".join(rows.text(name, row) for name in names)


def main(arguments=None):
    """Serves until it is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--file", metavar="FILE", help=".tflite of the run")
    parser.add_argument("--tasks-text", default=TASKS_TEXT, metavar="DIR")
    parser.add_argument("--litertjs", default=LITERTJS, metavar="DIR")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    try:
        server = make_server(
            options.run,
            options.file,
            options.tasks_text,
            options.litertjs,
            options.port,
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"http://127.0.0.1:{server.server_port} (Ctrl-C stops it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
