"""The page of `tools/browser_demo`, served and opened in a real browser."""

import contextlib
import importlib.util
import json
import os
import threading
from pathlib import Path

import pytest

from tests.tools.chromium import Chromium
from tests.tools.chromium import find_browser

DEMO = Path(__file__).resolve().parents[2] / "tools/browser_demo"


def load_server():
    """The module `serve.py`."""
    spec = importlib.util.spec_from_file_location("serve", DEMO / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serve = load_server()
TASKS_TEXT = Path(os.environ.get("TASKS_TEXT", serve.TASKS_TEXT))
# npm puts both packages into one folder.
LITERTJS = Path(os.environ.get("LITERTJS", TASKS_TEXT.parents[1] / "@litertjs"))


@contextlib.contextmanager
def serving(run, **options):
    """Serves a run's folder; gives the address."""
    server = serve.make_server(run, port=0, **options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def opened(run, profile, file=None):
    """A `Chromium` with the page of a run. Skips where something is missing."""
    if find_browser() is None:
        pytest.skip("No Chromium is installed.")
    for part in (
        TASKS_TEXT / "text_bundle.mjs",
        LITERTJS / "core/dist/index.js",
    ):
        if not part.is_file():
            pytest.skip(
                f"There is no {part}: npm install "
                "@mediapipe/tasks-text and @litertjs/core in "
                "tools/browser_demo, or give their folders as TASKS_TEXT and "
                "LITERTJS."
            )
    with (
        serving(
            run, file=file, tasks_text=TASKS_TEXT, litertjs=LITERTJS
        ) as address,
        Chromium(profile) as page,
    ):
        page.open(address)
        page.wait_for("document.body?.dataset.state")
        state = page.evaluate("document.getElementById('state').textContent")
        assert page.evaluate("document.body.dataset.state") == "ready", state
        yield page


def ask(page, **fields):
    """Writes texts into fields; gives what the page answers, and by what.

    Args:
        page: `Chromium`.
        fields: `text`, or `question` and `context`, by the ids of fields.
    """
    for name, text in fields.items():
        page.evaluate(
            f"field = document.getElementById('{name}'); field.focus();"
            "field.value = ''"
        )
        if text:
            page.type(text)
        else:
            page.evaluate("field.dispatchEvent(new Event('input'))")
    typed = json.dumps(list(fields.values()))
    # The page answers one after the other.
    page.wait_for(
        "import('/demo.js').then(({last}) => JSON.stringify(Object.values("
        f"last.fields ?? {{}})) === JSON.stringify({typed}))"
    )
    return page.evaluate("import('/demo.js').then(({last}) => last.result)")
