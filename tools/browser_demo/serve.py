"""Serves a page on which a run's student classifies what one types.

    npm install --prefix tools/browser_demo @mediapipe/tasks-text
    keras-kd export runs/reviews --format mediapipe
    python tools/browser_demo/serve.py runs/reviews

The page is at http://127.0.0.1:8000. It shows label, score and milliseconds,
and the teacher's answer to the texts that it was saved for: the test rows.
"""

import argparse
import functools
import http.server
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS_TEXT = HERE / "node_modules/@mediapipe/tasks-text"
PAGE = {"/": "index.html", "/demo.js": "demo.js", "/demo.css": "demo.css"}
# MediaPipe reports its use (not the texts) to its vendor: a page that may talk
# to its own server alone does not.
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "img-src 'self' data:"
)


class DemoHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, the model, the answers and MediaPipe's package.

    Args:
        model: Path of the `.tflite`.
        answers: Bytes of `answers.json`.
        tasks_text: Folder of the npm package `@mediapipe/tasks-text`.
    """

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *arguments, model, answers, tasks_text):
        self.model, self.answers = model, answers
        super().__init__(*arguments, directory=str(tasks_text))

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/answers.json":
            self._send(self.answers, "application/json")
        elif path == "/model.tflite":
            self._send(self.model.read_bytes(), "application/octet-stream")
        elif path in PAGE:
            file = HERE / PAGE[path]
            self._send(file.read_bytes(), self.guess_type(str(file)))
        elif path.startswith("/tasks-text/"):
            self.path = self.path.removeprefix("/tasks-text")
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


def make_server(run, file=None, tasks_text=TASKS_TEXT, port=8000):
    """A server that waits for `serve_forever`.

    Args:
        run: Folder of a finished run.
        file: Name of the `.tflite` in it; by default the newest of MediaPipe's.
        tasks_text: Folder of the npm package `@mediapipe/tasks-text`.
        port: Of 127.0.0.1; 0 for any that is free.

    Raises:
        FileNotFoundError: Something is missing; says what to do.
    """
    run = Path(run)
    if file is None:
        files = sorted(
            run.glob("student_mediapipe_*.tflite"),
            key=lambda path: path.stat().st_mtime,
        )
        file = files[-1].name if files else "student_mediapipe_dynamic.tflite"
    if not (run / file).is_file():
        raise FileNotFoundError(
            f"There is no {run / file}. Run `keras-kd export {run} --format "
            "mediapipe` first."
        )
    tasks_text = Path(tasks_text)
    if not (tasks_text / "text_bundle.mjs").is_file():
        raise FileNotFoundError(
            f"{tasks_text} is not the npm package @mediapipe/tasks-text. Run "
            "`npm install --prefix tools/browser_demo @mediapipe/tasks-text`, "
            "or give its folder with --tasks-text."
        )
    handler = functools.partial(
        DemoHandler,
        model=run / file,
        answers=json.dumps(saved_answers(run), ensure_ascii=False).encode(),
        tasks_text=tasks_text,
    )
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def saved_answers(run):
    """The teacher's answers `(label, probability)` to the test rows, by text.

    Without a teacher in the run there are none.
    """
    from keras_kd.atomic_files import read_json
    from keras_kd.batch import LOGITS
    from keras_kd.data.rows import Rows
    from keras_kd.deployment import TASK_FILE
    from keras_kd.distillation import TEST_ROWS
    from keras_kd.run_folder import INPUTS_FILE
    from keras_kd.run_folder import RunFolder
    from keras_kd.tasks.named_tasks import build_task
    from keras_kd.taught_run import short_hash
    from keras_kd.teachers.cache import TeacherTargets

    run = RunFolder.open(run)
    fingerprint = read_json(run.folder / INPUTS_FILE).get("teacher")
    cache = Path(run.configuration.cache or run.folder / "cache")
    folder = cache / "targets" / short_hash(fingerprint)
    if fingerprint is None or not folder.exists():
        return {}
    rows = Rows.open(run.folder / TEST_ROWS)
    logits = TeacherTargets(folder, fingerprint).lookup(rows.keys())[LOGITS]
    task = build_task(**read_json(run.folder / TASK_FILE))
    texts = (rows.text("text", position) for position in range(len(rows)))
    return dict(zip(texts, task.answers(logits)))


def main(arguments=None):
    """Serves until it is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--file", metavar="FILE", help=".tflite of the run")
    parser.add_argument("--tasks-text", default=TASKS_TEXT, metavar="DIR")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    try:
        server = make_server(
            options.run, options.file, options.tasks_text, options.port
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
